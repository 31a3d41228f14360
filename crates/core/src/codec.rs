//! How commands, outcomes and rows become bytes: one byte that names the format, then postcard.
//!
//! Within a format, enums only grow at their end and structs do not change; anything else is a new
//! format, and the old one stays readable (docs/adr/0005).

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The format that is written.
pub(crate) const FORMAT: u8 = 1;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Nothing there.
    #[error("no bytes at all")]
    Empty,
    /// Written by a newer version.
    #[error("format {0} is not known to this version: upgrade the node")]
    Format(u8),
    /// Damaged.
    #[error("the bytes are not of format {FORMAT}: {0}")]
    Damaged(#[from] postcard::Error),
    /// Something behind the end.
    #[error("{0} bytes too many")]
    Trailing(usize),
}

/// The bytes of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![FORMAT]).expect("our types have no shape postcard cannot write")
}

/// The value of such bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (format, rest) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if *format != FORMAT {
        return Err(DecodeError::Format(*format));
    }
    let (value, trailing) = postcard::take_from_bytes(rest)?;
    if trailing.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::Trailing(trailing.len()))
    }
}

/// Half of the SHA-256 of a value's bytes: 128 bits tell apart what one principal or node sends.
pub(crate) fn digest<T: Serialize>(value: &T) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(encode(value)).into();
    let (half, _) = digest.split_at(16);
    half.try_into().expect("half of 32 bytes is 16")
}
