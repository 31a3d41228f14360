//! A private key that is ready to sign.

use super::ecdsa;
use super::{EcdsaForm, Hash, Input, KeyKind, Scheme};
use crate::error::CryptoError;
use crate::public_key::{PublicKey, RsaSize};
use crate::rsa;
use crate::secret::PrivateMaterial;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ML_DSA_65_SIGNING, PqdsaKeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{agreement, digest};

const FAILED: CryptoError = CryptoError::Library { operation: "sign" };

/// A private key, prepared: made once, it signs often and in many threads. The library wipes what
/// it holds of it when this is dropped.
pub struct SigningKey {
    kind: KeyKind,
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair, Hash),
    Rsa(RsaKeyPair, RsaSize),
    MlDsa65(PqdsaKeyPair),
}

impl SigningKey {
    /// From the stored material of a key of this kind.
    ///
    /// # Errors
    /// [`CryptoError::PrivateKey`] if it is none; [`CryptoError::RsaParameters`].
    pub fn new(kind: KeyKind, material: &PrivateMaterial) -> Result<Self, CryptoError> {
        let (pair, public) = match kind {
            KeyKind::Ed25519 => ed25519(kind, material)?,
            KeyKind::EcdsaP256 => ecdsa_pair(kind, material, &P256)?,
            KeyKind::EcdsaP384 => ecdsa_pair(kind, material, &P384)?,
            KeyKind::Rsa2048 => rsa_pair(RsaSize::Bits2048, material)?,
            KeyKind::Rsa3072 => rsa_pair(RsaSize::Bits3072, material)?,
            KeyKind::Rsa4096 => rsa_pair(RsaSize::Bits4096, material)?,
            KeyKind::MlDsa65 => ml_dsa(kind, material)?,
        };
        Ok(Self { kind, pair, public })
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs.
    ///
    /// # Errors
    /// [`CryptoError::OtherScheme`], [`CryptoError::NoDigest`], [`CryptoError::DigestLength`],
    /// [`CryptoError::TooLarge`], [`CryptoError::Library`].
    pub fn sign(&self, scheme: Scheme, input: Input<'_>) -> Result<Vec<u8>, CryptoError> {
        match (&self.pair, scheme) {
            (Pair::Ed25519(pair), Scheme::Ed25519) => {
                let signature = pair.try_sign(input.message(self.kind)?);
                Ok(signature.map_err(|_| FAILED)?.as_ref().to_vec())
            }
            (Pair::Ecdsa(pair, hash), Scheme::Ecdsa(form)) => {
                let signature = pair.sign_digest(&input.digest(*hash)?);
                let der = signature.map_err(|_| FAILED)?;
                match form {
                    EcdsaForm::Der => Ok(der.as_ref().to_vec()),
                    EcdsaForm::Raw => ecdsa::der_to_raw(self.kind, der.as_ref()),
                }
            }
            (Pair::Rsa(pair, size), Scheme::RsaPkcs1(hash)) => {
                sign_rsa(pair, *size, pkcs1(hash), &input.digest(hash)?)
            }
            (Pair::Rsa(pair, size), Scheme::RsaPss(hash)) => {
                sign_rsa(pair, *size, pss(hash), &input.digest(hash)?)
            }
            (Pair::MlDsa65(pair), Scheme::MlDsa65) => {
                let mut signature = vec![0; ML_DSA_65_SIGNING.signature_len()];
                pair.sign(input.message(self.kind)?, &mut signature)
                    .map_err(|_| FAILED)?;
                Ok(signature)
            }
            (Pair::Ed25519(_) | Pair::Ecdsa(..) | Pair::Rsa(..) | Pair::MlDsa65(_), _) => {
                Err(scheme.mismatch(self.kind))
            }
        }
    }
}

struct Curve {
    signing: &'static EcdsaSigningAlgorithm,
    agreement: &'static agreement::Algorithm,
    hash: Hash,
}

static P256: Curve = Curve {
    signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
    agreement: &agreement::ECDH_P256,
    hash: Hash::Sha256,
};
static P384: Curve = Curve {
    signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
    agreement: &agreement::ECDH_P384,
    hash: Hash::Sha384,
};

fn ed25519(kind: KeyKind, seed: &PrivateMaterial) -> Result<(Pair, PublicKey), CryptoError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| damaged(kind))?;
    let public = PublicKey::from_raw(kind.public_kind(), pair.public_key().as_ref())?;
    Ok((Pair::Ed25519(pair), public))
}

/// The library makes a key pair of scalar and point only; it computes the point for agreement.
fn ecdsa_pair(
    kind: KeyKind,
    scalar: &PrivateMaterial,
    curve: &Curve,
) -> Result<(Pair, PublicKey), CryptoError> {
    let scalar = scalar.expose();
    let point = agreement::PrivateKey::from_private_key(curve.agreement, scalar)
        .map_err(|_| damaged(kind))?
        .compute_public_key()
        .map_err(|_| damaged(kind))?;
    let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.signing, scalar, point.as_ref())
        .map_err(|_| damaged(kind))?;
    let public = PublicKey::from_raw(kind.public_kind(), point.as_ref())?;
    Ok((Pair::Ecdsa(pair, curve.hash), public))
}

fn rsa_pair(size: RsaSize, material: &PrivateMaterial) -> Result<(Pair, PublicKey), CryptoError> {
    let (pair, public) = rsa::parse(size, material)?;
    Ok((Pair::Rsa(pair, size), public))
}

fn ml_dsa(kind: KeyKind, seed: &PrivateMaterial) -> Result<(Pair, PublicKey), CryptoError> {
    let pair = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, seed.expose());
    let pair = pair.map_err(|_| damaged(kind))?;
    let public = PublicKey::from_raw(kind.public_kind(), pair.public_key().as_ref())?;
    Ok((Pair::MlDsa65(pair), public))
}

fn sign_rsa(
    pair: &RsaKeyPair,
    size: RsaSize,
    encoding: &'static dyn RsaEncoding,
    digest: &digest::Digest,
) -> Result<Vec<u8>, CryptoError> {
    let mut signature = vec![0; size.modulus_bytes()];
    pair.sign_digest(encoding, digest, &mut signature)
        .map_err(|_| FAILED)?;
    Ok(signature)
}

fn pkcs1(hash: Hash) -> &'static dyn RsaEncoding {
    match hash {
        Hash::Sha256 => &RSA_PKCS1_SHA256,
        Hash::Sha384 => &RSA_PKCS1_SHA384,
        Hash::Sha512 => &RSA_PKCS1_SHA512,
    }
}

fn pss(hash: Hash) -> &'static dyn RsaEncoding {
    match hash {
        Hash::Sha256 => &RSA_PSS_SHA256,
        Hash::Sha384 => &RSA_PSS_SHA384,
        Hash::Sha512 => &RSA_PSS_SHA512,
    }
}

fn damaged(kind: KeyKind) -> CryptoError {
    CryptoError::PrivateKey { kind: kind.name() }
}
