//! Material that comes from outside, and that goes there.

use super::receiving::{self, ReceivingKind, receiving_kind};
use super::signing::signing_kind;
use super::{FIRST_KEK, Unsealed, VersionRef, random};
use crate::error::ServiceError;
use crate::parallel;
use conclave_core::{
    Algorithm, ImportJob, ImportJobId, ImportMethod, KeyId, Material, Protection, VersionNumber,
    Wrapped,
};
use conclave_crypto::agree::AgreementKind;
use conclave_crypto::oaep::{self, DecryptingKey, EncryptingKey};
use conclave_crypto::sign::{self, KeyKind, SigningKey};
use conclave_crypto::{
    Binding, CryptoError, KeyMaterial, OaepHash, PrivateMaterial, RsaSize, Secret, rsa_aes, wrap,
};
use conclave_env::{Entropy, Env};

/// What is wrapped on its way in or out.
pub(crate) fn takes(algorithm: Algorithm, protection: Protection) -> &'static str {
    match algorithm {
        // HSMs take no keys shorter than the hash.
        Algorithm::HmacSha384 if protection == Protection::Hsm => "the 48 bytes of the key",
        Algorithm::HmacSha512 if protection == Protection::Hsm => "the 64 bytes of the key",
        Algorithm::Aes256Gcm
        | Algorithm::ChaCha20Poly1305
        | Algorithm::HmacSha256
        | Algorithm::HmacSha384
        | Algorithm::HmacSha512 => "the 32 bytes of the key",
        Algorithm::MlDsa65 => "the 32 bytes of the seed",
        Algorithm::MlKem768 => "the 64 bytes of the seed",
        Algorithm::X25519 => "the 32 bytes of the private key",
        Algorithm::Ed25519
        | Algorithm::EcdsaP256
        | Algorithm::EcdsaP384
        | Algorithm::Rsa2048
        | Algorithm::Rsa3072
        | Algorithm::Rsa4096
        | Algorithm::RsaOaep2048
        | Algorithm::RsaOaep3072
        | Algorithm::RsaOaep4096
        | Algorithm::RsaOaep2048Sha1
        | Algorithm::RsaOaep3072Sha1
        | Algorithm::RsaOaep4096Sha1
        | Algorithm::EcdhP256 => "the private key as PKCS#8 in DER",
    }
}

fn size(method: ImportMethod) -> (RsaSize, OaepHash) {
    match method {
        ImportMethod::RsaOaep3072Sha256Aes256 => (RsaSize::Bits3072, OaepHash::Sha256),
        ImportMethod::RsaOaep4096Sha256Aes256 => (RsaSize::Bits4096, OaepHash::Sha256),
        ImportMethod::RsaOaep3072Sha1Aes256 => (RsaSize::Bits3072, OaepHash::Sha1),
        ImportMethod::RsaOaep4096Sha1Aes256 => (RsaSize::Bits4096, OaepHash::Sha1),
    }
}

fn nonce(entropy: &dyn Entropy) -> [u8; 12] {
    let mut nonce = [0; 12];
    entropy.fill(&mut nonce);
    nonce
}

/// Under the one software KEK, whose AEAD binds by itself.
fn wrapped(blob: Vec<u8>) -> Wrapped {
    Wrapped {
        kek: FIRST_KEK,
        blob,
        tag: Vec::new(),
    }
}

