//! The wire between nodes: calls out, and the service that answers them.

mod append;
mod dialer;
mod out;
mod service;
mod snapshots;
mod stream;

pub(crate) use dialer::Dialer;
pub(crate) use out::Peers;
pub use service::PeerApi;
pub(crate) use stream::{Answered, Links};

use crate::limits::PEER_TEXT_BYTES_MAX;

/// What a peer says, fit for our own errors and logs.
pub(crate) fn quote(text: &str) -> String {
    let escaped = text.chars().flat_map(char::escape_debug);
    let mut quoted = String::new();
    for c in escaped {
        if quoted.len() + c.len_utf8() > PEER_TEXT_BYTES_MAX {
            break;
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_words_are_bounded_and_escaped() {
        assert_eq!(quote("a\n\u{1b}b"), "a\\n\\u{1b}b");
        assert_eq!(quote(&"x".repeat(5000)).len(), PEER_TEXT_BYTES_MAX);
    }
}
