//! Public keys: checked, and in the encodings that others read.
//!
//! Stored as `SubjectPublicKeyInfo` in DER (RFC 5280, RFC 5480, RFC 8410, RFC 9881, RFC 9935), which
//! names its own kind. Of each kind only one frame is accepted, which `layout.rs` tells: so no
//! parser is needed, and (but for X25519, where RFC 7748 asks for leniency) one key has one encoding.

mod jwk;
mod layout;
mod validity;

use crate::error::CryptoError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use layout::{Layout, RSA_ALGORITHM};

/// Characters of a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// What a public key is of. What it is for, it does not say: one of P-256 serves signatures and
/// agreement alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicKind {
    /// For signatures (RFC 8032).
    Ed25519,
    /// For agreement (RFC 7748).
    X25519,
    /// NIST's curve of 256 bits.
    P256,
    /// NIST's curve of 384 bits.
    P384,
    /// RSA with the public exponent 65537.
    Rsa(RsaSize),
    /// For signatures (FIPS 204).
    MlDsa65,
    /// For encapsulation (FIPS 203).
    MlKem768,
}

/// Bits of an RSA modulus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RsaSize {
    /// 2048.
    Bits2048,
    /// 3072.
    Bits3072,
    /// 4096.
    Bits4096,
}

impl RsaSize {
    /// As errors name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bits2048 => "RSA-2048",
            Self::Bits3072 => "RSA-3072",
            Self::Bits4096 => "RSA-4096",
        }
    }

    /// Bytes of the modulus, and so of a signature or a ciphertext.
    pub fn modulus_bytes(self) -> usize {
        match self {
            Self::Bits2048 => 256,
            Self::Bits3072 => 384,
            Self::Bits4096 => 512,
        }
    }
}

impl PublicKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Ed25519,
        Self::X25519,
        Self::P256,
        Self::P384,
        Self::Rsa(RsaSize::Bits2048),
        Self::Rsa(RsaSize::Bits3072),
        Self::Rsa(RsaSize::Bits4096),
        Self::MlDsa65,
        Self::MlKem768,
    ];

    /// As errors name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::X25519 => "X25519",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Rsa(size) => size.name(),
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlKem768 => "ML-KEM-768",
        }
    }

    /// Of an RSA key, its size.
    pub fn rsa_size(self) -> Option<RsaSize> {
        match self {
            Self::Rsa(size) => Some(size),
            Self::Ed25519
            | Self::X25519
            | Self::P256
            | Self::P384
            | Self::MlDsa65
            | Self::MlKem768 => None,
        }
    }
}

/// A public key that is well formed: a point is on its curve, a number in its range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey {
    kind: PublicKind,
    raw: Vec<u8>,
}

impl PublicKey {
    /// From a `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// [`CryptoError::PublicKey`] if it is of no supported kind or not encoded as that kind is;
    /// [`CryptoError::RsaParameters`]; [`CryptoError::PublicValue`].
    pub fn from_spki(der: &[u8]) -> Result<Self, CryptoError> {
        for kind in PublicKind::ALL {
            if let Some(raw) = Layout::of(kind).strip(der) {
                return Self::from_raw(kind, raw);
            }
        }
        // Its own error, because it alone can be repaired by generating a key of another size.
        let head = der.get(..32).unwrap_or(der);
        if head
            .windows(RSA_ALGORITHM.len())
            .any(|at| at == RSA_ALGORITHM)
        {
            return Err(CryptoError::RsaParameters);
        }
        Err(CryptoError::PublicKey)
    }

    /// From what [`Self::raw`] gives.
    ///
    /// # Errors
    /// [`CryptoError::PublicValue`], [`CryptoError::RsaParameters`].
    pub fn from_raw(kind: PublicKind, raw: &[u8]) -> Result<Self, CryptoError> {
        validity::check(kind, raw)?;
        let raw = raw.to_vec();
        Ok(Self { kind, raw })
    }

    /// What it is of.
    pub fn kind(&self) -> PublicKind {
        self.kind
    }

    /// The key without its frame: of RSA the modulus, big-endian; of P-256 and P-384 the point,
    /// uncompressed behind the byte 4; of others as their standard encodes it.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// `SubjectPublicKeyInfo` in DER.
    pub fn spki(&self) -> Vec<u8> {
        Layout::of(self.kind).frame(&self.raw)
    }

    /// `SubjectPublicKeyInfo` in PEM (RFC 7468), lines ended by a line feed.
    ///
    /// # Panics
    /// Never.
    pub fn pem(&self) -> String {
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for line in STANDARD.encode(self.spki()).as_bytes().chunks(PEM_LINE) {
            pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
            pem.push('\n');
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }

    /// A JSON Web Key with the members that a thumbprint (RFC 7638) takes, in its order and
    /// without white space: the thumbprint is the hash of this very text. Of ML-DSA, the kind
    /// `AKP` of draft-ietf-cose-dilithium.
    ///
    /// # Errors
    /// [`CryptoError::NoJwk`] for ML-KEM-768, of which no JSON Web Key is settled.
    pub fn jwk(&self) -> Result<String, CryptoError> {
        jwk::text(self.kind, &self.raw)
    }
}

#[cfg(test)]
mod tests;
