//! Own material: the jobs that it comes by, and its becoming a key.

use super::convert;
use super::key::KeyApi;
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::{IMPORT_LIFE_DEFAULT, IMPORTED_BYTES_MAX, WRITE_CONFLICTS_MAX};
use conclave_core::import::digest_of;
use conclave_core::{
    Action, Algorithm, Change, ImportJob, ImportJobId, ImportLife, ImportMethod, ImportTarget,
    KekNumber, KeyId, KeyName, KeySpec, KeyringName, Material, NewImportJob, Protection, Refusal,
    Scope, State, VersionNumber, Wrapped, Written,
};
use conclave_crypto::PublicKey;
use conclave_proto::v1 as wire;
use conclave_proto::v1::import_key_request::Target;
use std::time::Duration;

fn job_id(bytes: &[u8]) -> Result<ImportJobId, ServiceError> {
    let rule = "16 bytes, as CreateImportJob answered them";
    let id = ImportJobId::from_slice(bytes);
    id.ok_or_else(|| ServiceError::invalid("import_job_id", rule))
}

fn keyring(text: &str) -> Result<KeyringName, ServiceError> {
    KeyringName::new(text).map_err(|e| ServiceError::invalid("keyring", e))
}

fn method(value: i32) -> Result<ImportMethod, ServiceError> {
    let unknown = || ServiceError::invalid("method", "this version does not know the value");
    match wire::ImportMethod::try_from(value).map_err(|_| unknown())? {
        wire::ImportMethod::Unspecified | wire::ImportMethod::RsaOaep3072Sha256Aes256 => {
            Ok(ImportMethod::RsaOaep3072Sha256Aes256)
        }
        wire::ImportMethod::RsaOaep4096Sha256Aes256 => Ok(ImportMethod::RsaOaep4096Sha256Aes256),
    }
}

fn lifetime(asked: Option<prost_types::Duration>) -> Result<ImportLife, ServiceError> {
    let asked = asked.map(Duration::try_from).transpose();
    let life = asked.map_err(|e| ServiceError::invalid("lifetime", e))?;
    let life_ms = life.unwrap_or(IMPORT_LIFE_DEFAULT).as_millis();
    let life = ImportLife::from_ms(u64::try_from(life_ms).unwrap_or(u64::MAX));
    life.map_err(|e| ServiceError::invalid("lifetime", e))
}

fn wire_job(
    state: &State,
    id: ImportJobId,
    job: &ImportJob,
) -> Result<wire::ImportJob, ServiceError> {
    let tampered = |_| ServiceError::Tampered {
        key: format!("import job {id}"),
        version: 1,
    };
    let public = PublicKey::from_spki(&job.public).map_err(tampered)?;
    let method = match job.method {
        ImportMethod::RsaOaep3072Sha256Aes256 => wire::ImportMethod::RsaOaep3072Sha256Aes256,
        ImportMethod::RsaOaep4096Sha256Aes256 => wire::ImportMethod::RsaOaep4096Sha256Aes256,
    };
    let imported = job.used.and_then(|(key, _)| state.key_by_id(key));
    Ok(wire::ImportJob {
        import_job_id: id.as_bytes().to_vec(),
        keyring: job.keyring.to_string(),
        method: method.into(),
        public_key_der: public.spki(),
        public_key_pem: public.pem(),
        created_at: Some(convert::timestamp(job.created_at)),
        expires_at: Some(convert::timestamp(job.expires_at)),
        imported_key: imported
            .map(|key| key.info.name.to_string())
            .unwrap_or_default(),
        imported_version: job.used.map_or(0, |(_, version)| version.0),
    })
}

/// What is to be imported, as the caller said it.
enum Asked {
    Key(Box<KeySpec>),
    Version(KeyName),
}

/// The place that material is bound to.
struct Place {
    target: ImportTarget,
    id: KeyId,
    version: VersionNumber,
    algorithm: Algorithm,
}

