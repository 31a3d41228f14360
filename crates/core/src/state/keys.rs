//! Changes of keys.

use super::writes::{Answer, limit};
use super::{Place, State};
use crate::command::KeySpec;
use crate::destruction::Destruction;
use crate::ids::{KeyId, SetId, VersionNumber};
use crate::key::{Key, KeyInfo, KeyVersion, Material, Protection, Usage, Versions};
use crate::lifecycle::{KeyState, Transition};
use crate::limits::{KEYS_MAX, VERSIONS_MAX};
use crate::names::KeyName;
use crate::outcome::{LimitedThing, Malformation, Refusal, Written};
use crate::period::RotationPeriod;

impl State {
    pub(super) fn key_answer(&self, name: &KeyName) -> Answer {
        let key = self
            .keys
            .get(name)
            .ok_or_else(|| Refusal::KeyNotFound(name.clone()))?;
        Ok(Written::Key(Box::new(self.view(key))))
    }

    pub(super) fn create_key(
        &mut self,
        place: Place,
        spec: &KeySpec,
        (id, set): (KeyId, SetId),
        material: &Material,
    ) -> Answer {
        if !material.fits(spec.algorithm.purpose()) {
            return Err(Refusal::Malformed(Malformation::Wrapped));
        }
        if spec.activate_at.is_some() && !spec.pre_active {
            return Err(Refusal::Malformed(Malformation::ActivationDate));
        }
        if !spec.algorithm.is_offered(spec.protection) {
            return Err(Refusal::Malformed(Malformation::AlgorithmProtection));
        }
        if spec.exportable && spec.protection == Protection::Hsm {
            return Err(Refusal::Malformed(Malformation::Exportable));
        }
        if self.keys.contains_key(&spec.name) {
            return Err(Refusal::KeyExists(spec.name.clone()));
        }
        self.check_no_alias(&spec.name)?;
        // The ceremony may have been held again since the material was wrapped, and what the earlier
        // root key wraps could never be unwrapped.
        let custody = self.custody.as_ref().ok_or(Refusal::NoCustody)?;
        if custody.set != set || self.names.contains_key(&id) {
            return Err(Refusal::Conflict);
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(limit(LimitedThing::Keys, KEYS_MAX));
        }
        let info = KeyInfo {
            id,
            name: spec.name.clone(),
            algorithm: spec.algorithm,
            protection: spec.protection,
            state: if spec.pre_active {
                KeyState::PreActive
            } else {
                KeyState::Active
            },
            primary: VersionNumber(1),
            labels: spec.labels.clone(),
            created_at: place.time,
            activate_at: spec.activate_at,
            rotate_every: spec.rotate_every,
            exportable: spec.exportable,
            rewrap: spec.rewrap,
            rewrap_below: VersionNumber(0),
            destruction: None,
            revision: place.revision,
        };
        let version = new_version(place, material);
        self.save_key(&info);
        self.save_version(id, VersionNumber(1), &version);
        let mut versions = Versions::default();
        versions.insert(VersionNumber(1), version);
        let key = Key { info, versions };
        self.schedule.add(&key);
        self.names.insert(id, spec.name.clone());
        self.keys.insert(spec.name.clone(), key);
        self.key_answer(&spec.name)
    }

    pub(super) fn rotate_key(
        &mut self,
        place: Place,
        name: &KeyName,
        id: KeyId,
        number: VersionNumber,
        material: &Material,
    ) -> Answer {
        let key = self
            .keys
            .get_mut(name)
            .ok_or_else(|| Refusal::KeyNotFound(name.clone()))?;
        if key.info.state != KeyState::Active {
            let state = key.info.state;
            return Err(Refusal::NotRotatable {
                name: name.clone(),
                state,
            });
        }
        if key.info.id != id || key.next_version() != number {
            return Err(Refusal::Conflict);
        }
        if !material.fits(key.info.algorithm.purpose()) {
            return Err(Refusal::Malformed(Malformation::Wrapped));
        }
        if number.0 > VERSIONS_MAX {
            let max = u64::from(VERSIONS_MAX);
            return Err(Refusal::LimitReached {
                what: LimitedThing::Versions,
                max,
            });
        }
        let version = new_version(place, material);
        self.schedule.remove(key);
        key.versions.insert(number, version.clone());
        key.info.primary = number;
        key.info.revision = place.revision;
        self.schedule.add(key);
        let info = key.info.clone();
        self.save_key(&info);
        self.save_version(id, number, &version);
        self.refresh_rewraps(id);
        self.key_answer(name)
    }

