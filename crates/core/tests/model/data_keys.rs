//! Registered data keys, by the rules.

use crate::reference::{Model, ModelKey};
use conclave_core::limits::{DATA_KEY_WRAPPED_BYTES_MAX, REWRAPS_PER_COMMAND_MAX};
use conclave_core::{
    DataKeyId, DataKeyUse, KeyName, KeyState, Revision, Rewrapped, State, UseRecord, VersionNumber,
};

/// A registered data key.
#[derive(Clone, Debug)]
pub(crate) struct ModelDataKey {
    /// Of its key.
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) revision: u64,
    pub(crate) wrapped: Vec<u8>,
}

fn state_of(key: &ModelKey, number: u32) -> KeyState {
    key.versions[number as usize - 1].state
}

impl ModelKey {
    fn primary(&self) -> u32 {
        u32::try_from(self.versions.len()).expect("few versions")
    }

    /// Whether what this version wraps is to be wrapped by the primary one.
    fn is_due(&self, number: u32) -> bool {
        let compromised = state_of(self, number) == KeyState::Compromised;
        let readable = matches!(
            state_of(self, number),
            KeyState::Active | KeyState::Suspended | KeyState::Compromised
        );
        self.state == KeyState::Active
            && state_of(self, self.primary()) == KeyState::Active
            && number != self.primary()
            && readable
            && (compromised || !self.by_hand || number < self.rewrap_below)
    }
}

impl Model {
    pub(crate) fn data_keys_under(&self, name: &str, version: Option<u32>) -> usize {
        let all = self.data_keys.values().filter(|it| it.name == name);
        all.filter(|it| version.is_none_or(|number| it.version == number))
            .count()
    }

    pub(crate) fn is_data_key_current(&self, record: &UseRecord) -> bool {
        match record.data_key.as_deref() {
            None => true,
            Some(DataKeyUse::Register(new)) => {
                record.refusal.is_some() || !self.data_keys.contains_key(&new.id.0)
            }
            Some(DataKeyUse::Of { id, revision }) => {
                let found = self.data_keys.get(&id.0);
                let version = record.key.as_ref().and_then(|key| key.version);
                let moved = |version: VersionNumber| {
                    record.refusal.is_some() && found.is_some_and(|it| it.version != version.0)
                };
                found.map_or(0, |it| it.revision) == revision.0 && !version.is_some_and(moved)
            }
        }
    }

    pub(crate) fn register(&mut self, index: u64, record: &UseRecord) {
        let (Some(DataKeyUse::Register(new)), Some(key)) =
            (record.data_key.as_deref(), &record.key)
        else {
            return;
        };
        let data_key = ModelDataKey {
            name: key.name.to_string(),
            version: key.version.expect("an allowed use has one").0,
            revision: index,
            wrapped: new.wrapped.to_vec(),
        };
        self.data_keys.insert(new.id.0, data_key);
    }

    pub(crate) fn rewrap(
        &mut self,
        name: &KeyName,
        id: [u8; 16],
        to: VersionNumber,
        items: &[Rewrapped],
    ) -> Result<String, &'static str> {
        let large =
            |it: &Rewrapped| it.wrapped.is_empty() || it.wrapped.len() > DATA_KEY_WRAPPED_BYTES_MAX;
        if items.len() > REWRAPS_PER_COMMAND_MAX || items.iter().any(large) {
            return Err("MALFORMED");
        }
        let key = self.keys.get(name.as_str()).ok_or("CONFLICT")?;
        if key.id != id || key.primary() != to.0 {
            return Err("CONFLICT");
        }
        let mut moved = 0;
        for item in items {
            let Some(found) = self.data_keys.get_mut(&item.id.0) else {
                continue;
            };
            if found.name == name.as_str()
                && found.version == item.from.0
                && key.is_due(item.from.0)
            {
                found.version = to.0;
                found.wrapped = item.wrapped.to_vec();
                moved += 1;
            }
        }
        if moved == 0 {
            return Err("CONFLICT");
        }
        Ok("done".to_owned())
    }

    /// Versions that are left behind and wrap nothing.
    pub(crate) fn deactivate_idle(&mut self, index: u64) {
        for (name, key) in &mut self.keys {
            let last = key.versions.len() - 1;
            for (n, version) in key.versions.iter_mut().enumerate().take(last) {
                let number = u32::try_from(n + 1).expect("few versions");
                let wraps = self
                    .data_keys
                    .values()
                    .any(|it| it.name == *name && it.version == number);
                let ends = matches!(version.state, KeyState::Active | KeyState::Suspended);
                if key.deactivate_old && ends && !wraps {
                    version.state = KeyState::Deactivated;
                    key.revision = index;
                    self.audit += 1;
                }
            }
        }
    }

    pub(crate) fn check_data_keys(&self, state: &State) {
        let mut due = 0;
        let mut urgent = false;
        for (name, key) in &self.keys {
            let name_of = KeyName::new(name).expect("a good name");
            let found = state.key(&name_of).expect("the model has it");
            let id = found.info.id;
            let view = state.view(found);
            let mut left = 0;
            for version in &view.versions {
                let count = self.data_keys_under(name, Some(version.number.0));
                assert_eq!(version.data_keys, count as u64);
                assert_eq!(state.data_key_count(id, version.number), count as u64);
                if count > 0 && key.is_due(version.number.0) {
                    left += count as u64;
                    urgent |= version.state == KeyState::Compromised;
                }
            }
            assert_eq!(view.rewraps_left, left);
            due += left;
            let ids = self.data_keys.iter().filter(|(_, it)| it.name == *name);
            let ids: Vec<_> = ids.map(|(id, _)| DataKeyId(*id)).collect();
            let listed = |after| state.data_keys_of(id, after).map(|(id, _)| id);
            assert!(listed(None).eq(ids.iter().copied()));
            if let Some((first, rest)) = ids.split_first() {
                assert!(listed(Some(*first)).eq(rest.iter().copied()));
            }
        }
        assert_eq!(state.all_rewraps_left(), due);
        for (id, expected) in &self.data_keys {
            let found = state.data_key(DataKeyId(*id)).expect("the model has it");
            assert_eq!(found.version.0, expected.version);
            assert_eq!(found.revision, Revision(expected.revision));
            assert_eq!(*found.wrapped, *expected.wrapped);
        }
        self.check_due(state, due, urgent);
    }

    fn check_due(&self, state: &State, due: u64, urgent: bool) {
        assert!(state.due_rewrap(0).is_none_or(|it| it.data_keys.is_empty()));
        let Some(first) = state.due_rewrap(usize::MAX) else {
            assert_eq!(due, 0);
            return;
        };
        let name = first.key.info.name.as_str();
        let key = &self.keys[name];
        assert!(key.is_due(first.from.0));
        assert_eq!(state_of(key, first.from.0) == KeyState::Compromised, urgent);
        let count = self.data_keys_under(name, Some(first.from.0));
        assert_eq!(first.data_keys.len(), count);
        assert!(count > 0);
    }
}