impl Unsealed {
    pub(super) fn job_binding(
        &self,
        id: ImportJobId,
        method: ImportMethod,
        protection: Protection,
    ) -> Binding<'static> {
        Binding {
            cluster: self.cluster,
            key: KeyId(id.0),
            version: VersionNumber(0),
            algorithm: method.as_str(),
            protection: protection.as_str(),
            purpose: "import",
        }
    }

    /// The key pair of an import job: the private half wrapped, and the public one in DER.
    ///
    /// # Errors
    /// If the library lacks memory; as the HSM has them.
    pub async fn import_pair(
        &self,
        env: &Env,
        id: ImportJobId,
        method: ImportMethod,
        protection: Protection,
    ) -> Result<(Wrapped, Box<[u8]>), ServiceError> {
        if protection == Protection::Hsm {
            return self.import_pair_inside(id, method).await;
        }
        let (size, _) = size(method);
        let made = parallel::long(|| {
            let private = oaep::generate(size)?;
            let public = DecryptingKey::new(size, &private)?.public_key().spki();
            Ok((private, public))
        });
        let (private, public) = made.map_err(|error: CryptoError| {
            tracing::error!(%error, "the key pair of an import job could not be made");
            ServiceError::Contended
        })?;
        let binding = self.job_binding(id, method, Protection::Software);
        let nonce = nonce(&*env.entropy);
        let blob = wrap::wrap_private(&self.software_kek, nonce, &binding, &private);
        Ok((wrapped(blob), public.into_boxed_slice()))
    }

    /// What was wrapped for an import job; `None` if it does not unwrap.
    ///
    /// # Errors
    /// [`ServiceError::Tampered`] if the job's own key is not what it should be.
    pub fn open_import(
        &self,
        id: ImportJobId,
        job: &ImportJob,
        private: &Wrapped,
        wrapped: &[u8],
    ) -> Result<Option<PrivateMaterial>, ServiceError> {
        let tampered = || ServiceError::Tampered {
            key: format!("import job {id}"),
            version: 1,
        };
        let binding = self.job_binding(id, job.method, Protection::Software);
        let opened = wrap::unwrap_private(&self.software_kek, &binding, &private.blob);
        let private = opened.map_err(|_| tampered())?;
        let (size, hash) = size(job.method);
        let key = DecryptingKey::new(size, &private).map_err(|_| tampered())?;
        let key = key.with_hash(hash);
        Ok(parallel::long(|| rsa_aes::unwrap(&key, wrapped)).ok())
    }

    /// Imported material as that of a version.
    ///
    /// # Errors
    /// [`ServiceError::WrappedKeyInvalid`] if it is no key of the algorithm.
    pub fn take_in(
        &self,
        env: &Env,
        (id, number): (KeyId, VersionNumber),
        algorithm: Algorithm,
        key: &PrivateMaterial,
    ) -> Result<Material, ServiceError> {
        let invalid = || ServiceError::WrappedKeyInvalid {
            algorithm: algorithm.as_str(),
            takes: takes(algorithm, Protection::Software),
        };
        let binding = self.binding(id, number, algorithm, Protection::Software);
        let nonce = nonce(&*env.entropy);
        let pair = if let Some(kind) = signing_kind(algorithm) {
            Some(signing_pair(kind, key))
        } else {
            receiving_kind(algorithm).map(|kind| receiving_pair(kind, key))
        };
        let Some(pair) = pair else {
            let material = KeyMaterial::from_slice(key.expose()).map_err(|_| invalid())?;
            let blob = wrap::wrap_material(&self.software_kek, nonce, &binding, &material);
            return Ok(wrapped(blob).into());
        };
        let (stored, public) = pair.map_err(|_| invalid())?;
        let blob = wrap::wrap_private(&self.software_kek, nonce, &binding, &stored);
        Ok(Material {
            wrapped: wrapped(blob),
            public: Some(public.into_boxed_slice()),
        })
    }

    /// The material of a version at protection SOFTWARE as other systems read it.
    ///
    /// # Errors
    /// [`ServiceError::Tampered`] if the wrapped material is not what it should be.
    pub fn give_out(&self, version: VersionRef<'_>) -> Result<PrivateMaterial, ServiceError> {
        let tampered = || ServiceError::Tampered {
            key: version.name.to_string(),
            version: version.number.0,
        };
        let (id, number, algorithm) = (version.id, version.number, version.algorithm);
        let binding = self.binding(id, number, algorithm, Protection::Software);
        let blob = &version.wrapped.blob;
        let opened = wrap::unwrap_private(&self.software_kek, &binding, blob);
        let stored = opened.map_err(|_| tampered())?;
        let encoded = match (signing_kind(algorithm), receiving_kind(algorithm)) {
            (Some(kind), _) => Some(kind),
            (None, Some(kind)) => pkcs8_kind(kind),
            (None, None) => None,
        };
        match encoded {
            Some(kind) => sign::export(kind, &stored).map_err(|_| tampered()),
            None => Ok(stored),
        }
    }
}

/// A stored private key, and its public half in DER.
type Pair = (PrivateMaterial, Vec<u8>);

fn signing_pair(kind: KeyKind, key: &PrivateMaterial) -> Result<Pair, CryptoError> {
    let stored = sign::import(kind, key)?;
    let public = SigningKey::new(kind, &stored)?.public_key().spki();
    Ok((stored, public))
}

/// The kind of key whose PKCS#8 a key that receives has, of those that travel so.
fn pkcs8_kind(kind: ReceivingKind) -> Option<KeyKind> {
    match kind {
        ReceivingKind::Oaep(RsaSize::Bits2048, _) => Some(KeyKind::Rsa2048),
        ReceivingKind::Oaep(RsaSize::Bits3072, _) => Some(KeyKind::Rsa3072),
        ReceivingKind::Oaep(RsaSize::Bits4096, _) => Some(KeyKind::Rsa4096),
        ReceivingKind::Agreement(AgreementKind::EcdhP256) => Some(KeyKind::EcdsaP256),
        ReceivingKind::Kem | ReceivingKind::Agreement(AgreementKind::X25519) => None,
    }
}

fn receiving_pair(kind: ReceivingKind, key: &PrivateMaterial) -> Result<Pair, CryptoError> {
    let stored = match pkcs8_kind(kind) {
        Some(kind) => sign::import(kind, key)?,
        None => PrivateMaterial::from_slice(key.expose())?,
    };
    let public = receiving::prepare(kind, &stored)?.public_key().spki();
    Ok((stored, public))
}

/// Wraps material under somebody's public key.
///
/// # Errors
/// As the HSM has them.
pub(crate) async fn wrap_for(
    env: &Env,
    recipient: &EncryptingKey,
    material: &PrivateMaterial,
) -> Result<Vec<u8>, ServiceError> {
    let ephemeral: Secret<32> = random(env, b"conclave/1/export").await?;
    let wrapped = rsa_aes::wrap(recipient, &KeyMaterial::new(ephemeral), material);
    wrapped.map_err(|error| ServiceError::invalid("public_key", error))
}
