//! What is to happen to keys at a date, the earliest first. Derived from the keys: no row of its own.

use crate::ids::TimeMs;
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
}

/// Dates of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    activations: BTreeSet<(TimeMs, KeyName)>,
    rotations: BTreeSet<(TimeMs, KeyName)>,
}

/// The dates that a key has.
fn dates(key: &Key) -> impl Iterator<Item = (Due, TimeMs)> {
    let waits = key.info.state == KeyState::PreActive;
    let activation = key.info.activate_at.filter(|_| waits);
    let activation = activation.map(|at| (Due::Activation, at));
    let rotation = key.next_rotation().map(|at| (Due::Rotation, at));
    activation.into_iter().chain(rotation)
}

impl Schedule {
    fn of(&mut self, due: Due) -> &mut BTreeSet<(TimeMs, KeyName)> {
        match due {
            Due::Activation => &mut self.activations,
            Due::Rotation => &mut self.rotations,
        }
    }

    /// Takes up the dates of a key.
    pub(super) fn add(&mut self, key: &Key) {
        for (due, at) in dates(key) {
            self.of(due).insert((at, key.info.name.clone()));
        }
    }

    /// Forgets the dates of a key, before it is changed.
    pub(super) fn remove(&mut self, key: &Key) {
        for (due, at) in dates(key) {
            self.of(due).remove(&(at, key.info.name.clone()));
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
}

fn passed(dates: &BTreeSet<(TimeMs, KeyName)>, now: TimeMs) -> impl Iterator<Item = &KeyName> {
    dates
        .iter()
        .take_while(move |(at, _)| *at <= now)
        .map(|(_, name)| name)
}
