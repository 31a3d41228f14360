//! Keys that open what others made with the public half, and keys that agree with those of others.

use super::signing::failed;
use super::{Ready, random};
use crate::error::ServiceError;
use crate::loaded::Loaded;
use crate::parallel;
use conclave_core::Algorithm;
use conclave_crypto::agree::{self, AgreementKey, AgreementKind};
use conclave_crypto::kem::{self, DecapsulationKey};
use conclave_crypto::oaep::{self, DecryptingKey};
use conclave_crypto::{
    CryptoError, OaepHash, PrivateMaterial, PublicKey, PublicKind, RsaSize, Secret, SecretBytes,
};
use conclave_env::Env;

/// What a private key opens.
#[derive(Clone, Copy)]
pub(super) enum ReceivingKind {
    /// Ciphertexts of RSA-OAEP.
    Oaep(RsaSize, OaepHash),
    /// Secrets encapsulated by ML-KEM-768.
    Kem,
    /// Secrets shared with the owner of another key.
    Agreement(AgreementKind),
}

/// What kind of key an algorithm that receives takes; `None` for the others.
pub(super) fn receiving_kind(algorithm: Algorithm) -> Option<ReceivingKind> {
    let oaep = |size, hash| Some(ReceivingKind::Oaep(size, hash));
    match algorithm {
        Algorithm::RsaOaep2048 => oaep(RsaSize::Bits2048, OaepHash::Sha256),
        Algorithm::RsaOaep3072 => oaep(RsaSize::Bits3072, OaepHash::Sha256),
        Algorithm::RsaOaep4096 => oaep(RsaSize::Bits4096, OaepHash::Sha256),
        Algorithm::RsaOaep2048Sha1 => oaep(RsaSize::Bits2048, OaepHash::Sha1),
        Algorithm::RsaOaep3072Sha1 => oaep(RsaSize::Bits3072, OaepHash::Sha1),
        Algorithm::RsaOaep4096Sha1 => oaep(RsaSize::Bits4096, OaepHash::Sha1),
        Algorithm::MlKem768 => Some(ReceivingKind::Kem),
        Algorithm::X25519 => Some(ReceivingKind::Agreement(AgreementKind::X25519)),
        Algorithm::EcdhP256 => Some(ReceivingKind::Agreement(AgreementKind::EcdhP256)),
        Algorithm::Aes256Gcm
        | Algorithm::ChaCha20Poly1305
        | Algorithm::HmacSha256
        | Algorithm::HmacSha384
        | Algorithm::HmacSha512
        | Algorithm::Ed25519
        | Algorithm::EcdsaP256
        | Algorithm::EcdsaP384
        | Algorithm::Rsa2048
        | Algorithm::Rsa3072
        | Algorithm::Rsa4096
        | Algorithm::MlDsa65 => None,
    }
}

/// A private key that is ready. What is secret in it the library wipes when it is dropped.
pub(crate) enum Receiving {
    Oaep(DecryptingKey),
    Kem(DecapsulationKey),
    Agreement(AgreementKey),
}

impl Receiving {
    pub(super) fn public_key(&self) -> &PublicKey {
        match self {
            Self::Oaep(key) => key.public_key(),
            Self::Kem(key) => key.public_key(),
            Self::Agreement(key) => key.public_key(),
        }
    }
}

/// A new private key, and its public half in DER. All but RSA's come of the HSM's randomness mixed with the operating
/// system's; primes the library draws from the operating system.
///
/// # Errors
/// As the HSM has them.
pub(super) async fn generate(
    env: &Env,
    kind: ReceivingKind,
) -> Result<(PrivateMaterial, Vec<u8>), ServiceError> {
    let private = match kind {
        ReceivingKind::Oaep(size, _) => parallel::long(|| oaep::generate(size)).map_err(failed)?,
        ReceivingKind::Kem => {
            let seed: Secret<{ kem::SEED_BYTES }> =
                random(env, b"conclave/1/decapsulation-key").await?;
            kem::generate(seed.expose()).map_err(failed)?
        }
        ReceivingKind::Agreement(kind) => loop {
            let seed: Secret<{ agree::SECRET_BYTES }> =
                random(env, b"conclave/1/agreement-key").await?;
            match agree::generate(kind, seed.expose()) {
                // No scalar of the curve: once in 2^32 draws.
                Err(CryptoError::DrawAgain) => {}
                made => break made.map_err(failed)?,
            }
        },
    };
    let spki = prepare(kind, &private).map_err(failed)?.public_key().spki();
    Ok((private, spki))
}

