//! Encryption of input of any size, in constant memory (docs/format/stream.md).
//!
//! Small input goes to the cluster and comes back as one message. Of large input only a data key
//! does: the cluster draws and wraps it, and the chunks are sealed here.

mod chunks;
mod open;
mod seal;
#[cfg(test)]
mod tests;

use crate::error::ClientError;
use std::collections::BTreeMap;
use std::io;

/// The encryption context: authenticated, not secret, written to the audit log.
pub type Context = BTreeMap<String, String>;

/// What was encrypted or decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSummary {
    /// The key's name.
    pub key: String,
    /// The key version's number.
    pub version: u32,
    /// Bytes in clear.
    pub plaintext_bytes: u64,
}

fn reading(source: io::Error) -> ClientError {
    ClientError::Io {
        action: "reading the input",
        source,
    }
}

fn writing(source: io::Error) -> ClientError {
    ClientError::Io {
        action: "writing the output",
        source,
    }
}

fn bytes(len: usize) -> u64 {
    u64::try_from(len).expect("no memory holds more than 2^64 bytes")
}
