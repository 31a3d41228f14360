//! What clients ask for of registered data keys, aliases and proofs.

use super::kinds::Kind;
use super::workload::Worker;
use crate::history::{Asked, Call, DataKeyPlace, History};
use crate::named::{keyring_of, purpose_of};
use conclave_core::Purpose;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

/// Aliases of a keyring, by these names.
const ALIASES: [&str; 2] = ["alias-a", "alias-b"];

/// Calls among which one looks for some that are under way.
const RECENT: usize = 60;

/// Calls for which data keys are wrapped anew, about, after a rotation.
const AFTERMATH: u32 = 12;

impl Worker {
    /// What somebody does because of what others have under way: by chance alone they would hardly ever meet. A data key is
    /// opened while it is deleted, an alias used while it is moved, and a key rotated while its data keys are wrapped anew.
    pub(super) fn pursuit(&mut self) -> Option<Kind> {
        let (deletes, moves) = self.shared.recorder.look(|history| {
            let any = |is: fn(&Call) -> bool| open_calls(history).any(is);
            let deletes = any(|it| matches!(it.asked, Asked::DeleteDataKey(_)));
            let moves = any(|it| matches!(it.asked, Asked::SetAlias { moves: true, .. }));
            (deletes, moves)
        });
        let rotates = self.shared.recorder.look(rewrapped).is_some();
        if deletes && self.rng.random_ratio(1, 3) {
            Some(Kind::OpenDataKey)
        } else if moves && self.rng.random_ratio(1, 3) {
            Some(Kind::EncryptByAlias)
        } else if rotates && self.rng.random_ratio(1, AFTERMATH + 4) {
            Some(Kind::Rotate)
        } else {
            None
        }
    }

    /// A key, and that of which data keys are wrapped anew before others.
    pub(super) fn key_to_rotate(&mut self) -> Option<String> {
        let again = self.shared.recorder.look(rewrapped);
        if again.is_some() {
            return again;
        }
        if self.rng.random_ratio(1, 2) {
            let place = self.data_key()?;
            return self
                .shared
                .recorder
                .look(|it| it.data_keys.get(place.0).map(|it| it.key.clone()));
        }
        self.known_key()
    }

    /// Mostly what is recent, and often what somebody else has under way, so that they meet.
    pub(super) fn data_key(&mut self) -> Option<DataKeyPlace> {
        let busy = self.shared.recorder.look(under_way);
        if busy.is_some() && self.rng.random_ratio(1, 2) {
            return busy;
        }
        let count = self.shared.recorder.look(|history| history.data_keys.len());
        if count == 0 {
            return None;
        }
        let back = if self.rng.random_ratio(2, 3) {
            self.rng.random_range(0..count.min(20))
        } else {
            self.rng.random_range(0..count)
        };
        Some(DataKeyPlace(count - 1 - back))
    }

    /// An alias, which leads to a key of the same keyring that encrypts: a new one, or one that is there.
    pub(super) fn set_alias(&mut self) -> Option<Asked> {
        let key = self.key_for(Purpose::Encrypt)?;
        if purpose_of(&key) != Purpose::Encrypt {
            return None;
        }
        let alias = self.alias_in(keyring_of(&key));
        let is_there = self.shared.recorder.look(|it| was_set(it, &alias));
        let moves = is_there != self.rng.random_ratio(1, 8);
        Some(Asked::SetAlias { alias, key, moves })
    }

    /// The name of an alias that there may be.
    pub(super) fn alias(&mut self) -> Option<String> {
        let find = |history: &History| open_calls(history).find_map(set_alias);
        let busy = self.shared.recorder.look(find);
        if busy.is_some() && self.rng.random_ratio(1, 2) {
            return busy;
        }
        let key = self.key_for(Purpose::Encrypt)?;
        Some(self.alias_in(keyring_of(&key)))
    }

    fn alias_in(&mut self, keyring: &str) -> String {
        let last = ALIASES.choose(&mut self.rng).copied().unwrap_or_default();
        format!("{keyring}/{last}")
    }

    /// Some record that there must be.
    pub(super) fn record(&mut self) -> Option<Asked> {
        let known = self.shared.recorder.look(History::records_known);
        let sequence = self.rng.random_range(0..known.checked_add(1)?);
        (sequence < known).then_some(Asked::ProveRecord { sequence })
    }
}

/// Recent calls that are not answered yet, the newest first.
fn open_calls(history: &History) -> impl Iterator<Item = &Call> {
    let recent = history.calls.iter().rev().take(RECENT);
    recent.filter(|call| call.ended.is_none())
}

/// A key with registered data keys that somebody rotated just now.
fn rewrapped(history: &History) -> Option<String> {
    let recent = history.calls.iter().rev().zip(0..AFTERMATH);
    let mut rotated = recent.filter_map(|(call, _)| {
        let Asked::RotateKey { key } = &call.asked else {
            return None;
        };
        Some(key)
    });
    rotated
        .find(|key| history.data_keys.iter().any(|it| it.key == **key))
        .cloned()
}

fn set_alias(call: &Call) -> Option<String> {
    let Asked::SetAlias { alias, .. } = &call.asked else {
        return None;
    };
    Some(alias.clone())
}

/// The registered data key of a call that is not answered yet.
fn under_way(history: &History) -> Option<DataKeyPlace> {
    open_calls(history).find_map(|call| {
        let (Asked::OpenDataKey(place) | Asked::DeleteDataKey(place)) = &call.asked else {
            return None;
        };
        Some(*place)
    })
}

/// Whether somebody was told that the alias is there, and nobody that it is gone since.
fn was_set(history: &History, alias: &str) -> bool {
    let concerns = |call: &&Call| {
        let (Asked::SetAlias { alias: its, .. } | Asked::DeleteAlias { alias: its }) = &call.asked
        else {
            return false;
        };
        its == alias && call.acknowledged().is_some()
    };
    let last = history.calls.iter().rev().find(concerns);
    last.is_some_and(|call| matches!(call.asked, Asked::SetAlias { .. }))
}
