//! What an unsealed node can do: everything that needs a key in clear, or a key inside the HSM.
//!
//! Dropped on seal. What is in memory is wiped by its types, what is in the HSM by [`conclave_env::Hsm::clear`].

mod imports;
mod inside;
mod inside_imports;
mod many;
mod pairs;
mod ready;
mod receiving;
mod signing;

use crate::drawn::Drawn;
use crate::error::ServiceError;
use crate::limits::LOADED_VERSIONS_MAX;
use crate::loaded::{Loaded, LoadedVersions};
use conclave_core::{
    Algorithm, ClusterId, Custody, Generation, KekNumber, KeyId, KeyName, Material, Protection,
    RootWrapped, SetId, VersionNumber, Wrapped,
};
use conclave_crypto::{
    AuditSigningSeed, Binding, IntegrityKey, KekBinding, KeyMaterial, Secret, SoftwareKek, audit,
    root, wrap,
};
use conclave_env::os::lock_for_life;
use conclave_env::{Env, Hsm, HsmError, HsmKey, HsmKeyKind};
pub(crate) use imports::{takes, wrap_for};
pub(crate) use inside_imports::ImportPlace;
use pairs::PairKind;
pub(crate) use ready::Ready;
pub(crate) use receiving::Receiving;
pub(crate) use signing::pair_for_outside;
use signing::signing_kind;
use std::sync::Arc;

/// The number of the one KEK of each kind; rotation gives others.
const FIRST_KEK: KekNumber = KekNumber(1);

/// The keys of an unsealed node.
pub struct Unsealed {
    cluster: ClusterId,
    set: SetId,
    hsm: Arc<dyn Hsm>,
    root: HsmKey,
    hsm_kek: HsmKey,
    software_kek: SoftwareKek,
    integrity: IntegrityKey,
    audit_seed: AuditSigningSeed,
    versions: LoadedVersions,
    drawn: Drawn,
}

/// A key version of which material is wanted.
#[derive(Clone, Copy)]
pub struct VersionRef<'a> {
    /// For errors.
    pub name: &'a KeyName,
    /// The key.
    pub id: KeyId,
    /// The version.
    pub number: VersionNumber,
    /// The key's.
    pub algorithm: Algorithm,
    /// The key's.
    pub protection: Protection,
    /// Its material.
    pub wrapped: &'a Wrapped,
    /// Its public half, of keys that have one.
    pub public: Option<&'a [u8]>,
}