/// Makes a private key ready.
///
/// # Errors
/// If it is no key of its kind.
pub(super) fn prepare(
    kind: ReceivingKind,
    private: &PrivateMaterial,
) -> Result<Receiving, CryptoError> {
    Ok(match kind {
        ReceivingKind::Oaep(size, hash) => {
            Receiving::Oaep(DecryptingKey::new(size, private)?.with_hash(hash))
        }
        ReceivingKind::Kem => Receiving::Kem(DecapsulationKey::new(private)?),
        ReceivingKind::Agreement(kind) => Receiving::Agreement(AgreementKey::new(kind, private)?),
    })
}

impl Ready<'_> {
    /// What was encrypted with the public half by RSA-OAEP, with this label.
    ///
    /// # Errors
    /// [`ServiceError::Ciphertext`] if it is not as long as the modulus; [`ServiceError::DoesNotOpen`], whatever else is
    /// wrong with it; [`ServiceError::LabelNotOffered`]; as the HSM has them.
    pub async fn decrypt_oaep(
        &self,
        ciphertext: &[u8],
        label: &[u8],
    ) -> Result<SecretBytes, ServiceError> {
        match &*self.loaded {
            Loaded::Receiving(receiving) => {
                let Receiving::Oaep(key) = &**receiving else {
                    return Err(ServiceError::Outdated);
                };
                // Milliseconds.
                let opened = parallel::long(|| key.decrypt_labelled(ciphertext, label));
                opened.map_err(|error| self.not_opened(error))
            }
            Loaded::Hsm(key, _) => {
                self.check_length(ciphertext)?;
                let hsm = &self.unsealed.hsm;
                if !label.is_empty() && !hsm.takes_labels() {
                    let hsm = hsm.description();
                    return Err(ServiceError::LabelNotOffered { hsm });
                }
                let opened = self.decrypt_inside(*key, ciphertext, label).await?;
                opened.ok_or_else(|| self.not_opened(CryptoError::DoesNotOpen))
            }
            Loaded::Software(_) | Loaded::Signing(_) => Err(ServiceError::Outdated),
        }
    }

    /// Modules differ in what they say of another length.
    fn check_length(&self, ciphertext: &[u8]) -> Result<(), ServiceError> {
        let Some(ReceivingKind::Oaep(size, _)) = receiving_kind(self.version.algorithm) else {
            return Err(ServiceError::Outdated);
        };
        let (expected, actual) = (size.modulus_bytes(), ciphertext.len());
        if actual == expected {
            return Ok(());
        }
        let kind = size.name();
        Err(ServiceError::Ciphertext(CryptoError::CiphertextLength {
            kind,
            expected,
            actual,
        }))
    }

    /// The secret that was encapsulated with the public half; of any other ciphertext, one that nobody else has.
    ///
    /// # Errors
    /// [`ServiceError::Ciphertext`] if it has another length.
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<Secret<32>, ServiceError> {
        match &*self.loaded {
            Loaded::Receiving(receiving) => {
                let Receiving::Kem(key) = &**receiving else {
                    return Err(ServiceError::Outdated);
                };
                let opened = key.decapsulate(ciphertext);
                opened.map_err(|error| self.not_opened(error))
            }
            Loaded::Software(_) | Loaded::Signing(_) | Loaded::Hsm(..) => {
                Err(ServiceError::Outdated)
            }
        }
    }

    /// The secret shared with the owner of a public key.
    ///
    /// # Errors
    /// [`ServiceError::PublicKeyInvalid`] if it is none of the same curve, or of a low order; as the HSM has them.
    pub async fn agree(&self, spki: &[u8]) -> Result<Secret<32>, ServiceError> {
        let peer = PublicKey::from_spki(spki).map_err(ServiceError::PublicKeyInvalid)?;
        match &*self.loaded {
            Loaded::Receiving(receiving) => {
                let Receiving::Agreement(key) = &**receiving else {
                    return Err(ServiceError::Outdated);
                };
                key.agree(&peer).map_err(ServiceError::PublicKeyInvalid)
            }
            Loaded::Hsm(key, _) => {
                let (expected, actual) = (AgreementKind::EcdhP256.name(), peer.kind().name());
                if peer.kind() != PublicKind::P256 {
                    let error = CryptoError::OtherKind { expected, actual };
                    return Err(ServiceError::PublicKeyInvalid(error));
                }
                let agreed = self.agree_inside(*key, peer.raw()).await?;
                let refused = CryptoError::PublicValue { kind: actual };
                agreed.ok_or(ServiceError::PublicKeyInvalid(refused))
            }
            Loaded::Software(_) | Loaded::Signing(_) => Err(ServiceError::Outdated),
        }
    }

    /// A length is no secret; all else is one.
    fn not_opened(&self, error: CryptoError) -> ServiceError {
        if matches!(error, CryptoError::CiphertextLength { .. }) {
            return ServiceError::Ciphertext(error);
        }
        ServiceError::DoesNotOpen {
            key: self.version.name.to_string(),
            version: self.version.number.0,
        }
    }
}
