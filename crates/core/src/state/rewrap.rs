//! Wrapping registered data keys anew: what is due, the doing, and what becomes of the versions that are left behind.

use super::journal::Note;
use super::writes::Answer;
use super::{Place, State};
use crate::data_key::{DataKey, RewrapPolicy, Rewrapped, is_bounded};
use crate::ids::{DataKeyId, KeyId, VersionNumber};
use crate::key::{Key, KeyView};
use crate::lifecycle::{KeyState, Transition};
use crate::limits::{REWRAPS_PER_COMMAND_MAX, TICK_WORK_MAX};
use crate::names::KeyName;
use crate::outcome::{Malformation, Refusal, Written};
use crate::planted::{Bug, is_planted};
use std::collections::{BTreeMap, BTreeSet};

type VersionOf = (KeyId, VersionNumber);

/// What is to be done for registered data keys. Derived: no row of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rewraps {
    /// Versions that are compromised and still wrap some.
    urgent: BTreeSet<VersionOf>,
    /// Other versions that wrap some which another one should.
    due: BTreeSet<VersionOf>,
    /// Versions that are to be deactivated, since they wrap none any more.
    idle: BTreeSet<VersionOf>,
}

/// Data keys that a node is to wrap anew, all of one version.
#[derive(Debug)]
pub struct DueRewrap<'a> {
    /// Their key.
    pub key: &'a Key,
    /// The version that wraps them.
    pub from: VersionNumber,
    /// In the order of their ids.
    pub data_keys: Vec<(DataKeyId, &'a DataKey)>,
}

/// Whether the data keys under a version are to be wrapped by the primary one.
fn is_due(key: &Key, number: VersionNumber) -> bool {
    let info = &key.info;
    let state = |number| key.versions.get(number).map(|version| version.state);
    let (Some(from), Some(to)) = (state(number), state(info.primary)) else {
        return false;
    };
    let can = number != info.primary
        && info.state == KeyState::Active
        && to == KeyState::Active
        && (from.processes() || from == KeyState::Compromised);
    let asked = !info.rewrap.by_hand || number < info.rewrap_below;
    can && (asked || from == KeyState::Compromised)
}

/// Whether a version that wraps nothing is to be deactivated.
fn is_idle(key: &Key, number: VersionNumber, state: KeyState) -> bool {
    key.info.rewrap.deactivate_old
        && number != key.info.primary
        && state.after(Transition::Deactivate).is_some()
}

fn clear(set: &mut BTreeSet<VersionOf>, key: KeyId) {
    let all = (key, VersionNumber(0))..=(key, VersionNumber(u32::MAX));
    let found: Vec<VersionOf> = set.range(all).copied().collect();
    for version in found {
        set.remove(&version);
    }
}

impl State {
    /// Finds out anew what is to be done for a key's data keys, after the key or the number of versions that wrap some has
    /// changed.
    pub(super) fn refresh_rewraps(&mut self, id: KeyId) {
        let mut rewraps = std::mem::take(&mut self.rewraps);
        for set in [&mut rewraps.urgent, &mut rewraps.due, &mut rewraps.idle] {
            clear(set, id);
        }
        if let Some(key) = self.key_by_id(id) {
            let wrapping = self.data_keys.counts_of(id).map(|(number, _)| number);
            for number in wrapping.filter(|number| is_due(key, *number)) {
                let state = key.versions.get(number).map(|version| version.state);
                let set = if state == Some(KeyState::Compromised) {
                    &mut rewraps.urgent
                } else {
                    &mut rewraps.due
                };
                set.insert((id, number));
            }
            if key.info.rewrap.deactivate_old {
                let idle = key.versions.iter().filter(|(number, version)| {
                    self.data_keys.count(id, *number) == 0 && is_idle(key, *number, version.state)
                });
                rewraps.idle.extend(idle.map(|(number, _)| (id, number)));
            }
        }
        self.rewraps = rewraps;
    }

    /// After the rows were read back.
    pub(super) fn refresh_all_rewraps(&mut self) {
        let mut keys = self.data_keys.keys();
        let deactivate = |key: &&Key| key.info.rewrap.deactivate_old;
        keys.extend(self.keys.values().filter(deactivate).map(|key| key.info.id));
        for key in keys {
            self.refresh_rewraps(key);
        }
    }

