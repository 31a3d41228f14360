//! Why something could not be done, and what to do about it.

use crate::limits::ERROR_TEXT_CHARS_MAX;
use crate::remedy::remedy;
use conclave_crypto::CryptoError;
use std::error::Error as _;
use std::io;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why something could not be done.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The cluster refused, or no node answered in time.
    #[error(transparent)]
    Call(#[from] Box<CallFailure>),
    /// Not an address.
    #[error("'{endpoint}' is not the address of a node")]
    Endpoint {
        /// As given.
        endpoint: String,
    },
    /// No endpoint, or too many.
    #[error("a client is given 1 to 255 endpoints, not {actual}")]
    EndpointCount {
        /// How many were given.
        actual: usize,
    },
    /// No connection, or too many.
    #[error("a client has 1 to 64 connections to a node, not {actual}")]
    ConnectionCount {
        /// How many were asked for.
        actual: usize,
    },
    /// A variable of the environment that it takes.
    #[error("the variable {name} is not set")]
    Variable {
        /// Which.
        name: &'static str,
    },
    /// The files that say who calls, and whom it trusts, are no good.
    #[error("{problem}")]
    Tls {
        /// Which one, and what to do about it.
        problem: String,
    },
    /// Input or output failed.
    #[error("{action}: {source}")]
    Io {
        /// Reading or writing.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Not something that the service encrypted.
    #[error("the input is not a ciphertext of Conclave: {why}")]
    NotACiphertext {
        /// How that was seen.
        why: &'static str,
    },
    /// A chunk inside a stream does not open.
    #[error("the ciphertext was changed: its part from byte {offset_bytes} on does not open")]
    ChunkDamaged {
        /// Where the chunk begins in the ciphertext.
        offset_bytes: u64,
    },
    /// The end of a stream does not open as the end.
    #[error(
        "the ciphertext is cut short, or its end was changed: it has {actual_bytes} bytes, and the \
         last of them are not the end that was written"
    )]
    Truncated {
        /// What there is of it.
        actual_bytes: u64,
    },
    /// The key service's answer breaks the protocol.
    #[error("the node's answer makes no sense: {what}")]
    BadAnswer {
        /// What is wrong with it.
        what: &'static str,
    },
    /// Cryptography on this side failed.
    #[error("{0}")]
    Crypto(CryptoError),
}

impl ClientError {
    /// The gRPC code, if a call failed.
    pub fn code(&self) -> Option<Code> {
        self.call().map(|call| call.code)
    }

