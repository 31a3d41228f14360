//! Own material: the jobs that it comes by, and its becoming a key.

use super::convert;
use super::key::KeyApi;
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::{IMPORT_LIFE_DEFAULT, IMPORTED_BYTES_MAX, WRITE_CONFLICTS_MAX};
use crate::unsealed::ImportPlace;
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

fn method(value: i32) -> Result<Option<ImportMethod>, ServiceError> {
    let known = wire::ImportMethod::try_from(value).map_err(|_| convert::unknown("method"))?;
    Ok(match known {
        wire::ImportMethod::Unspecified => None,
        wire::ImportMethod::RsaOaep3072Sha256Aes256 => Some(ImportMethod::RsaOaep3072Sha256Aes256),
        wire::ImportMethod::RsaOaep4096Sha256Aes256 => Some(ImportMethod::RsaOaep4096Sha256Aes256),
        wire::ImportMethod::RsaOaep3072Sha1Aes256 => Some(ImportMethod::RsaOaep3072Sha1Aes256),
        wire::ImportMethod::RsaOaep4096Sha1Aes256 => Some(ImportMethod::RsaOaep4096Sha1Aes256),
    })
}

fn wire_method(method: ImportMethod) -> wire::ImportMethod {
    match method {
        ImportMethod::RsaOaep3072Sha256Aes256 => wire::ImportMethod::RsaOaep3072Sha256Aes256,
        ImportMethod::RsaOaep4096Sha256Aes256 => wire::ImportMethod::RsaOaep4096Sha256Aes256,
        ImportMethod::RsaOaep3072Sha1Aes256 => wire::ImportMethod::RsaOaep3072Sha1Aes256,
        ImportMethod::RsaOaep4096Sha1Aes256 => wire::ImportMethod::RsaOaep4096Sha1Aes256,
    }
}

/// Of what is not to be: `apply` says why.
fn no_material() -> Wrapped {
    Wrapped {
        kek: KekNumber(0),
        blob: Vec::new(),
        tag: Vec::new(),
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
    let imported = job.used.and_then(|(key, _)| state.key_by_id(key));
    Ok(wire::ImportJob {
        import_job_id: id.as_bytes().to_vec(),
        keyring: job.keyring.to_string(),
        method: wire_method(job.method).into(),
        protection: convert::wire_protection(job.protection).into(),
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
    bound: ImportPlace,
}

impl KeyApi {
    pub(super) async fn new_import_job(
        &self,
        caller: &Caller,
        asked: wire::CreateImportJobRequest,
    ) -> Result<wire::ImportJob, ServiceError> {
        let context = &self.0;
        let (keyring, method) = (keyring(&asked.keyring)?, method(asked.method)?);
        let protection = convert::protection(asked.protection)?;
        let lives = lifetime(asked.lifetime)?;
        let mut id = [0; 16];
        context.env.entropy.fill(&mut id);
        let id = ImportJobId(id);
        let unsealed = context.seal.unsealed()?;
        // A pair takes seconds to make, and the HSM's time is everybody's.
        let replica = context.replica.get()?;
        context.catch_up(&replica, caller.deadline).await?;
        let scope = Scope::Keyring(keyring.clone());
        let may = replica.with_state(|state| {
            let access = state.access();
            access.permits(&caller.principal, Action::CreateKey, &scope)
        });
        let (method, wrapped, public) = if may {
            let method = unsealed.import_method(method, protection)?;
            let pair = unsealed.import_pair(&context.env, id, method, protection);
            let (wrapped, public) = pair.await?;
            (method, wrapped, public)
        } else {
            let [method, ..] = ImportMethod::ALL;
            (method, no_material(), Box::default())
        };
        let change = Change::CreateImportJob(Box::new(NewImportJob {
            id,
            keyring,
            method,
            lives,
            set: unsealed.set(),
            wrapped,
            public,
            protection,
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
            let material = self.material(caller, job, &place, &wrapped).await?;
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
        let context = &self.0;
        match asked {
            Asked::Key(spec) => {
                let mut id = [0; 16];
                context.env.entropy.fill(&mut id);
                let set = context.seal.unsealed()?.set();
                let (id, spec) = (KeyId(id), (**spec).clone());
                let bound = ImportPlace {
                    id,
                    version: VersionNumber(1),
                    algorithm: spec.algorithm,
                    protection: spec.protection,
                };
                let target = ImportTarget::Key { spec, id, set };
                Ok(Place { target, bound })
            }
            Asked::Version(name) => {
                let replica = context.replica.get()?;
                let found = replica.with_state(|state| {
                    let key = state.key(name)?;
                    Some((key.info.clone(), key.next_version()))
                });
                // Who may not import is not told whether the key exists: `apply` says what is so.
                let bound = match found {
                    None => ImportPlace {
                        id: KeyId::default(),
                        version: VersionNumber(1),
                        algorithm: Algorithm::Aes256Gcm,
                        protection: Protection::Software,
                    },
                    Some((info, version)) => ImportPlace {
                        id: info.id,
                        version,
                        algorithm: info.algorithm,
                        protection: info.protection,
                    },
                };
                let target = ImportTarget::Version {
                    name: name.clone(),
                    id: bound.id,
                    version: bound.version,
                };
                Ok(Place { target, bound })
            }
        }
    }

    /// The material for its place. Of a job that is of no use, or for who may not, none: `apply` says why.
    async fn material(
        &self,
        caller: &Caller,
        id: ImportJobId,
        place: &Place,
        wrapped: &[u8],
    ) -> Result<Material, ServiceError> {
        let (context, bound) = (&self.0, place.bound);
        let now = context.env.clock.now();
        let job = context.replica.get()?.with_state(|state| {
            let scope = Scope::Keyring(place.target.name().keyring());
            let may = state
                .access()
                .permits(&caller.principal, Action::CreateKey, &scope);
            let job = state.import_job(id).filter(|_| may)?;
            let lives = job.expires_at > state.time().max(now);
            let of_keyring = job.keyring == place.target.name().keyring();
            let fits = job.protection == bound.protection;
            (lives && of_keyring && fits).then(|| job.clone())
        });
        let Some((job, private)) = job.and_then(|job| Some((job.clone(), job.wrapped?))) else {
            return Ok(no_material().into());
        };
        let unsealed = context.seal.unsealed()?;
        if job.protection == Protection::Hsm {
            return unsealed
                .import_inside((id, &job), &private, wrapped, bound)
                .await;
        }
        let opened = unsealed.open_import(id, &job, &private, wrapped)?;
        let opened = opened.ok_or_else(|| ServiceError::WrappedKeyInvalid {
            algorithm: bound.algorithm.as_str(),
            takes: crate::unsealed::takes(bound.algorithm, bound.protection),
        })?;
        let (algorithm, bound) = (bound.algorithm, (bound.id, bound.version));
        unsealed.take_in(&context.env, bound, algorithm, &opened)
    }
}
