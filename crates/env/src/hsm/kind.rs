//! What keys inside a module are for, and how they sign.

use super::check_length;
use crate::HsmError;
use crate::limits::KEY_BYTES;

/// A hash of messages, by FIPS 180-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HsmHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HsmHash {
    /// Every hash.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Length of a digest, and of an HMAC, in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The hash of RSA-OAEP, for label and mask alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OaepHash {
    /// SHA-1: OAEP does not rest on its collision resistance, and some modules know no other.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl OaepHash {
    /// Length of a digest in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// The length of an RSA modulus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RsaSize {
    /// 2048 bits.
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

impl RsaSize {
    /// Length of the modulus in bits.
    pub const fn bits(self) -> u16 {
        match self {
            Self::Bits2048 => 2048,
            Self::Bits3072 => 3072,
            Self::Bits4096 => 4096,
        }
    }

    /// Length of the modulus, of a signature and of a ciphertext, in bytes.
    pub const fn bytes(self) -> usize {
        self.bits() as usize / 8
    }
}

/// What a key inside the module is for, and nothing else. All are sensitive and, once they are used, not extractable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HsmKeyKind {
    /// AES-256, wraps and unwraps other keys.
    Kek,
    /// 256-bit generic secret, HMAC-SHA-256 only.
    Mac,
    /// 384-bit generic secret, HMAC-SHA-384 only: modules refuse keys shorter than the hash.
    MacSha384,
    /// 512-bit generic secret, HMAC-SHA-512 only.
    MacSha512,
    /// Private key that signs by Ed25519 (RFC 8032).
    Ed25519,
    /// Private key that signs by ECDSA on P-256.
    EcdsaP256,
    /// Private key that signs by ECDSA on P-384.
    EcdsaP384,
    /// Private key that agrees on secrets by ECDH on P-256.
    EcdhP256,
    /// Private key that signs by RSA, in any of the RSA schemes.
    RsaSign(RsaSize),
    /// Private key that decrypts by RSA-OAEP with this hash.
    RsaDecrypt(RsaSize, OaepHash),
    /// Private key that unwraps others by RSA-OAEP with this hash, through an AES key: what imported keys come by.
    RsaUnwrap(RsaSize, OaepHash),
}

impl HsmKeyKind {
    /// Every kind.
    pub const ALL: [Self; 21] = [
        Self::Kek,
        Self::Mac,
        Self::MacSha384,
        Self::MacSha512,
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdhP256,
        Self::RsaSign(RsaSize::Bits2048),
        Self::RsaSign(RsaSize::Bits3072),
        Self::RsaSign(RsaSize::Bits4096),
        Self::RsaDecrypt(RsaSize::Bits2048, OaepHash::Sha256),
        Self::RsaDecrypt(RsaSize::Bits3072, OaepHash::Sha256),
        Self::RsaDecrypt(RsaSize::Bits4096, OaepHash::Sha256),
        Self::RsaDecrypt(RsaSize::Bits2048, OaepHash::Sha1),
        Self::RsaDecrypt(RsaSize::Bits3072, OaepHash::Sha1),
        Self::RsaDecrypt(RsaSize::Bits4096, OaepHash::Sha1),
        Self::RsaUnwrap(RsaSize::Bits3072, OaepHash::Sha256),
        Self::RsaUnwrap(RsaSize::Bits4096, OaepHash::Sha256),
        Self::RsaUnwrap(RsaSize::Bits3072, OaepHash::Sha1),
        Self::RsaUnwrap(RsaSize::Bits4096, OaepHash::Sha1),
    ];

    pub(crate) const RSA_SIGN: [Self; 3] = [
        Self::RsaSign(RsaSize::Bits2048),
        Self::RsaSign(RsaSize::Bits3072),
        Self::RsaSign(RsaSize::Bits4096),
    ];

    pub(crate) const RSA_DECRYPT: [Self; 6] = [
        Self::RsaDecrypt(RsaSize::Bits2048, OaepHash::Sha256),
        Self::RsaDecrypt(RsaSize::Bits3072, OaepHash::Sha256),
        Self::RsaDecrypt(RsaSize::Bits4096, OaepHash::Sha256),
        Self::RsaDecrypt(RsaSize::Bits2048, OaepHash::Sha1),
        Self::RsaDecrypt(RsaSize::Bits3072, OaepHash::Sha1),
        Self::RsaDecrypt(RsaSize::Bits4096, OaepHash::Sha1),
    ];