    /// For programs: stable; empty if the failure has none.
    pub fn reason(&self) -> &str {
        match self {
            Self::Call(call) => &call.reason,
            Self::Endpoint { .. } | Self::EndpointCount { .. } => "BAD_ENDPOINT",
            Self::ConnectionCount { .. } => "BAD_CONNECTION_COUNT",
            Self::Variable { .. } => "BAD_ENVIRONMENT",
            Self::Tls { .. } => "BAD_CREDENTIALS",
            Self::Io { .. } => "IO_FAILED",
            Self::NotACiphertext { .. } => "NOT_A_CIPHERTEXT",
            Self::ChunkDamaged { .. } => "CIPHERTEXT_INVALID",
            Self::Truncated { .. } => "CIPHERTEXT_TRUNCATED",
            Self::BadAnswer { .. } => "BAD_ANSWER",
            Self::Crypto(_) => "CRYPTO_FAILED",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &str {
        match self {
            Self::Call(call) => &call.remedy,
            Self::Endpoint { .. } => "write host:port, as in 127.0.0.1:7101 or [::1]:7101",
            Self::EndpointCount { .. } => "name at least one node",
            Self::ConnectionCount { .. } => "one does for most programs, 8 for the busiest",
            Self::Variable { .. } => "set it; docs/configuration.md says to what",
            Self::Tls { .. } => {
                "have a certificate issued for the program by the authority of the nodes"
            }
            Self::Io { .. } => "check the path, the permissions and the room on the disk",
            Self::NotACiphertext { .. } => {
                "give the whole output of an encrypt; if it is base64 text, say so (--base64)"
            }
            Self::ChunkDamaged { .. } | Self::Truncated { .. } => {
                "fetch the ciphertext again from its store; do not use what came out of it"
            }
            Self::Crypto(CryptoError::StreamTrailing) => {
                "cut off what was appended to the ciphertext, or fetch it again; do not use what \
                 came out of it"
            }
            Self::BadAnswer { .. } | Self::Crypto(_) => "compare the versions of client and node",
        }
    }

    /// The failed call, if it is one.
    pub fn call(&self) -> Option<&CallFailure> {
        match self {
            Self::Call(call) => Some(call),
            Self::Endpoint { .. }
            | Self::EndpointCount { .. }
            | Self::ConnectionCount { .. }
            | Self::Variable { .. }
            | Self::Tls { .. }
            | Self::Io { .. }
            | Self::NotACiphertext { .. }
            | Self::ChunkDamaged { .. }
            | Self::Truncated { .. }
            | Self::BadAnswer { .. }
            | Self::Crypto(_) => None,
        }
    }
}

/// A call that failed, after all attempts at it.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct CallFailure {
    /// Of the last attempt.
    pub code: Code,
    /// From `google.rpc.ErrorInfo`: for programs, stable. Empty if no node gave one.
    pub reason: String,
    /// What was wrong, in one line of printable text.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The node that was asked last.
    pub endpoint: String,
    /// How often the call was tried.
    pub attempts: u32,
}

impl CallFailure {
    /// From the status that the last attempt at `endpoint` ended in.
    pub(crate) fn from_status(status: &Status, endpoint: &str, attempts: u32) -> Self {
        let info = status.get_details_error_info();
        let reason = info
            .as_ref()
            .map_or_else(String::new, |info| printable(&info.reason));
        let given = info.as_ref().and_then(|info| info.metadata.get("remedy"));
        let remedy = given.map_or_else(
            || remedy(&reason, status.code()).to_owned(),
            |given| printable(given),
        );
        let message = if status.source().is_some() {
            format!(
                "node {endpoint} cannot be reached: {}",
                printable(&causes(status))
            )
        } else {
            printable(status.message())
        };
        Self {
            code: status.code(),
            reason,
            message,
            remedy,
            endpoint: endpoint.to_owned(),
            attempts,
        }
    }
}

/// The texts of an error and what caused it, each said once.
fn causes(status: &Status) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = status.source();
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

/// What a node said, without control characters and bounded.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut clean: String = text.chars().take(ERROR_TEXT_CHARS_MAX).map(shown).collect();
    if text.chars().nth(ERROR_TEXT_CHARS_MAX).is_some() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_failure_carries_what_the_node_said() {
        let details = ErrorDetails::with_error_info("KEY_NOT_FOUND", "conclave.v1", HashMap::new());
        let status = Status::with_error_details(Code::NotFound, "no key a/b", details);
        let failure = CallFailure::from_status(&status, "n1:1", 2);
        assert_eq!(
            (failure.reason.as_str(), failure.attempts),
            ("KEY_NOT_FOUND", 2)
        );
        assert_eq!(failure.message, "no key a/b");
        assert!(failure.remedy.contains("conclave key list"));
    }

    #[test]
    fn a_remedy_of_the_node_wins() {
        let more = HashMap::from([("remedy".to_owned(), "ask bob".to_owned())]);
        let details = ErrorDetails::with_error_info("KEY_NOT_FOUND", "conclave.v1", more);
        let status = Status::with_error_details(Code::NotFound, "no key a/b", details);
        assert_eq!(
            CallFailure::from_status(&status, "n1:1", 1).remedy,
            "ask bob"
        );
    }

    #[test]
    fn texts_of_a_node_are_bounded_and_printable() {
        let status = Status::new(
            Code::Internal,
            "a\u{1b}[2Jb\n".to_owned() + &"é".repeat(5_000),
        );
        let failure = CallFailure::from_status(&status, "n1:1", 1);
        assert!(failure.message.starts_with("a\u{fffd}[2Jb\u{fffd}é"));
        assert_eq!(failure.message.chars().count(), ERROR_TEXT_CHARS_MAX + 1);
    }
}
