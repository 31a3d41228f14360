//! A public key that is ready to verify.

use super::ecdsa;
use super::{EcdsaForm, Hash, Input, KeyKind, Scheme};
use crate::error::CryptoError;
use crate::public_key::PublicKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ML_DSA_65, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    VerificationAlgorithm,
};
use std::borrow::Cow;

/// A public key, prepared: made once, it verifies often and in many threads.
pub struct VerifyingKey {
    kind: KeyKind,
    key: Key,
}

/// The library parses a key for one algorithm, hence one for each scheme of RSA.
enum Key {
    Ed25519(ParsedPublicKey),
    Ecdsa(ParsedPublicKey, Hash),
    Rsa(Box<RsaKeys>),
    MlDsa65(ParsedPublicKey),
}

struct RsaKeys {
    pkcs1: ByHash,
    pss: ByHash,
}

struct ByHash {
    sha256: ParsedPublicKey,
    sha384: ParsedPublicKey,
    sha512: ParsedPublicKey,
}

impl VerifyingKey {
    /// # Errors
    /// [`CryptoError::OtherKind`] if `public` is no key of this kind.
    pub fn new(kind: KeyKind, public: &PublicKey) -> Result<Self, CryptoError> {
        if public.kind() != kind.public_kind() {
            return Err(CryptoError::OtherKind {
                expected: kind.name(),
                actual: public.kind().name(),
            });
        }
        let key = match kind {
            KeyKind::Ed25519 => Key::Ed25519(parse(public, &ED25519)?),
            KeyKind::EcdsaP256 => Key::Ecdsa(parse(public, &ECDSA_P256_SHA256_ASN1)?, Hash::Sha256),
            KeyKind::EcdsaP384 => Key::Ecdsa(parse(public, &ECDSA_P384_SHA384_ASN1)?, Hash::Sha384),
            KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => {
                Key::Rsa(Box::new(RsaKeys::new(public)?))
            }
            KeyKind::MlDsa65 => Key::MlDsa65(parse(public, &ML_DSA_65)?),
        };
        Ok(Self { kind, key })
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Whether `signature` is one of the input.
    ///
    /// # Errors
    /// [`CryptoError::WrongSignature`] if not, whatever is wrong with it;
    /// [`CryptoError::OtherScheme`], [`CryptoError::NoDigest`], [`CryptoError::DigestLength`],
    /// [`CryptoError::TooLarge`].
    pub fn verify(
        &self,
        scheme: Scheme,
        input: Input<'_>,
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        let verified = match (&self.key, scheme) {
            (Key::Ed25519(key), Scheme::Ed25519) | (Key::MlDsa65(key), Scheme::MlDsa65) => {
                key.verify_sig(input.message(self.kind)?, signature)
            }
            (Key::Ecdsa(key, hash), Scheme::Ecdsa(form)) => {
                let digest = input.digest(*hash)?;
                let der = self.der(form, signature)?;
                key.verify_digest_sig(&digest, &der)
            }
            (Key::Rsa(keys), Scheme::RsaPkcs1(hash)) => {
                let digest = input.digest(hash)?;
                keys.pkcs1.of(hash).verify_digest_sig(&digest, signature)
            }
            (Key::Rsa(keys), Scheme::RsaPss(hash)) => {
                let digest = input.digest(hash)?;
                keys.pss.of(hash).verify_digest_sig(&digest, signature)
            }
            (Key::Ed25519(_) | Key::Ecdsa(..) | Key::Rsa(_) | Key::MlDsa65(_), _) => {
                return Err(scheme.mismatch(self.kind));
            }
        };
        verified.map_err(|_| CryptoError::WrongSignature)
    }

    fn der<'a>(&self, form: EcdsaForm, signature: &'a [u8]) -> Result<Cow<'a, [u8]>, CryptoError> {
        match form {
            EcdsaForm::Der => Ok(Cow::Borrowed(signature)),
            EcdsaForm::Raw => ecdsa::raw_to_der(self.kind, signature)
                .map(Cow::Owned)
                .map_err(|_| CryptoError::WrongSignature),
        }
    }
}

impl RsaKeys {
    fn new(public: &PublicKey) -> Result<Self, CryptoError> {
        Ok(Self {
            pkcs1: ByHash {
                sha256: parse(public, &RSA_PKCS1_2048_8192_SHA256)?,
                sha384: parse(public, &RSA_PKCS1_2048_8192_SHA384)?,
                sha512: parse(public, &RSA_PKCS1_2048_8192_SHA512)?,
            },
            pss: ByHash {
                sha256: parse(public, &RSA_PSS_2048_8192_SHA256)?,
                sha384: parse(public, &RSA_PSS_2048_8192_SHA384)?,
                sha512: parse(public, &RSA_PSS_2048_8192_SHA512)?,
            },
        })
    }
}

impl ByHash {
    fn of(&self, hash: Hash) -> &ParsedPublicKey {
        match hash {
            Hash::Sha256 => &self.sha256,
            Hash::Sha384 => &self.sha384,
            Hash::Sha512 => &self.sha512,
        }
    }
}

fn parse(
    public: &PublicKey,
    algorithm: &'static dyn VerificationAlgorithm,
) -> Result<ParsedPublicKey, CryptoError> {
    let kind = public.kind().name();
    ParsedPublicKey::new(algorithm, public.spki()).map_err(|_| CryptoError::PublicValue { kind })
}
