//! What anybody who has the public key does: hash what is to be signed, verify what was, and encrypt.

use crate::HsmKeyKind;
use crate::hsm::{HsmHash, OaepHash, SignatureScheme};
use aes_kw::{KeyInit, KwpAes256};
use ring::digest;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
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
        HsmKeyKind::RsaSign(_) | HsmKeyKind::RsaDecrypt(..) | HsmKeyKind::RsaUnwrap(..) => {
            ("1.2.840.113549.1.1.1", None)
        }
        HsmKeyKind::Kek | HsmKeyKind::Mac | HsmKeyKind::MacSha384 | HsmKeyKind::MacSha512 => {
            panic!("a secret key has no public one")
        }
    };
    assert_eq!((&*algorithm, curve.as_deref()), expected);
    info.subject_public_key.data.to_vec()
}

/// The modulus of an RSA key, without a zero in front.
pub(super) fn modulus(public: &[u8]) -> Vec<u8> {
    let (_, info) = SubjectPublicKeyInfo::from_der(public).unwrap();
    let PublicKey::RSA(key) = info.parsed().unwrap() else {
        panic!("it is an RSA key");
    };
    BigUint::from_bytes_be(key.modulus).to_bytes_be()
}

fn oaep_digest(hash: OaepHash, message: &[u8]) -> digest::Digest {
    match hash {
        OaepHash::Sha1 => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message),
        OaepHash::Sha256 => digest::digest(&digest::SHA256, message),
    }
}

/// MGF1 (RFC 8017, appendix B.2.1), added to `data`.
fn mask(hash: OaepHash, seed: &[u8], data: &mut [u8]) {
    for (counter, block) in (0_u32..).zip(data.chunks_mut(hash.bytes())) {
        let mask = oaep_digest(hash, &[seed, &counter.to_be_bytes()].concat());
        for (byte, mask) in block.iter_mut().zip(mask.as_ref()) {
            *byte ^= mask;
        }
    }
}

/// RSA-OAEP (RFC 8017, section 7.1.1). The seed is always the same: good for tests only.
pub(super) fn encrypt_oaep(
    modulus: &[u8],
    hash: OaepHash,
    label: &[u8],
    message: &[u8],
) -> Vec<u8> {
    let mut seed = vec![0x5E; hash.bytes()];
    let mut block = oaep_digest(hash, label).as_ref().to_vec();
    block.resize(modulus.len() - hash.bytes() - 2 - message.len(), 0);
    block.push(1);
    block.extend(message);
    mask(hash, &seed, &mut block);
    mask(hash, &block, &mut seed);
    let encoded = BigUint::from_bytes_be(&[seed, block].concat());
    let exponent = BigUint::from(65_537_u32);
    let power = encoded.modpow(&exponent, &BigUint::from_bytes_be(modulus));
    let power = power.to_bytes_be();
    [vec![0; modulus.len() - power.len()], power].concat()
}

/// Wraps a key as whoever brings it does: an AES key under RSA-OAEP, and behind it the key under that.
pub(super) fn wrap_for(public: &[u8], hash: OaepHash, once: &[u8], key: &[u8]) -> Vec<u8> {
    let mut wrapped = encrypt_oaep(&modulus(public), hash, &[], once);
    let mut buffer = vec![0; key.len().next_multiple_of(8) + 8];
    let kek: [u8; 32] = once.try_into().unwrap_or([7; 32]);
    let kek = KwpAes256::new(&kek.into());
    wrapped.extend_from_slice(kek.wrap_key(key, &mut buffer).unwrap());
    wrapped
}
