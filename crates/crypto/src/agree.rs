//! Agreement upon a secret by the asymmetric key versions at protection SOFTWARE: X25519 (RFC 7748)
//! and ECDH on P-256 (NIST SP 800-56A).
//!
//! What comes out is raw, the coordinate that both sides compute: no key yet, but what a derivation
//! makes keys of. Private keys are stored as 32 bytes: of X25519 as they were drawn (they are
//! clamped when used), of P-256 the scalar, big-endian.

use crate::error::CryptoError;
use crate::public_key::{PublicKey, PublicKind};
use crate::secret::{PrivateMaterial, Secret};
use aws_lc_rs::agreement::{self, UnparsedPublicKey};

/// Bytes of a private key, of the seed it is made from, and of a shared secret.
pub const SECRET_BYTES: usize = 32;

/// The kinds of keys that agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgreementKind {
    /// RFC 7748.
    X25519,
    /// ECDH on NIST's curve of 256 bits.
    EcdhP256,
}

impl AgreementKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::X25519, Self::EcdhP256];

    /// As errors name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X25519 => "X25519",
            Self::EcdhP256 => "ECDH P-256",
        }
    }

    /// What its public keys are of.
    pub fn public_kind(self) -> PublicKind {
        match self {
            Self::X25519 => PublicKind::X25519,
            Self::EcdhP256 => PublicKind::P256,
        }
    }

    fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::X25519 => &agreement::X25519,
            Self::EcdhP256 => &agreement::ECDH_P256,
        }
    }
}

/// A private key made of `seed`, which must be 32 fresh random bytes; the same seed makes the same
/// key. Wiping `seed` remains the caller's business.
///
/// # Errors
/// [`CryptoError::SeedLength`]; [`CryptoError::DrawAgain`] if these bytes are no scalar of P-256,
/// once in 2^32 draws.
pub fn generate(kind: AgreementKind, seed: &[u8]) -> Result<PrivateMaterial, CryptoError> {
    if seed.len() != SECRET_BYTES {
        return Err(CryptoError::SeedLength {
            kind: kind.name(),
            expected: SECRET_BYTES,
            actual: seed.len(),
        });
    }
    let material = PrivateMaterial::from_slice(seed)?;
    match AgreementKey::new(kind, &material) {
        Ok(_) => Ok(material),
        Err(CryptoError::PrivateKey { .. }) => Err(CryptoError::DrawAgain),
        Err(error) => Err(error),
    }
}

/// A private key, prepared: made once, it agrees often and in many threads. The library wipes what
/// it holds of it when this is dropped.
pub struct AgreementKey {
    kind: AgreementKind,
    private: agreement::PrivateKey,
    public: PublicKey,
}

impl AgreementKey {
    /// From the stored material of a key of this kind.
    ///
    /// # Errors
    /// [`CryptoError::PrivateKey`] if it is none.
    pub fn new(kind: AgreementKind, material: &PrivateMaterial) -> Result<Self, CryptoError> {
        let damaged = CryptoError::PrivateKey { kind: kind.name() };
        let private = agreement::PrivateKey::from_private_key(kind.algorithm(), material.expose())
            .map_err(|_| damaged.clone())?;
        let public = private.compute_public_key().map_err(|_| damaged)?;
        let public = PublicKey::from_raw(kind.public_kind(), public.as_ref())?;
        Ok(Self {
            kind,
            private,
            public,
        })
    }

    /// Its kind.
    pub fn kind(&self) -> AgreementKind {
        self.kind
    }

    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The secret shared with the owner of `peer`.
    ///
    /// # Errors
    /// [`CryptoError::OtherKind`]; [`CryptoError::PublicValue`] if `peer` has a low order, so that
    /// the secret would be none.
    pub fn agree(&self, peer: &PublicKey) -> Result<Secret<SECRET_BYTES>, CryptoError> {
        if peer.kind() != self.kind.public_kind() {
            return Err(CryptoError::OtherKind {
                expected: self.kind.name(),
                actual: peer.kind().name(),
            });
        }
        let kind = peer.kind().name();
        let refused = CryptoError::PublicValue { kind };
        let peer = UnparsedPublicKey::new(self.kind.algorithm(), peer.raw());
        agreement::agree(&self.private, peer, refused.clone(), |shared| {
            Secret::from_slice(shared).map_err(|_| refused)
        })
    }
}
