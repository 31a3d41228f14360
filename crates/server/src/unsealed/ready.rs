//! One version, ready to be used.

use super::{Unsealed, VersionRef};
use crate::error::ServiceError;
use crate::limits::HSM_CALLS_AHEAD;
use crate::loaded::Loaded;
use conclave_core::{Algorithm, Protection};
use conclave_crypto::{CryptoError, KeyMaterial, MacHash, MessagePrk, Suite, mac, message};
use futures::{StreamExt as _, stream};
use std::sync::Arc;

/// A version whose material is loaded.
pub struct Ready<'a> {
    pub(super) unsealed: &'a Unsealed,
    pub(super) version: VersionRef<'a>,
    pub(super) loaded: Arc<Loaded>,
}

impl Ready<'_> {
    /// The message format's suite of the version.
    ///
    /// # Errors
    /// [`ServiceError::Outdated`] for a key that encrypts no messages; the rules let none come here.
    pub fn suite(&self) -> Result<Suite, ServiceError> {
        match (self.version.algorithm, self.version.protection) {
            (Algorithm::Aes256Gcm, Protection::Software) => Ok(Suite::Aes256GcmHkdf),
            (Algorithm::Aes256Gcm, Protection::Hsm) => Ok(Suite::Aes256GcmHsm),
            (Algorithm::ChaCha20Poly1305, Protection::Software) => Ok(Suite::ChaCha20Poly1305Hkdf),
            (
                Algorithm::ChaCha20Poly1305
                | Algorithm::HmacSha256
                | Algorithm::HmacSha384
                | Algorithm::HmacSha512
                | Algorithm::Ed25519
                | Algorithm::EcdsaP256
                | Algorithm::EcdsaP384
                | Algorithm::Rsa2048
                | Algorithm::Rsa3072
                | Algorithm::Rsa4096
                | Algorithm::MlDsa65
                | Algorithm::RsaOaep2048
                | Algorithm::RsaOaep3072
                | Algorithm::RsaOaep4096
                | Algorithm::RsaOaep2048Sha1
                | Algorithm::RsaOaep3072Sha1
                | Algorithm::RsaOaep4096Sha1
                | Algorithm::MlKem768
                | Algorithm::X25519
                | Algorithm::EcdhP256,
                _,
            ) => Err(ServiceError::Outdated),
        }
    }

    /// The version's material, unless it is inside the HSM.
    pub fn material(&self) -> Option<&KeyMaterial> {
        match &*self.loaded {
            Loaded::Software(material) => Some(material),
            Loaded::Signing(_) | Loaded::Receiving(_) | Loaded::Hsm(..) => None,
        }
    }

    /// The pseudorandom keys of messages with these salts under the version, in their order; several are under way in an
    /// HSM at a time.
    ///
    /// # Errors
    /// [`ServiceError::Tampered`] if the wrapped material is not what it should be, or as the HSM has them.
    pub async fn message_prks(
        &self,
        salts: Vec<[u8; 32]>,
    ) -> Vec<Result<MessagePrk, ServiceError>> {
        let prks = salts
            .into_iter()
            .map(|salt| async move { self.message_prk(&salt).await });
        stream::iter(prks).buffered(HSM_CALLS_AHEAD).collect().await
    }

    async fn message_prk(&self, salt: &[u8; 32]) -> Result<MessagePrk, ServiceError> {
        match &*self.loaded {
            Loaded::Software(material) => Ok(message::prk_software(material, salt)),
            Loaded::Hsm(key, _) => {
                let label = message::prk_hsm_message(salt);
                Ok(MessagePrk::new(self.hmac_inside(*key, &label).await?))
            }
            Loaded::Signing(_) | Loaded::Receiving(_) => Err(ServiceError::Outdated),
        }
    }

    /// The message authentication code of a message: 32, 48 or 64 bytes, as the key's hash has them.
    ///
    /// # Errors
    /// [`ServiceError::Tampered`] if the wrapped material is not what it should be, or as the HSM has them.
    pub async fn mac(&self, message: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let hash = self.mac_hash()?;
        match &*self.loaded {
            Loaded::Software(material) => {
                mac::generate(hash, material, message).map_err(|error| self.refused(&error))
            }
            Loaded::Hsm(key, _) => self.mac_inside(*key, hash, message).await,
            Loaded::Signing(_) | Loaded::Receiving(_) => Err(ServiceError::Outdated),
        }
    }

    /// Verifies a message's code.
    ///
    /// # Errors
    /// [`ServiceError::MacInvalid`] if it is another one's; else as [`Ready::mac`] has them.
    pub async fn verify_mac(&self, message: &[u8], given: &[u8]) -> Result<(), ServiceError> {
        let hash = self.mac_hash()?;
        let verified = match &*self.loaded {
            Loaded::Software(material) => mac::verify(hash, material, message, given),
            Loaded::Hsm(key, _) => {
                let made = self.mac_inside(*key, hash, message).await?;
                mac::compare(&made, given)
            }
            Loaded::Signing(_) | Loaded::Receiving(_) => return Err(ServiceError::Outdated),
        };
        verified.map_err(|error| self.refused(&error))
    }

    pub(super) fn mac_hash(&self) -> Result<MacHash, ServiceError> {
        match self.version.algorithm {
            Algorithm::HmacSha256 => Ok(MacHash::Sha256),
            Algorithm::HmacSha384 => Ok(MacHash::Sha384),
            Algorithm::HmacSha512 => Ok(MacHash::Sha512),
            Algorithm::Aes256Gcm
            | Algorithm::ChaCha20Poly1305
            | Algorithm::Ed25519
            | Algorithm::EcdsaP256
            | Algorithm::EcdsaP384
            | Algorithm::Rsa2048
            | Algorithm::Rsa3072
            | Algorithm::Rsa4096
            | Algorithm::MlDsa65
            | Algorithm::RsaOaep2048
            | Algorithm::RsaOaep3072
            | Algorithm::RsaOaep4096
            | Algorithm::RsaOaep2048Sha1
            | Algorithm::RsaOaep3072Sha1
            | Algorithm::RsaOaep4096Sha1
            | Algorithm::MlKem768
            | Algorithm::X25519
            | Algorithm::EcdhP256 => Err(ServiceError::Outdated),
        }
    }

    pub(super) fn refused(&self, error: &CryptoError) -> ServiceError {
        if *error == CryptoError::WrongMac {
            ServiceError::MacInvalid {
                key: self.version.name.to_string(),
                version: self.version.number.0,
            }
        } else {
            ServiceError::invalid("message", error)
        }
    }
}