    /// Takes note that a version that was just made came from outside.
    pub(super) fn mark_imported(&mut self, name: &KeyName, number: VersionNumber) {
        let Some(key) = self.keys.get_mut(name) else {
            return;
        };
        let id = key.info.id;
        let Some(version) = key.versions.get_mut(number) else {
            return;
        };
        version.imported = true;
        let version = version.clone();
        self.save_version(id, number, &version);
    }

    /// Moves a key as a whole, or one version of it, whose destruction becomes `destruction`; answers where it came from.
    pub(super) fn step(
        &mut self,
        place: Place,
        name: &KeyName,
        version: Option<VersionNumber>,
        transition: Transition,
        destruction: Option<Box<Destruction>>,
    ) -> Result<KeyState, Refusal> {
        let key = self
            .keys
            .get_mut(name)
            .ok_or_else(|| Refusal::KeyNotFound(name.clone()))?;
        let from = state_of(key, version)?;
        let to = from.after(transition).ok_or_else(|| Refusal::WrongState {
            what: describe(name, version),
            from,
            transition,
        })?;
        self.schedule.remove(key);
        key.info.revision = place.revision;
        let versions = &mut key.versions;
        let one = version.and_then(|number| Some((number, versions.get_mut(number)?)));
        let mut changed = None;
        if let Some((number, version)) = one {
            version.state = to;
            version.destruction = destruction;
            if to == KeyState::Destroyed {
                version.wrapped = None;
            }
            changed = Some((number, version.clone()));
        } else {
            key.info.state = to;
            key.info.activate_at = None;
            key.info.destruction = destruction;
        }
        self.schedule.add(key);
        let info = key.info.clone();
        self.save_key(&info);
        if let Some((number, version)) = changed {
            self.save_version(info.id, number, &version);
        }
        self.refresh_rewraps(info.id);
        Ok(from)
    }

    /// Gives a key another rotation period, or none. A period that has passed already is due at once.
    pub(super) fn set_rotation(
        &mut self,
        place: Place,
        name: &KeyName,
        every: Option<RotationPeriod>,
    ) -> Answer {
        let key = self
            .keys
            .get_mut(name)
            .ok_or_else(|| Refusal::KeyNotFound(name.clone()))?;
        if key.info.state == KeyState::Destroyed {
            return Err(Refusal::NotRotatable {
                name: name.clone(),
                state: KeyState::Destroyed,
            });
        }
        self.schedule.remove(key);
        key.info.rotate_every = every;
        key.info.revision = place.revision;
        self.schedule.add(key);
        let info = key.info.clone();
        self.save_key(&info);
        self.key_answer(name)
    }
}

/// The state of a key as a whole, or of one version of it.
pub(super) fn state_of(key: &Key, version: Option<VersionNumber>) -> Result<KeyState, Refusal> {
    let Some(number) = version else {
        return Ok(key.info.state);
    };
    let found = key.versions.get(number);
    let missing = || Refusal::VersionNotFound {
        name: key.info.name.clone(),
        version: number,
    };
    found.map(|version| version.state).ok_or_else(missing)
}

/// The key, or a version of it, in the words of a refusal.
pub(super) fn describe(name: &KeyName, version: Option<VersionNumber>) -> String {
    match version {
        None => format!("key {name}"),
        Some(number) => format!("version {number} of key {name}"),
    }
}

fn new_version(place: Place, material: &Material) -> KeyVersion {
    KeyVersion {
        state: KeyState::Active,
        created_at: place.time,
        wrapped: Some(material.wrapped.clone()),
        public: material.public.clone(),
        destruction: None,
        imported: false,
        usage: Usage::default(),
    }
}
