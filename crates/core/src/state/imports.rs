//! Import jobs, and the keys and versions that come by them.

use super::writes::{Answer, limit};
use super::{Place, State};
use crate::command::{ImportTarget, NewImportJob};
use crate::ids::{ImportJobId, TimeMs, VersionNumber};
use crate::import::ImportJob;
use crate::key::Material;
use crate::limits::{IMPORT_JOBS_MAX, PUBLIC_KEY_BYTES_MAX, TICK_WORK_MAX};
use crate::outcome::{LimitedThing, Malformation, Refusal, Written};

impl State {
    /// An import job.
    pub fn import_job(&self, id: ImportJobId) -> Option<&ImportJob> {
        self.imports.get(&id)
    }

    /// The import jobs there are, in the order of their ids.
    pub fn import_jobs(&self) -> impl Iterator<Item = (ImportJobId, &ImportJob)> {
        self.imports.iter().map(|(id, job)| (*id, job))
    }

    pub(super) fn create_import_job(&mut self, place: Place, new: &NewImportJob) -> Answer {
        let bounded = (1..=PUBLIC_KEY_BYTES_MAX).contains(&new.public.len());
        if !new.wrapped.is_bounded() || !bounded {
            return Err(Refusal::Malformed(Malformation::Wrapped));
        }
        let custody = self.custody.as_ref().ok_or(Refusal::NoCustody)?;
        if custody.set != new.set || self.imports.contains_key(&new.id) {
            return Err(Refusal::Conflict);
        }
        if self.imports.len() >= IMPORT_JOBS_MAX {
            return Err(limit(LimitedThing::ImportJobs, IMPORT_JOBS_MAX));
        }
        let job = ImportJob {
            keyring: new.keyring.clone(),
            method: new.method,
            public: new.public.clone(),
            wrapped: Some(new.wrapped.clone()),
            created_at: place.time,
            expires_at: new.lives.after(place.time),
            used: None,
            protection: new.protection,
        };
        self.save_import_job(new.id, &job);
        self.imports.insert(new.id, job);
        Ok(Written::ImportJob(new.id))
    }

    /// A new key, or a new version, of material that came by a job. The job is good for one.
    pub(super) fn import(
        &mut self,
        place: Place,
        id: ImportJobId,
        target: &ImportTarget,
        material: &Material,
    ) -> Answer {
        let job = self
            .imports
            .get(&id)
            .ok_or(Refusal::ImportJobNotFound(id))?;
        if job.expires_at <= place.time {
            let at = job.expires_at;
            return Err(Refusal::ImportJobExpired { id, at });
        }
        if job.used.is_some() {
            return Err(Refusal::ImportJobUsed(id));
        }
        let name = target.name();
        if job.keyring != name.keyring() {
            return Err(Refusal::ImportJobElsewhere {
                id,
                keyring: job.keyring.clone(),
            });
        }
        let asked = match target {
            ImportTarget::Key { spec, .. } => Some(spec.protection),
            ImportTarget::Version { name, .. } => self.key(name).map(|key| key.info.protection),
        };
        let protection = job.protection;
        if let Some(asked) = asked.filter(|asked| *asked != protection) {
            return Err(Refusal::ImportJobProtection {
                id,
                protection,
                asked,
            });
        }
        let answer = match target {
            ImportTarget::Key { spec, id, set } => {
                self.create_key(place, spec, (*id, *set), material)?;
                (*id, VersionNumber(1))
            }
            ImportTarget::Version { name, id, version } => {
                self.rotate_key(place, name, *id, *version, material)?;
                (*id, *version)
            }
        };
        let (key, version) = answer;
        self.mark_imported(name, version);
        let job = self.imports.get_mut(&id).expect("it was just found");
        job.wrapped = None;
        job.used = Some((key, version));
        let job = job.clone();
        self.save_import_job(id, &job);
        self.key_answer(name)
    }

    /// Forgets jobs whose time is up, as many as one tick may.
    pub(super) fn forget_import_jobs(&mut self, now: TimeMs) {
        let is_over = |(_, job): &(&ImportJobId, &ImportJob)| job.expires_at <= now;
        let over = self.imports.iter().filter(is_over).take(TICK_WORK_MAX);
        let over: Vec<ImportJobId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.imports.remove(&id);
            self.save_import_job_removed(id);
        }
    }

    /// Whether a tick at `now` would forget an import job.
    pub(super) fn has_old_import_jobs(&self, now: TimeMs) -> bool {
        self.imports.values().any(|job| job.expires_at <= now)
    }
}
