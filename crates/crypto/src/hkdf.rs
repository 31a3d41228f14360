//! HKDF-SHA-256 (RFC 5869), as `ring` has it, between our secret types.

use ring::{hkdf, hmac};

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Bytes that one expansion gives at most (RFC 5869, section 2.3).
pub(crate) const EXPAND_BYTES_MAX: usize = 255 * 32;

/// HKDF-Extract, which RFC 5869 defines as HMAC(salt, input). Not `ring::hkdf::Salt`, whose result
/// can be neither wiped nor made by an HSM.
pub(crate) fn extract(salt: &[u8], input: &[u8], out: &mut [u8; 32]) {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), input);
    out.copy_from_slice(tag.as_ref());
}

/// HKDF-Expand; the parts of `info` are concatenated.
///
/// # Panics
/// If `out` is longer than [`EXPAND_BYTES_MAX`].
pub(crate) fn expand(prk: &[u8; 32], info: &[&[u8]], out: &mut [u8]) {
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, prk)
        .expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("callers ask for at most 8160 bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_5869_test_case_1() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut prk = [0; 32];
        extract(&salt, &[0x0b; 22], &mut prk);
        let mut out = [0; 42];
        expand(&prk, &[&info[..3], &info[3..]], &mut out);
        assert_eq!(
            hex::encode(out),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }
}