impl Unsealed {
    /// Makes the keys that the root key wraps: what the ceremony replicates.
    ///
    /// # Errors
    /// As the HSM has them.
    ///
    /// # Panics
    /// Never: the origin is our own.
    pub async fn create(
        env: &Env,
        cluster: ClusterId,
        generation: Generation,
        root: HsmKey,
    ) -> Result<(RootWrapped, String), ServiceError> {
        let hsm = &*env.hsm;
        let integrity = IntegrityKey::new(random(env, b"conclave/1/integrity-key").await?);
        let software_kek: Secret<32> = random(env, b"conclave/1/software-kek").await?;
        let audit_seed = AuditSigningSeed::new(random(env, b"conclave/1/audit-key").await?);
        let bind = |kind: &'static str, blob: Vec<u8>| {
            let binding = KekBinding {
                cluster,
                kind,
                number: FIRST_KEK,
                generation,
            }
            .encode();
            let tag = wrap::bind_tag(&integrity, &binding, &blob).to_vec();
            Wrapped {
                kek: FIRST_KEK,
                blob,
                tag,
            }
        };
        let wrapped = RootWrapped {
            hsm_kek: bind(HSM_KEK, hsm.generate_wrapped(root, HsmKeyKind::Kek).await?),
            software_kek: bind(
                SOFTWARE_KEK,
                hsm.wrap_secret(root, software_kek.expose()).await?,
            ),
            integrity_key: bind(INTEGRITY, hsm.wrap_secret(root, integrity.expose()).await?),
            audit_signing_key: bind(AUDIT, hsm.wrap_secret(root, audit_seed.expose()).await?),
        };
        let verifier_key = audit::verifier_key(&audit_seed, &origin(cluster));
        Ok((wrapped, verifier_key.expect(GOOD_ORIGIN)))
    }

    /// Unwraps the keys of `custody` with a root key that is in the HSM, and checks that each is what it says.
    ///
    /// # Errors
    /// As the HSM has them; [`HsmError::Refused`] if the root key is another one.
    pub async fn open(
        env: &Env,
        cluster: ClusterId,
        custody: &Custody,
        root: HsmKey,
    ) -> Result<Self, ServiceError> {
        let hsm = env.hsm.clone();
        let wrapped = &custody.wrapped;
        let secret = async |wrapped: &Wrapped| -> Result<Secret<32>, HsmError> {
            let mut secret = Secret::zeroed();
            hsm.unwrap_secret(root, &wrapped.blob, secret.expose_mut())
                .await?;
            Ok(secret)
        };
        let integrity = IntegrityKey::new(secret(&wrapped.integrity_key).await?);
        let generation = custody.generation;
        let parts = [
            (HSM_KEK, &wrapped.hsm_kek),
            (SOFTWARE_KEK, &wrapped.software_kek),
            (INTEGRITY, &wrapped.integrity_key),
            (AUDIT, &wrapped.audit_signing_key),
        ];
        for (kind, part) in parts {
            let binding = KekBinding {
                cluster,
                kind,
                number: part.kek,
                generation,
            }
            .encode();
            wrap::verify_tag(&integrity, &binding, &part.blob, &part.tag).map_err(|_| {
                ServiceError::Tampered {
                    key: format!("the {kind}"),
                    version: part.kek.0,
                }
            })?;
        }
        let software_kek = SoftwareKek::new(secret(&wrapped.software_kek).await?);
        let audit_seed = AuditSigningSeed::new(secret(&wrapped.audit_signing_key).await?);
        for key in [
            software_kek.expose(),
            audit_seed.expose(),
            integrity.expose(),
        ] {
            keep_from_swap(key);
        }
        Ok(Self {
            cluster,
            set: custody.set,
            root,
            hsm_kek: hsm
                .unwrap(root, &wrapped.hsm_kek.blob, HsmKeyKind::Kek)
                .await?,
            software_kek,
            audit_seed,
            integrity,
            versions: LoadedVersions::new(LOADED_VERSIONS_MAX, hsm.clone()),
            drawn: Drawn::new(),
            hsm,
        })
    }

    /// A data key: the HSM's randomness mixed with the operating system's, so that neither alone decides it. The HSM's is
    /// drawn for many at a time.
    ///
    /// # Errors
    /// As the HSM has them.
    pub async fn data_key(&self, env: &Env) -> Result<Secret<64>, ServiceError> {
        let from_hsm = self.drawn.take(&*self.hsm).await?;
        let mut from_os: Secret<32> = Secret::zeroed();
        env.entropy.fill(from_os.expose_mut());
        Ok(root::mix_entropy(
            &from_hsm,
            &from_os,
            b"conclave/1/data-key",
        ))
    }

    /// Forgets the material of versions that are `gone`.
    pub fn forget_versions(&self, gone: impl Fn(KeyId, VersionNumber) -> bool) {
        self.versions.forget_all(gone);
    }

    /// The share set of the root key.
    pub fn set(&self) -> SetId {
        self.set
    }

    /// Makes material for a new version.
    ///
    /// # Errors
    /// As the HSM has them.
    pub async fn generate(
        &self,
        env: &Env,
        id: KeyId,
        number: VersionNumber,
        algorithm: Algorithm,
        protection: Protection,
    ) -> Result<Material, ServiceError> {
        let binding = self.binding(id, number, algorithm, protection);
        let nonce = || {
            let mut nonce = [0; 12];
            env.entropy.fill(&mut nonce);
            nonce
        };
        let mut public = None;
        let (blob, tag) = match (protection, PairKind::of(algorithm)) {
            (Protection::Software, Some(kind)) => {
                let (private, spki) = kind.generate(env).await?;
                public = Some(spki.into_boxed_slice());
                let blob = wrap::wrap_private(&self.software_kek, nonce(), &binding, &private);
                (blob, Vec::new())
            }
            (Protection::Software, None) => {
                let material = KeyMaterial::new(random(env, b"conclave/1/key-material").await?);
                let blob = wrap::wrap_material(&self.software_kek, nonce(), &binding, &material);
                (blob, Vec::new())
            }
            (Protection::Hsm, _) => {
                let kind = self.offered(algorithm)?;
                let blob = if kind.is_pair() {
                    let pair = self.hsm.generate_pair_wrapped(self.hsm_kek, kind).await?;
                    public = Some(pair.public.into_boxed_slice());
                    pair.private
                } else {
                    self.hsm.generate_wrapped(self.hsm_kek, kind).await?
                };
                let binding = bind_public(&binding, public.as_deref());
                let tag = wrap::bind_tag(&self.integrity, &binding, &blob);
                (blob, tag.to_vec())
            }
        };
        let wrapped = Wrapped {
            kek: FIRST_KEK,
            blob,
            tag,
        };
        Ok(Material { wrapped, public })
    }

    /// The kind of key that an algorithm takes in the HSM, if this one has it.
    fn offered(&self, algorithm: Algorithm) -> Result<HsmKeyKind, ServiceError> {
        let kind = inside::kind(algorithm).filter(|kind| self.hsm.offers(*kind));
        kind.ok_or_else(|| ServiceError::NotOffered {
            hsm: self.hsm.description(),
            algorithm: algorithm.as_str(),
        })
    }

    fn binding(
        &self,
        key: KeyId,
        version: VersionNumber,
        algorithm: Algorithm,
        protection: Protection,
    ) -> Binding<'static> {
        Binding {
            cluster: self.cluster,
            key,
            version,
            algorithm: algorithm.as_str(),
            protection: protection.as_str(),
            purpose: algorithm.purpose().as_str(),
        }
    }

    /// Loads a version for messages under it.
    ///
    /// # Errors
    /// [`ServiceError::Tampered`] if the wrapped material is not what it should be, or as the HSM has them.
    pub async fn ready<'a>(&'a self, version: VersionRef<'a>) -> Result<Ready<'a>, ServiceError> {
        Ok(Ready {
            unsealed: self,
            version,
            loaded: self.load(version).await?,
        })
    }

    async fn load(&self, version: VersionRef<'_>) -> Result<Arc<Loaded>, ServiceError> {
        if let Some(loaded) = self.versions.find(version.id, version.number) {
            return Ok(loaded);
        }
        let tampered = || ServiceError::Tampered {
            key: version.name.to_string(),
            version: version.number.0,
        };
        let VersionRef {
            id,
            number,
            algorithm,
            protection,
            wrapped,
            public,
            ..
        } = version;
        let binding = self.binding(id, number, algorithm, protection);
        let loaded = match (protection, PairKind::of(algorithm)) {
            (Protection::Software, Some(kind)) => {
                let opened = wrap::unwrap_private(&self.software_kek, &binding, &wrapped.blob);
                let private = opened.map_err(|_| tampered())?;
                kind.prepare(&private, public).map_err(|_| tampered())?
            }
            (Protection::Software, None) => {
                let opened = wrap::unwrap_material(&self.software_kek, &binding, &wrapped.blob);
                let material = opened.map_err(|_| tampered())?;
                keep_from_swap(material.expose());
                Loaded::Software(material)
            }
            (Protection::Hsm, _) => {
                let binding = bind_public(&binding, public);
                wrap::verify_tag(&self.integrity, &binding, &wrapped.blob, &wrapped.tag)
                    .map_err(|_| tampered())?;
                let verifier = signing_kind(algorithm)
                    .map(|kind| signing::verifier(kind, public.unwrap_or_default()));
                let verifier = verifier.transpose().map_err(|_| tampered())?;
                let key = self
                    .hsm
                    .unwrap(self.hsm_kek, &wrapped.blob, self.offered(algorithm)?)
                    .await;
                let refused = |e: &HsmError| matches!(e, HsmError::Refused { .. });
                let key = key.map_err(|e| if refused(&e) { tampered() } else { e.into() })?;
                Loaded::Hsm(key, verifier.map(Box::new))
            }
        };
        Ok(self.versions.insert(id, number, loaded))
    }

    /// The audit log's checkpoint at a size, signed.
    ///
    /// # Panics
    /// Never: the origin is our own.
    pub fn checkpoint(&self, size: u64, root: &[u8; 32]) -> String {
        audit::checkpoint(&self.audit_seed, &origin(self.cluster), size, root).expect(GOOD_ORIGIN)
    }

    /// Whether the HSM still holds the root key.
    ///
    /// # Errors
    /// Why not.
    pub async fn check_hsm(&self) -> Result<(), HsmError> {
        self.hsm.check(self.root).await
    }
}

