//! New private keys, in their stored encoding.

use super::{KeyKind, SigningKey};
use crate::error::CryptoError;
use crate::public_key::RsaSize;
use crate::rsa;
use crate::secret::PrivateMaterial;

/// A private key made of `seed`, which must be as many fresh random bytes as
/// [`KeyKind::seed_bytes`] says; the same seed makes the same key. Wiping `seed` remains the
/// caller's business.
///
/// # Errors
/// [`CryptoError::DrawAgain`] if these bytes are no scalar of the curve: for P-256 once in 2^32
/// draws, for P-384 practically never; [`CryptoError::SeedLength`]; [`CryptoError::Generation`]
/// for RSA.
pub fn generate(kind: KeyKind, seed: &[u8]) -> Result<PrivateMaterial, CryptoError> {
    let (name, actual) = (kind.name(), seed.len());
    let expected = kind
        .seed_bytes()
        .ok_or(CryptoError::Generation { kind: name })?;
    if actual != expected {
        let kind = name;
        return Err(CryptoError::SeedLength {
            kind,
            expected,
            actual,
        });
    }
    let material = PrivateMaterial::from_slice(seed)?;
    match SigningKey::new(kind, &material) {
        Ok(_) => Ok(material),
        Err(CryptoError::PrivateKey { .. }) => Err(CryptoError::DrawAgain),
        Err(error) => Err(error),
    }
}

/// A new RSA key. Its primes come from the operating system, inside the library: two calls never
/// make the same key, and no test can replay one. It takes 0.1 to several seconds of computation.
///
/// # Errors
/// [`CryptoError::Generation`] for another kind; [`CryptoError::Library`].
pub fn generate_rsa(kind: KeyKind) -> Result<PrivateMaterial, CryptoError> {
    match kind {
        KeyKind::Rsa2048 => rsa::generate(RsaSize::Bits2048),
        KeyKind::Rsa3072 => rsa::generate(RsaSize::Bits3072),
        KeyKind::Rsa4096 => rsa::generate(RsaSize::Bits4096),
        KeyKind::Ed25519 | KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::MlDsa65 => {
            Err(CryptoError::Generation { kind: kind.name() })
        }
    }
}