impl KeyApi {
    pub(super) async fn new_import_job(
        &self,
        caller: &Caller,
        asked: wire::CreateImportJobRequest,
    ) -> Result<wire::ImportJob, ServiceError> {
        let context = &self.0;
        let (keyring, method) = (keyring(&asked.keyring)?, method(asked.method)?);
        let lives = lifetime(asked.lifetime)?;
        let mut id = [0; 16];
        context.env.entropy.fill(&mut id);
        let id = ImportJobId(id);
        let unsealed = context.seal.unsealed()?;
        let (wrapped, public) = unsealed.import_pair(&context.env, id, method)?;
        let change = Change::CreateImportJob(Box::new(NewImportJob {
            id,
            keyring,
            method,
            lives,
            set: unsealed.set(),
            wrapped,
            public,
        }));
        let written = match context.write(caller, change).await {
            // Another ceremony replaced the root key, and this node is about to seal itself.
            Err(ServiceError::Refused(Refusal::Conflict)) => return Err(ServiceError::Contended),
            written => written?,
        };
        // Of the request that was repeated, if it was.
        let Written::ImportJob(id) = written else {
            return Err(ServiceError::Outdated);
        };
        let replica = context.replica.get()?;
        context.catch_up(&replica, caller.deadline).await?;
        replica.with_state(|state| {
            let job = state.import_job(id);
            wire_job(state, id, job.ok_or(Refusal::ImportJobNotFound(id))?)
        })
    }

    pub(super) async fn import_job(
        &self,
        caller: &Caller,
        asked: wire::GetImportJobRequest,
    ) -> Result<wire::ImportJob, ServiceError> {
        let id = job_id(&asked.import_job_id)?;
        let consistency = convert::consistency(asked.consistency)?;
        let replica = self.0.read(caller, consistency).await?;
        replica.with_state(|state| {
            let job = state.import_job(id);
            let job = job.ok_or(Refusal::ImportJobNotFound(id))?;
            let scope = Scope::Keyring(job.keyring.clone());
            NodeContext::require(state.access(), caller, Action::ReadKey, &scope)?;
            wire_job(state, id, job)
        })
    }

    pub(super) async fn import_jobs(
        &self,
        caller: &Caller,
        asked: wire::ListImportJobsRequest,
    ) -> Result<wire::ListImportJobsResponse, ServiceError> {
        let wanted = if asked.keyring.is_empty() {
            None
        } else {
            Some(keyring(&asked.keyring)?)
        };
        let consistency = convert::consistency(asked.consistency)?;
        let replica = self.0.read(caller, consistency).await?;
        replica.with_state(|state| {
            let seen = |job: &ImportJob| {
                let scope = Scope::Keyring(job.keyring.clone());
                wanted
                    .as_ref()
                    .is_none_or(|keyring| *keyring == job.keyring)
                    && state
                        .access()
                        .permits(&caller.principal, Action::ReadKey, &scope)
            };
            let jobs = state.import_jobs().filter(|(_, job)| seen(job));
            let jobs = jobs.map(|(id, job)| wire_job(state, id, job));
            Ok(wire::ListImportJobsResponse {
                import_jobs: jobs.collect::<Result<_, _>>()?,
            })
        })
    }