/// What an HSM's wrap is bound to: its place, and its public half if it has one.
fn bind_public(binding: &Binding<'_>, public: Option<&[u8]>) -> Vec<u8> {
    // The place ends where its last field does, so that nothing is read in two ways.
    [&binding.encode(), public.unwrap_or_default()].concat()
}

const HSM_KEK: &str = "HSM KEK";
const SOFTWARE_KEK: &str = "software KEK";
const INTEGRITY: &str = "integrity key";
const AUDIT: &str = "audit signing key";

const GOOD_ORIGIN: &str = "the origin is made of letters, digits and slashes";

/// The origin line of the audit log's checkpoints.
fn origin(cluster: ClusterId) -> String {
    format!("conclave/audit/{cluster}")
}

/// Locks the page of a long-lived secret, and says once in a process's life that it cannot be done.
pub(crate) fn keep_from_swap(secret: &[u8]) {
    static SAID: std::sync::Once = std::sync::Once::new();
    if !lock_for_life(secret) {
        SAID.call_once(|| {
            tracing::warn!(
                "secrets cannot be locked in memory and may be swapped out: raise the limit of \
                 locked memory (ulimit -l, LimitMEMLOCK)"
            );
        });
    }
}

/// A long-lived secret: the HSM's randomness mixed with the operating system's, so that neither alone decides it.
///
/// # Errors
/// As the HSM has them.
pub(crate) async fn random<const N: usize>(
    env: &Env,
    label: &[u8],
) -> Result<Secret<N>, ServiceError> {
    let mut from_hsm: Secret<32> = Secret::zeroed();
    env.hsm.random(from_hsm.expose_mut()).await?;
    let mut from_os: Secret<32> = Secret::zeroed();
    env.entropy.fill(from_os.expose_mut());
    Ok(root::mix_entropy(&from_hsm, &from_os, label))
}
