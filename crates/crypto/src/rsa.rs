//! RSA key pairs in the stored encoding: PKCS#8 version 1 in DER (RFC 5208, RFC 8017), exactly as
//! `aws-lc-rs` and OpenSSL write it. Used for signatures and for encryption alike.

use crate::error::CryptoError;
use crate::public_key::{PublicKey, RsaSize};
use crate::secret::{PrivateMaterial, SecretBytes};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use subtle::ConstantTimeEq;

/// A new key with the public exponent 65537. The library draws its primes from the operating
/// system; it takes 0.1 to several seconds.
///
/// # Errors
/// [`CryptoError::Library`].
pub(crate) fn generate(size: RsaSize) -> Result<PrivateMaterial, CryptoError> {
    let failed = CryptoError::Library {
        operation: "generate an RSA key",
    };
    let pair = KeyPair::generate(key_size(size)).map_err(|_| failed.clone())?;
    PrivateMaterial::new(encode(&pair).ok_or(failed)?)
}

/// Checks that the material is one consistent key of `size`, stored in no other way than
/// [`generate`] would, and gives its halves.
///
/// # Errors
/// [`CryptoError::PrivateKey`] or [`CryptoError::RsaParameters`].
pub(crate) fn parse(
    size: RsaSize,
    material: &PrivateMaterial,
) -> Result<(KeyPair, PublicKey), CryptoError> {
    let kind = size.name();
    let damaged = CryptoError::PrivateKey { kind };
    let pair = KeyPair::from_pkcs8(material.expose()).map_err(|_| damaged.clone())?;
    let again = encode(&pair).ok_or_else(|| damaged.clone())?;
    if !bool::from(again.expose().ct_eq(material.expose())) {
        return Err(damaged);
    }
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| damaged.clone())?;
    let public = PublicKey::from_spki(spki.as_ref())?;
    if public.kind().rsa_size() != Some(size) {
        return Err(damaged);
    }
    Ok((pair, public))
}

/// The stored encoding of an RSA key in PKCS#8, however that is written.
///
/// # Errors
/// [`CryptoError::PrivateKey`].
pub(crate) fn recode(
    kind: &'static str,
    key: &PrivateMaterial,
) -> Result<PrivateMaterial, CryptoError> {
    let other = CryptoError::PrivateKey { kind };
    let pair = KeyPair::from_pkcs8(key.expose()).map_err(|_| other.clone())?;
    PrivateMaterial::new(encode(&pair).ok_or(other)?)
}

fn encode(pair: &KeyPair) -> Option<SecretBytes> {
    let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    Some(SecretBytes::from_vec(der.as_ref().to_vec()))
}

fn key_size(size: RsaSize) -> KeySize {
    match size {
        RsaSize::Bits2048 => KeySize::Rsa2048,
        RsaSize::Bits3072 => KeySize::Rsa3072,
        RsaSize::Bits4096 => KeySize::Rsa4096,
    }
}
