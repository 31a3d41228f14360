//! Private keys as other systems write them: PKCS#8 in DER (RFC 5208), but for ML-DSA, whose seed is taken and given as it
//! is (FIPS 204).

use super::{KeyKind, SigningKey};
use crate::error::CryptoError;
use crate::rsa;
use crate::secret::{PrivateMaterial, SecretBytes};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin, EcPrivateKeyBin};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair,
};

/// The stored encoding of a private key that another system made.
///
/// # Errors
/// [`CryptoError::PrivateKey`] if it is none of this kind; [`CryptoError::RsaParameters`].
pub fn import(kind: KeyKind, key: &PrivateMaterial) -> Result<PrivateMaterial, CryptoError> {
    let other = CryptoError::PrivateKey { kind: kind.name() };
    let stored = match kind {
        KeyKind::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.expose());
            let seed = pair.map_err(|_| other.clone())?.seed();
            let seed = seed.map_err(|_| other.clone())?;
            let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| other.clone())?;
            PrivateMaterial::from_slice(seed.as_ref())?
        }
        KeyKind::EcdsaP256 => scalar(kind, &ECDSA_P256_SHA256_ASN1_SIGNING, key)?,
        KeyKind::EcdsaP384 => scalar(kind, &ECDSA_P384_SHA384_ASN1_SIGNING, key)?,
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => rsa::recode(kind.name(), key)?,
        KeyKind::MlDsa65 => PrivateMaterial::from_slice(key.expose())?,
    };
    SigningKey::new(kind, &stored)?;
    Ok(stored)
}

fn scalar(
    kind: KeyKind,
    algorithm: &'static EcdsaSigningAlgorithm,
    key: &PrivateMaterial,
) -> Result<PrivateMaterial, CryptoError> {
    let other = CryptoError::PrivateKey { kind: kind.name() };
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.expose()).map_err(|_| other.clone())?;
    let scalar: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(|_| other)?;
    PrivateMaterial::from_slice(scalar.as_ref())
}

/// A stored private key as other systems read it.
///
/// # Errors
/// [`CryptoError::PrivateKey`] if it is none of this kind; [`CryptoError::Library`].
pub fn export(kind: KeyKind, stored: &PrivateMaterial) -> Result<PrivateMaterial, CryptoError> {
    let other = CryptoError::PrivateKey { kind: kind.name() };
    let failed = CryptoError::Library {
        operation: "encode a private key",
    };
    let document = match kind {
        KeyKind::Ed25519 => {
            let pair = Ed25519KeyPair::from_seed_unchecked(stored.expose()).map_err(|_| other)?;
            pair.to_pkcs8v1()
        }
        KeyKind::EcdsaP256 => pair(kind, &ECDSA_P256_SHA256_ASN1_SIGNING, stored)?.to_pkcs8v1(),
        KeyKind::EcdsaP384 => pair(kind, &ECDSA_P384_SHA384_ASN1_SIGNING, stored)?.to_pkcs8v1(),
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 | KeyKind::MlDsa65 => {
            return PrivateMaterial::from_slice(stored.expose());
        }
    };
    let document = document.map_err(|_| failed)?;
    PrivateMaterial::new(SecretBytes::from_vec(document.as_ref().to_vec()))
}

fn pair(
    kind: KeyKind,
    algorithm: &'static EcdsaSigningAlgorithm,
    stored: &PrivateMaterial,
) -> Result<EcdsaKeyPair, CryptoError> {
    let signing = SigningKey::new(kind, stored)?;
    let point = signing.public_key().raw();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, stored.expose(), point);
    pair.map_err(|_| CryptoError::PrivateKey { kind: kind.name() })
}
