//! The kinds of keys that sign.

use crate::public_key::{PublicKind, RsaSize};

/// The kinds of keys that sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5).
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384 (FIPS 186-5).
    EcdsaP384,
    /// RSA of 2048 bits (RFC 8017).
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
    /// ML-DSA-65 (FIPS 204).
    MlDsa65,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::MlDsa65,
    ];

    /// As errors name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::Rsa2048 => "RSA-2048",
            Self::Rsa3072 => "RSA-3072",
            Self::Rsa4096 => "RSA-4096",
            Self::MlDsa65 => "ML-DSA-65",
        }
    }

    /// Random bytes that [`generate`](super::generate) makes a key from; RSA takes none.
    pub fn seed_bytes(self) -> Option<usize> {
        match self {
            Self::Ed25519 | Self::EcdsaP256 | Self::MlDsa65 => Some(32),
            Self::EcdsaP384 => Some(48),
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => None,
        }
    }

    /// What its public keys are of.
    pub fn public_kind(self) -> PublicKind {
        match self {
            Self::Ed25519 => PublicKind::Ed25519,
            Self::EcdsaP256 => PublicKind::P256,
            Self::EcdsaP384 => PublicKind::P384,
            Self::Rsa2048 => PublicKind::Rsa(RsaSize::Bits2048),
            Self::Rsa3072 => PublicKind::Rsa(RsaSize::Bits3072),
            Self::Rsa4096 => PublicKind::Rsa(RsaSize::Bits4096),
            Self::MlDsa65 => PublicKind::MlDsa65,
        }
    }
}
