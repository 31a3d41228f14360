//! What anybody who has the public key does: hash what is to be signed, and verify what was.

use crate::HsmKeyKind;
use crate::hsm::{HsmHash, SignatureScheme};
use ring::digest;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A kind of keys, and one of its schemes.
pub(super) type Of = (HsmKeyKind, SignatureScheme);

/// What is signed of a message: itself, or its digest.
pub(super) fn input((kind, scheme): Of, message: &[u8]) -> Vec<u8> {
    let algorithm = match (kind, scheme) {
        (_, SignatureScheme::Ed25519) => return message.to_vec(),
        (HsmKeyKind::EcdsaP384, SignatureScheme::Ecdsa) => &digest::SHA384,
        (_, SignatureScheme::Ecdsa) => &digest::SHA256,
        (_, SignatureScheme::RsaPkcs1(hash) | SignatureScheme::RsaPss(hash)) => match hash {
            HsmHash::Sha256 => &digest::SHA256,
            HsmHash::Sha384 => &digest::SHA384,
            HsmHash::Sha512 => &digest::SHA512,
        },
    };
    digest::digest(algorithm, message).as_ref().to_vec()
}

pub(super) fn verifies(
    public: &[u8],
    (kind, scheme): Of,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let algorithm: &dyn VerificationAlgorithm = match scheme {
        SignatureScheme::Ed25519 => &signature::ED25519,
        SignatureScheme::Ecdsa if kind == HsmKeyKind::EcdsaP384 => {
            &signature::ECDSA_P384_SHA384_FIXED
        }
        SignatureScheme::Ecdsa => &signature::ECDSA_P256_SHA256_FIXED,
        SignatureScheme::RsaPkcs1(hash) => match hash {
            HsmHash::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            HsmHash::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            HsmHash::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        },
        SignatureScheme::RsaPss(hash) => match hash {
            HsmHash::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
            HsmHash::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
            HsmHash::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
        },
    };
    let key = UnparsedPublicKey::new(algorithm, key_bits(public, kind));
    key.verify(message, signature).is_ok()
}

/// The key in a `SubjectPublicKeyInfo`, which must be one of this kind.
pub(super) fn key_bits(public: &[u8], kind: HsmKeyKind) -> Vec<u8> {
    const EC: &str = "1.2.840.10045.2.1";
    let (rest, info) = SubjectPublicKeyInfo::from_der(public).unwrap();
    assert!(rest.is_empty());
    let algorithm = info.algorithm.algorithm.to_id_string();
    // Absent, or NULL for RSA.
    let curve = info.algorithm.parameters.as_ref();
    let curve = curve.filter(|any| !any.data.is_empty());
    let curve = curve.map(|any| any.as_oid().unwrap().to_id_string());
    let expected = match kind {
        HsmKeyKind::Ed25519 => ("1.3.101.112", None),
        HsmKeyKind::EcdsaP384 => (EC, Some("1.3.132.0.34")),
        HsmKeyKind::EcdsaP256 | HsmKeyKind::EcdhP256 => (EC, Some("1.2.840.10045.3.1.7")),
        HsmKeyKind::RsaSign(_) | HsmKeyKind::RsaDecrypt(_) => ("1.2.840.113549.1.1.1", None),
        HsmKeyKind::Kek | HsmKeyKind::Mac | HsmKeyKind::MacSha384 | HsmKeyKind::MacSha512 => {
            panic!("a secret key has no public one")
        }
    };
    assert_eq!((&*algorithm, curve.as_deref()), expected);
    info.subject_public_key.data.to_vec()
}
