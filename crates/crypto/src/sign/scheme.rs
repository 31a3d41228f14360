//! How a signature is made of a message or its digest, chosen by the caller within the key's kind.

use super::KeyKind;
use crate::error::CryptoError;
use crate::limits::SIGNED_MESSAGE_BYTES_MAX;
use aws_lc_rs::digest;

/// How a signature is made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Ed25519, pure (RFC 8032).
    Ed25519,
    /// ECDSA with the hash of the curve's size: SHA-256 on P-256, SHA-384 on P-384.
    Ecdsa(EcdsaForm),
    /// RSASSA-PKCS1-v1_5 (RFC 8017).
    RsaPkcs1(Hash),
    /// RSASSA-PSS; the same hash for message and mask, and a salt of its length.
    RsaPss(Hash),
    /// ML-DSA-65, pure and hedged, with an empty context (FIPS 204).
    MlDsa65,
}

/// How the two numbers of an ECDSA signature are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EcdsaForm {
    /// `SEQUENCE { r INTEGER, s INTEGER }` in DER, as X.509 and TLS have it.
    Der,
    /// r ‖ s, big-endian, each as long as the curve's order, as JSON Web Signatures have it.
    Raw,
}

/// A hash that a signature is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// Digests of 32 bytes.
    Sha256,
    /// Digests of 48 bytes.
    Sha384,
    /// Digests of 64 bytes.
    Sha512,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The message, of [`SIGNED_MESSAGE_BYTES_MAX`] bytes at most.
    Message(&'a [u8]),
    /// Its digest, by the hash of the scheme.
    Digest(&'a [u8]),
}

impl Scheme {
    /// As errors name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Ecdsa(_) => "ECDSA",
            Self::RsaPkcs1(_) => "RSA PKCS#1 v1.5",
            Self::RsaPss(_) => "RSA PSS",
            Self::MlDsa65 => "ML-DSA-65",
        }
    }

    pub(super) fn mismatch(self, kind: KeyKind) -> CryptoError {
        CryptoError::OtherScheme {
            kind: kind.name(),
            scheme: self.name(),
        }
    }
}

impl Hash {
    /// As errors name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    /// Bytes of a digest.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of a message, or the one that is given: for whoever signs elsewhere.
    ///
    /// # Errors
    /// [`CryptoError::DigestLength`], [`CryptoError::TooLarge`].
    pub fn digest(self, input: Input<'_>) -> Result<Vec<u8>, CryptoError> {
        Ok(input.digest(self)?.as_ref().to_vec())
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl<'a> Input<'a> {
    /// For a kind that signs messages only.
    ///
    /// # Errors
    /// [`CryptoError::NoDigest`], [`CryptoError::TooLarge`].
    pub(super) fn message(self, kind: KeyKind) -> Result<&'a [u8], CryptoError> {
        match self {
            Self::Message(message) => checked(message),
            Self::Digest(_) => Err(CryptoError::NoDigest { kind: kind.name() }),
        }
    }

    /// # Errors
    /// [`CryptoError::DigestLength`], [`CryptoError::TooLarge`].
    pub(super) fn digest(self, hash: Hash) -> Result<digest::Digest, CryptoError> {
        match self {
            Self::Message(message) => Ok(digest::digest(hash.algorithm(), checked(message)?)),
            Self::Digest(bytes) => digest::Digest::import_less_safe(bytes, hash.algorithm())
                .map_err(|_| CryptoError::DigestLength {
                    hash: hash.name(),
                    expected: hash.digest_bytes(),
                    actual: bytes.len(),
                }),
        }
    }
}

fn checked(message: &[u8]) -> Result<&[u8], CryptoError> {
    let (max, actual) = (SIGNED_MESSAGE_BYTES_MAX, message.len());
    if actual > max {
        let what = "message to be signed or verified";
        return Err(CryptoError::TooLarge { what, max, actual });
    }
    Ok(message)
}
