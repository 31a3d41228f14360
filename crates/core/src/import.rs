//! Key material that comes from outside: the job whose public key wraps it on its way.

use crate::ids::{KeyId, TimeMs, VersionNumber};
use crate::key::{Protection, Wrapped};
use crate::names::KeyringName;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How imported material is wrapped on its way: under an AES key that is used once, and that under RSA-OAEP
/// (`CKM_RSA_AES_KEY_WRAP`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportMethod {
    /// Under RSA of 3072 bits, with SHA-256.
    RsaOaep3072Sha256Aes256,
    /// Under RSA of 4096 bits, with SHA-256.
    RsaOaep4096Sha256Aes256,
    /// Under RSA of 3072 bits, with SHA-1.
    RsaOaep3072Sha1Aes256,
    /// Under RSA of 4096 bits, with SHA-1.
    RsaOaep4096Sha1Aes256,
}

impl ImportMethod {
    /// Every method, the better ones first.
    pub const ALL: [Self; 4] = [
        Self::RsaOaep3072Sha256Aes256,
        Self::RsaOaep4096Sha256Aes256,
        Self::RsaOaep3072Sha1Aes256,
        Self::RsaOaep4096Sha1Aes256,
    ];

    /// The name that is bound into the wrapped private key and shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RsaOaep3072Sha256Aes256 => "RSA-OAEP-3072-SHA-256-AES-256",
            Self::RsaOaep4096Sha256Aes256 => "RSA-OAEP-4096-SHA-256-AES-256",
            Self::RsaOaep3072Sha1Aes256 => "RSA-OAEP-3072-SHA-1-AES-256",
            Self::RsaOaep4096Sha1Aes256 => "RSA-OAEP-4096-SHA-1-AES-256",
        }
    }
}

/// Tells what was handed in apart, so that a repeated request is known.
pub fn digest_of(wrapped: &[u8]) -> [u8; 32] {
    Sha256::digest(wrapped).into()
}

/// A key pair for one import, and its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportJob {
    /// Into which the material goes.
    pub keyring: KeyringName,
    /// How the material is wrapped.
    pub method: ImportMethod,
    /// As `SubjectPublicKeyInfo` in DER.
    pub public: Box<[u8]>,
    /// The private half; `None` once it was used.
    pub wrapped: Option<Wrapped>,
    /// When it was made.
    pub created_at: TimeMs,
    /// From when on nothing is imported by it; a tick then forgets it.
    pub expires_at: TimeMs,
    /// What was imported by it.
    pub used: Option<(KeyId, VersionNumber)>,
    /// Where its private half is in clear, and the only one that what is imported by it can have.
    pub protection: Protection,
}