    pub(crate) const RSA_UNWRAP: [Self; 4] = [
        Self::RsaUnwrap(RsaSize::Bits3072, OaepHash::Sha256),
        Self::RsaUnwrap(RsaSize::Bits4096, OaepHash::Sha256),
        Self::RsaUnwrap(RsaSize::Bits3072, OaepHash::Sha1),
        Self::RsaUnwrap(RsaSize::Bits4096, OaepHash::Sha1),
    ];

    /// Whether a key of this kind can come from outside at all: those that wrap others are made inside.
    pub const fn may_be_imported(self) -> bool {
        !matches!(self, Self::Kek | Self::RsaUnwrap(..))
    }

    /// The kind of an HMAC's keys.
    pub const fn of_mac(hash: HsmHash) -> Self {
        match hash {
            HsmHash::Sha256 => Self::Mac,
            HsmHash::Sha384 => Self::MacSha384,
            HsmHash::Sha512 => Self::MacSha512,
        }
    }

    /// Whether it is half of a pair, made by [`Hsm::generate_pair_wrapped`](crate::Hsm::generate_pair_wrapped);
    /// if not, [`Hsm::generate_wrapped`](crate::Hsm::generate_wrapped) makes it.
    pub const fn is_pair(self) -> bool {
        self.secret_bytes().is_none()
    }

    /// Length of a secret key in bytes; `None` for private keys.
    pub const fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Kek => Some(KEY_BYTES),
            Self::Mac => Some(HsmHash::Sha256.bytes()),
            Self::MacSha384 => Some(HsmHash::Sha384.bytes()),
            Self::MacSha512 => Some(HsmHash::Sha512.bytes()),
            Self::Ed25519
            | Self::EcdsaP256
            | Self::EcdsaP384
            | Self::EcdhP256
            | Self::RsaSign(_)
            | Self::RsaDecrypt(..)
            | Self::RsaUnwrap(..) => None,
        }
    }

    /// Whether a key of this kind signs such an input by `scheme`.
    pub(crate) fn check_input(
        self,
        scheme: SignatureScheme,
        input: &[u8],
        operation: &'static str,
    ) -> Result<(), HsmError> {
        let expected = match (self, scheme) {
            // Of any length; the adapter has its bound.
            (Self::Ed25519, SignatureScheme::Ed25519) => input.len(),
            (Self::EcdsaP256, SignatureScheme::Ecdsa) => HsmHash::Sha256.bytes(),
            (Self::EcdsaP384, SignatureScheme::Ecdsa) => HsmHash::Sha384.bytes(),
            (Self::RsaSign(_), SignatureScheme::RsaPkcs1(hash) | SignatureScheme::RsaPss(hash)) => {
                hash.bytes()
            }
            _ => return Err(HsmError::wrong_kind(operation)),
        };
        check_length(operation, input.len(), expected)
    }
}

/// How a private key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureScheme {
    /// Of a message. 64 bytes, R ‖ S.
    Ed25519,
    /// Of a digest as long as the curve's order: SHA-256 on P-256, SHA-384 on P-384. r ‖ s, each as long as that.
    Ecdsa,
    /// RSASSA-PKCS1-v1_5 of a digest.
    RsaPkcs1(HsmHash),
    /// RSASSA-PSS of a digest; the mask is made with the same hash, and the salt is as long as it.
    RsaPss(HsmHash),
}

impl SignatureScheme {
    /// The kinds that sign by it.
    pub const fn kinds(self) -> &'static [HsmKeyKind] {
        match self {
            Self::Ed25519 => &[HsmKeyKind::Ed25519],
            Self::Ecdsa => &[HsmKeyKind::EcdsaP256, HsmKeyKind::EcdsaP384],
            Self::RsaPkcs1(_) | Self::RsaPss(_) => &HsmKeyKind::RSA_SIGN,
        }
    }
}