    /// The material is bound to the version that it is to be; if a rotation was quicker, it is wrapped anew.
    pub(super) async fn import(
        &self,
        caller: &Caller,
        asked: wire::ImportKeyRequest,
    ) -> Result<wire::Key, ServiceError> {
        let job = job_id(&asked.import_job_id)?;
        let wrapped = asked.wrapped_key;
        if !(1..=IMPORTED_BYTES_MAX).contains(&wrapped.len()) {
            let rule = format!("1 to {IMPORTED_BYTES_MAX} bytes");
            return Err(ServiceError::invalid("wrapped_key", rule));
        }
        let target = match asked.target {
            Some(Target::Key(key)) => Asked::Key(Box::new(convert::key_spec(key)?)),
            Some(Target::VersionOf(name)) => Asked::Version(convert::key_name(&name)?),
            None => return Err(ServiceError::invalid("target", "must be given")),
        };
        let digest = digest_of(&wrapped);
        let context = &self.0;
        for _ in 0..WRITE_CONFLICTS_MAX {
            let replica = context.replica.get()?;
            context.catch_up(&replica, caller.deadline).await?;
            let place = self.place(&target)?;
            let material = self.material(caller, job, &place, &wrapped)?;
            let change = Change::Import {
                job,
                target: place.target,
                material: Box::new(material),
                digest,
            };
            match context.write(caller, change).await {
                Err(ServiceError::Refused(Refusal::Conflict)) => {}
                answer => return self.key_of(answer?),
            }
        }
        Err(ServiceError::Contended)
    }

    fn place(&self, asked: &Asked) -> Result<Place, ServiceError> {
        let only_software = |protection: Protection| {
            let rule = "imported material was outside of HSMs: give protection SOFTWARE";
            if protection == Protection::Software {
                Ok(())
            } else {
                Err(ServiceError::invalid("protection", rule))
            }
        };
        let context = &self.0;
        match asked {
            Asked::Key(spec) => {
                only_software(spec.protection)?;
                let mut id = [0; 16];
                context.env.entropy.fill(&mut id);
                let set = context.seal.unsealed()?.set();
                let (id, spec) = (KeyId(id), (**spec).clone());
                Ok(Place {
                    algorithm: spec.algorithm,
                    target: ImportTarget::Key { spec, id, set },
                    id,
                    version: VersionNumber(1),
                })
            }
            Asked::Version(name) => {
                let replica = context.replica.get()?;
                let found = replica.with_state(|state| {
                    let key = state.key(name)?;
                    Some((key.info.clone(), key.next_version()))
                });
                // Who may not import is not told whether the key exists: `apply` says what is so.
                let (id, version, algorithm) = match found {
                    None => (KeyId::default(), VersionNumber(1), Algorithm::Aes256Gcm),
                    Some((info, version)) => {
                        only_software(info.protection)?;
                        (info.id, version, info.algorithm)
                    }
                };
                let name = name.clone();
                Ok(Place {
                    target: ImportTarget::Version { name, id, version },
                    id,
                    version,
                    algorithm,
                })
            }
        }
    }

    /// The material for its place. Of a job that is of no use, or for who may not, none: `apply` says why.
    fn material(
        &self,
        caller: &Caller,
        id: ImportJobId,
        place: &Place,
        wrapped: &[u8],
    ) -> Result<Material, ServiceError> {
        let none = Wrapped {
            kek: KekNumber(0),
            blob: Vec::new(),
            tag: Vec::new(),
        };
        let context = &self.0;
        let now = context.env.clock.now();
        let job = context.replica.get()?.with_state(|state| {
            let scope = Scope::Keyring(place.target.name().keyring());
            let may = state
                .access()
                .permits(&caller.principal, Action::CreateKey, &scope);
            let job = state.import_job(id).filter(|_| may)?;
            let lives = job.expires_at > state.time().max(now);
            let of_keyring = job.keyring == place.target.name().keyring();
            (lives && of_keyring).then(|| job.clone())
        });
        let Some((job, private)) = job.and_then(|job| Some((job.clone(), job.wrapped?))) else {
            return Ok(none.into());
        };
        let unsealed = context.seal.unsealed()?;
        let opened = unsealed.open_import(id, &job, &private, wrapped)?;
        let opened = opened.ok_or_else(|| ServiceError::WrappedKeyInvalid {
            algorithm: place.algorithm.as_str(),
            takes: crate::unsealed::takes(place.algorithm),
        })?;
        let bound = (place.id, place.version);
        unsealed.take_in(&context.env, bound, place.algorithm, &opened)
    }
}
