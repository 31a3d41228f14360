//! What is to happen to keys at a date, the earliest first. Derived from the keys: no row of its own.

use crate::ids::{TimeMs, VersionNumber};
use crate::key::Key;
use crate::lifecycle::KeyState;
use crate::names::KeyName;
use std::collections::BTreeSet;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A tick does it.
    Activation,
    /// A node makes the material and proposes it.
    Rotation,
    /// A tick does it, of the key as a whole or of one version.
    Destruction(Option<VersionNumber>),
}

/// Dates of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    activations: BTreeSet<(TimeMs, KeyName)>,
    rotations: BTreeSet<(TimeMs, KeyName)>,
    destructions: BTreeSet<(TimeMs, KeyName, Option<VersionNumber>)>,
}

/// The dates that a key has.
fn dates(key: &Key) -> impl Iterator<Item = (Due, TimeMs)> {
    let waits = key.info.state == KeyState::PreActive;
    let activation = key.info.activate_at.filter(|_| waits);
    let activation = activation.map(|at| (Due::Activation, at));
    let rotation = key.next_rotation().map(|at| (Due::Rotation, at));
    let whole = (None, key.info.state, &key.info.destruction);
    let versions = key.versions.iter();
    let versions = versions.map(|(number, it)| (Some(number), it.state, &it.destruction));
    let destructions = std::iter::once(whole).chain(versions);
    let destructions = destructions.filter_map(|(version, state, destruction)| {
        let waits = state == KeyState::DestroyScheduled;
        let destruction = destruction.as_ref().filter(|_| waits)?;
        Some((Due::Destruction(version), destruction.at))
    });
    activation.into_iter().chain(rotation).chain(destructions)
}

impl Schedule {
    /// Takes up the dates of a key.
    pub(super) fn add(&mut self, key: &Key) {
        let name = || key.info.name.clone();
        for (due, at) in dates(key) {
            match due {
                Due::Activation => self.activations.insert((at, name())),
                Due::Rotation => self.rotations.insert((at, name())),
                Due::Destruction(version) => self.destructions.insert((at, name(), version)),
            };
        }
    }

    /// Forgets the dates of a key, before it is changed.
    pub(super) fn remove(&mut self, key: &Key) {
        let name = || key.info.name.clone();
        for (due, at) in dates(key) {
            match due {
                Due::Activation => self.activations.remove(&(at, name())),
                Due::Rotation => self.rotations.remove(&(at, name())),
                Due::Destruction(version) => self.destructions.remove(&(at, name(), version)),
            };
        }
    }

    /// Keys to be activated at `now`, the earliest first.
    pub(super) fn activations(&self, now: TimeMs) -> impl Iterator<Item = &KeyName> {
        passed(&self.activations, now)
    }

    /// Keys to be rotated at `now`, the earliest first.
    pub(super) fn rotations(&self, now: TimeMs) -> impl Iterator<Item = &KeyName> {
        passed(&self.rotations, now)
    }

    /// Keys and versions to be destroyed at `now`, the earliest first.
    pub(super) fn destructions(
        &self,
        now: TimeMs,
    ) -> impl Iterator<Item = (&KeyName, Option<VersionNumber>)> {
        let due = self.destructions.iter();
        due.take_while(move |(at, ..)| *at <= now)
            .map(|(_, name, version)| (name, *version))
    }
}

fn passed(dates: &BTreeSet<(TimeMs, KeyName)>, now: TimeMs) -> impl Iterator<Item = &KeyName> {
    dates
        .iter()
        .take_while(move |(at, _)| *at <= now)
        .map(|(_, name)| name)
}
