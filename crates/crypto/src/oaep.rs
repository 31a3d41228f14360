//! Encryption by RSA-OAEP (RFC 8017) for the asymmetric key versions at protection SOFTWARE:
//! SHA-256 for label and mask unless the caller says SHA-1; the label is empty unless the caller
//! has one. SHA-1 is as good here: OAEP does not rest on its collision resistance, and NIST SP
//! 800-131A and 800-56B allow it. It is for those who have nothing else, among them HSMs.
//!
//! Private keys are stored as those that sign are ([`crate::sign`]). Encryption draws its seed from
//! the operating system, inside the library: it makes another ciphertext at each call.

use crate::error::CryptoError;
use crate::public_key::{PublicKey, RsaSize};
use crate::rsa;
use crate::secret::{PrivateMaterial, SecretBytes};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};

/// The hash of label and mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OaepHash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
}

impl OaepHash {
    fn algorithm(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
        }
    }

    /// Bytes that OAEP takes of the modulus: two hashes and two bytes.
    fn overhead_bytes(self) -> usize {
        match self {
            Self::Sha1 => 42,
            Self::Sha256 => 66,
        }
    }
}

/// Bytes of plaintext that a key of this size encrypts at most.
pub fn plaintext_bytes_max(size: RsaSize, hash: OaepHash) -> usize {
    size.modulus_bytes().saturating_sub(hash.overhead_bytes())
}

/// A new key. Its primes come from the operating system, inside the library: no test can replay
/// one. It takes 0.1 to several seconds of computation.
///
/// # Errors
/// [`CryptoError::Library`].
pub fn generate(size: RsaSize) -> Result<PrivateMaterial, CryptoError> {
    rsa::generate(size)
}

/// A private key, prepared: made once, it decrypts often and in many threads. The library wipes
/// what it holds of it when this is dropped.
pub struct DecryptingKey {
    size: RsaSize,
    hash: OaepHash,
    key: OaepPrivateDecryptingKey,
    public: PublicKey,
}

impl DecryptingKey {
    /// From the stored material of a key of this size.
    ///
    /// # Errors
    /// [`CryptoError::PrivateKey`] if it is none; [`CryptoError::RsaParameters`].
    pub fn new(size: RsaSize, material: &PrivateMaterial) -> Result<Self, CryptoError> {
        let (_, public) = rsa::parse(size, material)?;
        let damaged = CryptoError::PrivateKey { kind: size.name() };
        let key = PrivateDecryptingKey::from_pkcs8(material.expose());
        let key = OaepPrivateDecryptingKey::new(key.map_err(|_| damaged.clone())?);
        let key = key.map_err(|_| damaged)?;
        let hash = OaepHash::default();
        Ok(Self {
            size,
            hash,
            key,
            public,
        })
    }

    /// The same with another hash.
    #[must_use]
    pub fn with_hash(self, hash: OaepHash) -> Self {
        Self { hash, ..self }
    }

    /// Its size.
    pub fn size(&self) -> RsaSize {
        self.size
    }

    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Decrypts what was encrypted with the empty label.
    ///
    /// # Errors
    /// [`CryptoError::CiphertextLength`]; [`CryptoError::DoesNotOpen`], whatever else is wrong.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<SecretBytes, CryptoError> {
        self.decrypt_labelled(ciphertext, &[])
    }

    /// Decrypts what was encrypted with this label.
    ///
    /// # Errors
    /// [`CryptoError::CiphertextLength`]; [`CryptoError::DoesNotOpen`], whatever else is wrong: who can tell a wrong
    /// padding from a wrong label can decrypt (Manger's attack).
    pub fn decrypt_labelled(
        &self,
        ciphertext: &[u8],
        label: &[u8],
    ) -> Result<SecretBytes, CryptoError> {
        let expected = self.size.modulus_bytes();
        if ciphertext.len() != expected {
            return Err(CryptoError::CiphertextLength {
                kind: self.size.name(),
                expected,
                actual: ciphertext.len(),
            });
        }
        let mut plaintext = SecretBytes::from_vec(vec![0; self.key.min_output_size()]);
        let buffer = plaintext.expose_mut();
        let opened = self
            .key
            .decrypt(self.hash.algorithm(), ciphertext, buffer, Some(label));
        let len = opened.map_err(|_| CryptoError::DoesNotOpen)?.len();
        plaintext.truncate(len);
        Ok(plaintext)
    }
}

/// A public key, prepared.
pub struct EncryptingKey {
    size: RsaSize,
    hash: OaepHash,
    key: OaepPublicEncryptingKey,
}

impl EncryptingKey {
    /// # Errors
    /// [`CryptoError::OtherKind`] if it is not RSA; [`CryptoError::PublicValue`].
    pub fn new(public: &PublicKey) -> Result<Self, CryptoError> {
        let kind = public.kind().name();
        let size = public.kind().rsa_size().ok_or(CryptoError::OtherKind {
            expected: "RSA",
            actual: kind,
        })?;
        let refused = CryptoError::PublicValue { kind };
        let key = PublicEncryptingKey::from_der(&public.spki()).map_err(|_| refused.clone())?;
        let key = OaepPublicEncryptingKey::new(key).map_err(|_| refused)?;
        let hash = OaepHash::default();
        Ok(Self { size, hash, key })
    }

    /// The same with another hash.
    #[must_use]
    pub fn with_hash(self, hash: OaepHash) -> Self {
        Self { hash, ..self }
    }

    /// Encrypts up to [`plaintext_bytes_max`] bytes, with the empty label.
    ///
    /// # Errors
    /// [`CryptoError::TooLarge`], [`CryptoError::Library`].
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.encrypt_labelled(plaintext, &[])
    }

    /// Encrypts up to [`plaintext_bytes_max`] bytes, with a label that decryption must be given.
    ///
    /// # Errors
    /// [`CryptoError::TooLarge`], [`CryptoError::Library`].
    pub fn encrypt_labelled(&self, plaintext: &[u8], label: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let (max, actual) = (plaintext_bytes_max(self.size, self.hash), plaintext.len());
        if actual > max {
            let what = "plaintext under RSA-OAEP";
            return Err(CryptoError::TooLarge { what, max, actual });
        }
        let mut ciphertext = vec![0; self.key.ciphertext_size()];
        self.key
            .encrypt(
                self.hash.algorithm(),
                plaintext,
                &mut ciphertext,
                Some(label),
            )
            .map_err(|_| CryptoError::Library {
                operation: "encrypt",
            })?;
        Ok(ciphertext)
    }
}
