//! Keys that sign.

use super::{Ready, random};
use crate::error::ServiceError;
use crate::loaded::{Loaded, Signing};
use crate::parallel;
use conclave_core::Algorithm;
use conclave_crypto::sign::{self, Input, KeyKind, Scheme, SigningKey, VerifyingKey};
use conclave_crypto::{CryptoError, PrivateMaterial, PublicKey, Secret};
use conclave_env::Env;
use tokio::time::Instant;

/// What kind of key an algorithm that signs takes; `None` for the others.
pub(crate) fn signing_kind(algorithm: Algorithm) -> Option<KeyKind> {
    match algorithm {
        Algorithm::Ed25519 => Some(KeyKind::Ed25519),
        Algorithm::EcdsaP256 => Some(KeyKind::EcdsaP256),
        Algorithm::EcdsaP384 => Some(KeyKind::EcdsaP384),
        Algorithm::Rsa2048 => Some(KeyKind::Rsa2048),
        Algorithm::Rsa3072 => Some(KeyKind::Rsa3072),
        Algorithm::Rsa4096 => Some(KeyKind::Rsa4096),
        Algorithm::MlDsa65 => Some(KeyKind::MlDsa65),
        Algorithm::Aes256Gcm
        | Algorithm::ChaCha20Poly1305
        | Algorithm::HmacSha256
        | Algorithm::HmacSha384
        | Algorithm::HmacSha512
        | Algorithm::RsaOaep2048
        | Algorithm::RsaOaep3072
        | Algorithm::RsaOaep4096
        | Algorithm::RsaOaep2048Sha1
        | Algorithm::RsaOaep3072Sha1
        | Algorithm::RsaOaep4096Sha1
        | Algorithm::MlKem768
        | Algorithm::X25519
        | Algorithm::EcdhP256 => None,
    }
}

/// A new private key, and its public half in DER. All but RSA's come of the HSM's randomness mixed with the operating
/// system's; primes the library draws from the operating system.
///
/// # Errors
/// As the HSM has them.
pub(super) async fn generate(
    env: &Env,
    kind: KeyKind,
) -> Result<(PrivateMaterial, Vec<u8>), ServiceError> {
    let private = match kind.seed_bytes() {
        None => parallel::long(|| sign::generate_rsa(kind)).map_err(failed)?,
        Some(bytes) => loop {
            let seed: Secret<64> = random(env, b"conclave/1/signing-key").await?;
            let seed = seed.expose().get(..bytes).unwrap_or_default();
            match sign::generate(kind, seed) {
                // No scalar of the curve: once in 2^32 draws.
                Err(CryptoError::DrawAgain) => {}
                made => break made.map_err(failed)?,
            }
        },
    };
    let signing = SigningKey::new(kind, &private).map_err(failed)?;
    Ok((private, signing.public_key().spki()))
}

/// A new key pair as other systems read it: PKCS#8 and `SubjectPublicKeyInfo`, both in DER.
///
/// # Errors
/// [`ServiceError::Invalid`] if the algorithm has no such pairs, [`ServiceError::Deadline`] if too many ask for RSA keys; as
/// the HSM has them.
pub(crate) async fn pair_for_outside(
    env: &Env,
    algorithm: Algorithm,
    deadline: Instant,
) -> Result<(PrivateMaterial, Vec<u8>), ServiceError> {
    // A private key of ML-DSA is its seed, which is no PKCS#8.
    let kind = signing_kind(algorithm).filter(|kind| *kind != KeyKind::MlDsa65);
    let kind = kind.ok_or_else(|| {
        let rule =
            "a data key pair is of ED25519, ECDSA_P256, ECDSA_P384, RSA_2048, RSA_3072 or RSA_4096";
        ServiceError::invalid("algorithm", rule)
    })?;
    let _turn = match kind.seed_bytes() {
        None => Some(parallel::turn_at_primes(deadline).await?),
        Some(_) => None,
    };
    let (stored, public) = generate(env, kind).await?;
    let private = sign::export(kind, &stored).map_err(failed)?;
    Ok((private, public))
}

/// Makes a private key ready to sign and to verify.
///
/// # Errors
/// If it is no key of its kind.
pub(super) fn prepare(kind: KeyKind, private: &PrivateMaterial) -> Result<Signing, CryptoError> {
    let key = SigningKey::new(kind, private)?;
    let verifier = VerifyingKey::new(kind, key.public_key())?;
    Ok(Signing { key, verifier })
}

/// What only a lack of memory or randomness makes fail.
#[expect(clippy::needless_pass_by_value, reason = "maps an error")]
pub(super) fn failed(error: CryptoError) -> ServiceError {
    tracing::error!(%error, "a private key could not be made");
    ServiceError::Contended
}

/// What verifies under a stored public key.
///
/// # Errors
/// If it is no key of that kind.
pub(super) fn verifier(kind: KeyKind, spki: &[u8]) -> Result<VerifyingKey, CryptoError> {
    VerifyingKey::new(kind, &PublicKey::from_spki(spki)?)
}

impl Ready<'_> {
    /// The signature of a message or a digest.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] if key, scheme and digest do not fit each other; as the HSM has them.
    pub async fn sign(&self, scheme: Scheme, input: Input<'_>) -> Result<Vec<u8>, ServiceError> {
        let kind = signing_kind(self.version.algorithm).ok_or(ServiceError::Outdated)?;
        let key = match &*self.loaded {
            Loaded::Signing(signing) => &signing.key,
            Loaded::Hsm(key, _) => return self.sign_inside(*key, kind, scheme, input).await,
            Loaded::Software(_) | Loaded::Receiving(_) => return Err(ServiceError::Outdated),
        };
        let signed = match scheme {
            // Milliseconds, where the others take a fraction of one.
            Scheme::RsaPkcs1(_) | Scheme::RsaPss(_) => parallel::long(|| key.sign(scheme, input)),
            Scheme::Ed25519 | Scheme::Ecdsa(_) | Scheme::MlDsa65 => key.sign(scheme, input),
        };
        signed.map_err(|error| self.not_signed(&error))
    }

    /// Verifies the signature of a message or a digest. It takes the public key only, and no HSM.
    ///
    /// # Errors
    /// [`ServiceError::SignatureInvalid`] if it is another one's; else as [`Ready::sign`] has them.
    pub fn verify(
        &self,
        scheme: Scheme,
        input: Input<'_>,
        signature: &[u8],
    ) -> Result<(), ServiceError> {
        let verifier = match &*self.loaded {
            Loaded::Signing(signing) => &signing.verifier,
            Loaded::Hsm(_, Some(verifier)) => &**verifier,
            Loaded::Hsm(_, None) | Loaded::Software(_) | Loaded::Receiving(_) => {
                return Err(ServiceError::Outdated);
            }
        };
        let outcome = verifier.verify(scheme, input, signature);
        outcome.map_err(|error| self.not_signed(&error))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all others are of a scheme that is not the key's"
    )]
    pub(super) fn not_signed(&self, error: &CryptoError) -> ServiceError {
        match error {
            CryptoError::WrongSignature | CryptoError::SignatureForm { .. } => {
                ServiceError::SignatureInvalid {
                    key: self.version.name.to_string(),
                    version: self.version.number.0,
                }
            }
            CryptoError::DigestLength { .. } | CryptoError::NoDigest { .. } => {
                ServiceError::invalid("digest", error)
            }
            CryptoError::TooLarge { .. } => ServiceError::invalid("message", error),
            _ => ServiceError::invalid("scheme", error),
        }
    }
}
