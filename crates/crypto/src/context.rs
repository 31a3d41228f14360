//! The canonical form of an encryption context (`docs/format/message.md`).

use conclave_core::EncryptionContext;
use ring::digest;

/// u32 count, then for each pair in the order of its name: u32 length, name, u32 length, value. All
/// numbers big-endian, all text UTF-8.
///
/// # Panics
/// Never: the context's own limits keep every number below 2^32.
pub fn canonical(context: &EncryptionContext) -> Vec<u8> {
    let mut out = number(context.len()).to_vec();
    for part in context.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&number(part.len()));
        out.extend_from_slice(part.as_bytes());
    }
    out
}

/// SHA-256 of the canonical form.
pub fn digest(context: &EncryptionContext) -> [u8; 32] {
    sha256(&canonical(context))
}

fn number(value: usize) -> [u8; 4] {
    u32::try_from(value)
        .expect("a context has at most 32 pairs and 8 KiB")
        .to_be_bytes()
}

/// SHA-256.
///
/// # Panics
/// Never.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn pairs_stand_in_the_order_of_their_names_behind_their_lengths() {
        let pairs = [("b", "2"), ("a", "é")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let context = EncryptionContext::new(BTreeMap::from(pairs)).unwrap();
        let expected = b"\0\0\0\x02\0\0\0\x01a\0\0\0\x02\xc3\xa9\0\0\0\x01b\0\0\0\x012";
        assert_eq!(canonical(&context), expected);
        assert_eq!(canonical(&EncryptionContext::default()), [0; 4]);
    }
}