    /// Up to `max` data keys that a node is to wrap anew, those of compromised versions first; `None`: nothing is to be
    /// done.
    pub fn due_rewrap(&self, max: usize) -> Option<DueRewrap<'_>> {
        let mut all = self.rewraps.urgent.iter().chain(&self.rewraps.due);
        let (id, from) = *all.next()?;
        let key = self.key_by_id(id)?;
        let data_keys = self.data_keys.under(id, from).take(max).collect();
        Some(DueRewrap {
            key,
            from,
            data_keys,
        })
    }

    /// How many data keys of a key are to be wrapped anew.
    pub fn rewraps_left(&self, id: KeyId) -> u64 {
        let all = (id, VersionNumber(0))..=(id, VersionNumber(u32::MAX));
        let urgent = self.rewraps.urgent.range(all.clone());
        let versions = urgent.chain(self.rewraps.due.range(all));
        versions
            .map(|(id, number)| self.data_keys.count(*id, *number))
            .fold(0, u64::saturating_add)
    }

    /// How many data keys are to be wrapped anew, of all keys.
    pub fn all_rewraps_left(&self) -> u64 {
        let versions = self.rewraps.urgent.iter().chain(&self.rewraps.due);
        versions
            .map(|(id, number)| self.data_keys.count(*id, *number))
            .fold(0, u64::saturating_add)
    }

    /// A key as its users see it.
    pub fn view(&self, key: &Key) -> KeyView {
        let mut view = key.view();
        view.rewraps_left = self.rewraps_left(key.info.id);
        for version in &mut view.versions {
            version.data_keys = self.data_keys.count(key.info.id, version.number);
        }
        view
    }

    pub(super) fn set_rewrap(
        &mut self,
        place: Place,
        name: &KeyName,
        policy: RewrapPolicy,
    ) -> Answer {
        let key = self.live_key(name)?;
        key.info.rewrap = policy;
        key.info.revision = place.revision;
        let info = key.info.clone();
        self.save_key(&info);
        self.refresh_rewraps(info.id);
        self.key_answer(name)
    }

    /// Whatever the policy is, what other versions than the primary one wrap now is due.
    pub(super) fn request_rewrap(&mut self, place: Place, name: &KeyName) -> Answer {
        let key = self.live_key(name)?;
        key.info.rewrap_below = key.info.primary;
        key.info.revision = place.revision;
        let info = key.info.clone();
        self.save_key(&info);
        self.refresh_rewraps(info.id);
        self.key_answer(name)
    }

    fn live_key(&mut self, name: &KeyName) -> Result<&mut Key, Refusal> {
        let missing = || Refusal::KeyNotFound(name.clone());
        let key = self.keys.get_mut(name).ok_or_else(missing)?;
        if key.info.state == KeyState::Destroyed {
            return Err(Refusal::Destroyed(name.clone()));
        }
        Ok(key)
    }

    /// Takes what a node wrapped anew. One that is no longer under the version that it came from, or no longer there, stays
    /// as it is.
    pub(super) fn rewrap_data_keys(
        &mut self,
        name: &KeyName,
        id: KeyId,
        to: VersionNumber,
        items: &[Rewrapped],
        note: &mut Note,
    ) -> Answer {
        let bounded = |item: &Rewrapped| is_bounded(&item.wrapped);
        if items.len() > REWRAPS_PER_COMMAND_MAX || !items.iter().all(bounded) {
            return Err(Refusal::Malformed(Malformation::Wrapped));
        }
        let key = self.keys.get(name).ok_or(Refusal::Conflict)?;
        let is_primary = key.info.primary == to || is_planted(Bug::RewrapToOlderVersion);
        if key.info.id != id || !is_primary {
            return Err(Refusal::Conflict);
        }
        let mut moved: BTreeMap<VersionNumber, u64> = BTreeMap::new();
        for item in items {
            let due = self.rewraps.urgent.contains(&(id, item.from))
                || self.rewraps.due.contains(&(id, item.from));
            let found = self.data_keys.get(item.id);
            let Some(found) = found.filter(|it| due && it.key == id && it.version == item.from)
            else {
                continue;
            };
            let data_key = DataKey {
                version: to,
                wrapped: item.wrapped.clone(),
                ..found.clone()
            };
            self.put_data_key(item.id, data_key);
            let count = moved.entry(item.from).or_default();
            *count = count.saturating_add(1);
        }
        if moved.is_empty() {
            return Err(Refusal::Conflict);
        }
        let moved: Vec<String> = moved
            .iter()
            .map(|(from, count)| format!("{count} from version {from}"))
            .collect();
        let left = self.rewraps_left(id);
        note.detail = format!("{}, {left} left", moved.join(", "));
        Ok(Written::Done)
    }

    /// Deactivates versions that wrap no data key any more, where the policy says so.
    pub(super) fn deactivate_idle(&mut self, place: Place) {
        for _ in 0..TICK_WORK_MAX {
            let Some((id, number)) = self.rewraps.idle.first().copied() else {
                return;
            };
            let Some(name) = self.names.get(&id).cloned() else {
                return;
            };
            let note = self.key_note(&name, Some(number), String::new());
            let from = self
                .step(place, &name, Some(number), Transition::Deactivate, None)
                .expect("only versions that can be deactivated are idle");
            let to = Transition::Deactivate.target();
            let detail = format!("{from} -> {to}, it wraps no registered data key any more");
            let operation = Transition::Deactivate.operation();
            self.journal_node_event(place, operation, Note { detail, ..note });
        }
    }

    /// Whether a version is to be deactivated by the next tick.
    pub(super) fn has_idle_versions(&self) -> bool {
        !self.rewraps.idle.is_empty()
    }

    /// Refuses to destroy what registered data keys depend on.
    pub(super) fn check_no_data_keys(
        &self,
        name: &KeyName,
        version: Option<VersionNumber>,
    ) -> Result<(), Refusal> {
        let Some(id) = self.keys.get(name).map(|key| key.info.id) else {
            return Ok(());
        };
        let counts = self.data_keys.counts_of(id);
        let counts = counts.filter(|(number, _)| version.is_none_or(|it| it == *number));
        let count = counts.map(|(_, count)| count).fold(0, u64::saturating_add);
        if count == 0 {
            return Ok(());
        }
        Err(Refusal::DataKeysLeft {
            what: super::keys::describe(name, version),
            count,
        })
    }
}
