//! Keys that are the same in every run.

use base64::Engine as _;
use conclave_crypto::sign::{EcdsaForm, Hash, KeyKind, Scheme, SigningKey, generate};
use conclave_crypto::{PrivateMaterial, RsaSize};

const RSA_2048: &str = include_str!("../vectors/rsa/2048.pem");
const RSA_3072: &str = include_str!("../vectors/rsa/3072.pem");
const RSA_4096: &str = include_str!("../vectors/rsa/4096.pem");

pub(crate) const HASHES: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

pub(crate) const RSA_SIZES: [RsaSize; 3] =
    [RsaSize::Bits2048, RsaSize::Bits3072, RsaSize::Bits4096];

pub(crate) fn rsa_material(size: RsaSize) -> PrivateMaterial {
    let pem = match size {
        RsaSize::Bits2048 => RSA_2048,
        RsaSize::Bits3072 => RSA_3072,
        RsaSize::Bits4096 => RSA_4096,
    };
    PrivateMaterial::from_slice(&der(pem)).ok().unwrap()
}

/// The body of a PEM file.
fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD
        .decode(body)
        .unwrap()
}

/// RSA keys of files, others of the seed 7, 7, 7…
pub(crate) fn material(kind: KeyKind) -> PrivateMaterial {
    match kind {
        KeyKind::Rsa2048 => rsa_material(RsaSize::Bits2048),
        KeyKind::Rsa3072 => rsa_material(RsaSize::Bits3072),
        KeyKind::Rsa4096 => rsa_material(RsaSize::Bits4096),
        KeyKind::Ed25519 | KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::MlDsa65 => {
            generate(kind, &vec![7; kind.seed_bytes().unwrap()])
                .ok()
                .unwrap()
        }
    }
}

pub(crate) fn signing_key(kind: KeyKind) -> SigningKey {
    SigningKey::new(kind, &material(kind)).ok().unwrap()
}

/// Every scheme of a kind.
pub(crate) fn schemes(kind: KeyKind) -> Vec<Scheme> {
    match kind {
        KeyKind::Ed25519 => vec![Scheme::Ed25519],
        KeyKind::MlDsa65 => vec![Scheme::MlDsa65],
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 => {
            vec![Scheme::Ecdsa(EcdsaForm::Der), Scheme::Ecdsa(EcdsaForm::Raw)]
        }
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => {
            let pkcs1 = HASHES.map(Scheme::RsaPkcs1);
            [pkcs1, HASHES.map(Scheme::RsaPss)].concat()
        }
    }
}
