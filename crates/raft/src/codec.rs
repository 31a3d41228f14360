//! How this crate's values become bytes on the disk: one byte that names the format, then postcard.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// The format that is written, on the disk and between nodes.
pub(crate) const FORMAT: u8 = 1;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum DecodeError {
    #[error("no bytes at all")]
    Empty,
    #[error("format {0} is not known to this version: upgrade the node")]
    Format(u32),
    #[error("damaged: {0}")]
    Damaged(#[from] postcard::Error),
    #[error("{0} bytes too many")]
    Trailing(usize),
}

/// The bytes of a value, behind the format's.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![FORMAT]).expect("our types have no shape postcard cannot write")
}

/// The value of such bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (format, rest) = bytes.split_first().ok_or(DecodeError::Empty)?;
    decode_payload(u32::from(*format), rest)
}

/// A value without the format's byte, for frames that carry the format in a field of their own.
pub(crate) fn encode_payload<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("our types have no shape postcard cannot write")
}

/// The value of such a payload.
pub(crate) fn decode_payload<T: DeserializeOwned>(
    format: u32,
    payload: &[u8],
) -> Result<T, DecodeError> {
    if format != u32::from(FORMAT) {
        return Err(DecodeError::Format(format));
    }
    let (value, trailing) = postcard::take_from_bytes(payload)?;
    if trailing.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::Trailing(trailing.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Entry, LogId, MemberNode, Opaque, Payload, Proposal, Vote};
    use openraft::vote::RaftLeaderId;
    use std::collections::{BTreeMap, BTreeSet};

    type Leader = openraft::type_config::alias::LeaderIdOf<crate::types::Types>;

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn log_id(term: u64, node: u64, index: u64) -> LogId {
        LogId::new(Leader::new(term, node).to_committed(), index)
    }

    /// What an older node wrote must stay readable: a change of these bytes is a new format.
    #[test]
    fn golden_bytes_of_what_is_stored() {
        let normal = Entry {
            log_id: log_id(3, 2, 300),
            payload: Payload::Normal(Proposal(Opaque::from(vec![1, 2, 3]))),
        };
        assert_eq!(hex(&encode(&normal)), "010302ac020103010203");
        let blank = Entry {
            log_id: log_id(1, 1, 1),
            payload: Payload::Blank,
        };
        assert_eq!(hex(&encode(&blank)), "0101010100");
        let node = MemberNode {
            name: "n1".into(),
            api: "a:1".into(),
            peer: "p:1".into(),
        };
        let membership =
            openraft::Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, node)]))
                .unwrap();
        let member = Entry {
            log_id: log_id(0, 0, 0),
            payload: Payload::Membership(membership),
        };
        assert_eq!(
            hex(&encode(&member)),
            "01000000020101010101026e3103613a3103703a31"
        );
        assert_eq!(hex(&encode(&Vote::new_committed(3, 2))), "01030201");
        for bytes in [encode(&normal), encode(&blank), encode(&member)] {
            assert_eq!(hex(&encode(&decode::<Entry>(&bytes).unwrap())), hex(&bytes));
        }
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let bytes = encode(&Vote::new(3, 2));
        assert_eq!(decode::<Vote>(&[]), Err(DecodeError::Empty));
        assert_eq!(decode::<Vote>(&[9, 0]), Err(DecodeError::Format(9)));
        assert!(matches!(
            decode::<Vote>(&bytes[..2]),
            Err(DecodeError::Damaged(_))
        ));
        let longer = [bytes.as_slice(), &[0, 0]].concat();
        assert_eq!(decode::<Vote>(&longer), Err(DecodeError::Trailing(2)));
    }
}
