//! Whether the bytes of a public key mean a key, and a safe one.

use super::PublicKind;
use super::layout::Layout;
use crate::error::CryptoError;
use crate::kem;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, EcdsaVerificationAlgorithm, ParsedPublicKey,
};
use curve25519_dalek::edwards::CompressedEdwardsY;

/// The byte before an uncompressed point (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// # Errors
/// [`CryptoError::PublicValue`], [`CryptoError::RsaParameters`].
pub(super) fn check(kind: PublicKind, raw: &[u8]) -> Result<(), CryptoError> {
    let fits = raw.len() == Layout::of(kind).raw_bytes;
    let valid = fits
        && match kind {
            PublicKind::Ed25519 => on_edwards_curve(raw),
            PublicKind::P256 => on_nist_curve(&ECDSA_P256_SHA256_ASN1, raw),
            PublicKind::P384 => on_nist_curve(&ECDSA_P384_SHA384_ASN1, raw),
            PublicKind::Rsa(_) if !is_modulus(raw) => return Err(CryptoError::RsaParameters),
            PublicKind::MlKem768 => kem::is_reduced(raw),
            // Any 32 bytes are an X25519 key, and agreement refuses those of low order; any 1952
            // bytes are an ML-DSA-65 key.
            PublicKind::Rsa(_) | PublicKind::X25519 | PublicKind::MlDsa65 => true,
        };
    if valid {
        Ok(())
    } else {
        Err(CryptoError::PublicValue { kind: kind.name() })
    }
}

/// On the curve, in the one encoding that RFC 8032 allows, and not of a low order, under which one
/// signature would be good for many messages.
fn on_edwards_curve(raw: &[u8]) -> bool {
    let Ok(encoded) = CompressedEdwardsY::from_slice(raw) else {
        return false;
    };
    encoded
        .decompress()
        .is_some_and(|point| point.compress() == encoded && !point.is_small_order())
}

fn on_nist_curve(algorithm: &'static EcdsaVerificationAlgorithm, raw: &[u8]) -> bool {
    raw.first() == Some(&UNCOMPRESSED) && ParsedPublicKey::new(algorithm, raw).is_ok()
}

/// Of full length, and odd.
fn is_modulus(raw: &[u8]) -> bool {
    let full = raw.first().is_some_and(|first| first & 0x80 != 0);
    full && raw.last().is_some_and(|last| last & 1 == 1)
}
