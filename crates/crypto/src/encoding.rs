//! Unambiguous concatenation.

/// Appends `bytes` behind their length as u64, big-endian, so that no two lists of fields are equal
/// when written one behind the other.
pub(crate) fn put_field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// All `fields`, each behind its length.
pub(crate) fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.iter().map(|f| f.len().saturating_add(8)).sum());
    for field in fields {
        put_field(&mut out, field);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn moving_a_border_changes_the_encoding() {
        assert_ne!(fields(&[b"ab", b"c"]), fields(&[b"a", b"bc"]));
        assert_ne!(fields(&[b"a", b""]), fields(&[b"a"]));
        assert_eq!(fields(&[b"a"]), [0, 0, 0, 0, 0, 0, 0, 1, b'a']);
    }
}
