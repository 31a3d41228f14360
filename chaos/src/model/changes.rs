//! Changes of keys and roles.

use super::{ADMINISTER, Model, OPERATE, Reason};
use crate::history::{Asked, History, KeySeen, Right};
use crate::named::keyring_of;
use conclave_core::{AuditRecord, KeyState, Role, Transition};
use std::collections::BTreeMap;

/// A destruction of these runs waits so long, in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// Where a transition leads from `state`, if it does.
fn after(state: KeyState, transition: Transition) -> Option<KeyState> {
    match (transition, state) {
        (Transition::Activate, KeyState::PreActive) | (Transition::Resume, KeyState::Suspended) => {
            Some(KeyState::Active)
        }
        (Transition::Suspend, KeyState::Active) => Some(KeyState::Suspended),
        (Transition::Deactivate, KeyState::Active | KeyState::Suspended) => {
            Some(KeyState::Deactivated)
        }
        (Transition::MarkCompromised, KeyState::Active | KeyState::Suspended) => {
            Some(KeyState::Compromised)
        }
        (
            Transition::ScheduleDestruction,
            KeyState::PreActive | KeyState::Deactivated | KeyState::Compromised,
        ) => Some(KeyState::DestroyScheduled),
        (Transition::CancelDestruction, KeyState::DestroyScheduled) => Some(KeyState::Deactivated),
        (Transition::Destroy, KeyState::DestroyScheduled) => Some(KeyState::Destroyed),
        _ => None,
    }
}

fn transition_of(operation: &str) -> Option<Transition> {
    Some(match operation {
        "ActivateKey" => Transition::Activate,
        "SuspendKey" => Transition::Suspend,
        "ResumeKey" => Transition::Resume,
        "DeactivateKey" => Transition::Deactivate,
        "MarkKeyCompromised" => Transition::MarkCompromised,
        "CancelKeyDestruction" => Transition::CancelDestruction,
        _ => return None,
    })
}

/// Reads `user on demo for app`.
pub(super) fn right_of(detail: &str) -> Option<Right> {
    let (role, rest) = detail.split_once(" on ")?;
    let (keyring, principal) = rest.split_once(" for ")?;
    let role = match role {
        "admin" => Role::Admin,
        "operator" => Role::Operator,
        "user" => Role::User,
        "use-compromised" => Role::UseCompromised,
        _ => return None,
    };
    Some(Right {
        principal: principal.to_owned(),
        keyring: keyring.to_owned(),
        role,
    })
}

impl Model {
    /// Carries out a change as the rules have it; `None` if it is not of keys or roles.
    pub(super) fn change(
        &mut self,
        operation: &str,
        record: &AuditRecord,
        history: &History,
    ) -> Option<Result<(), Reason>> {
        let own = record.authentication == "node";
        let may = |model: &Self, roles| {
            own || model.holds(&record.principal, keyring_of(&record.key), roles)
        };
        if let Some(transition) = transition_of(operation) {
            if !may(self, OPERATE) {
                return Some(Err("PERMISSION_DENIED"));
            }
            return Some(self.transition(&record.key, record.version, transition));
        }
        Some(match operation {
            "CreateKey" | "ScheduleKeyDestruction" if !may(self, ADMINISTER) => {
                Err("PERMISSION_DENIED")
            }
            "CreateKey" => self.create(record, history),
            "RotateKey" | "SetKeyRotation" if !may(self, OPERATE) => Err("PERMISSION_DENIED"),
            "RotateKey" if own && !self.is_due(record) => Err("NOT_ITS_DATE"),
            "RotateKey" => self.rotate(record),
            "SetKeyRotation" => self.set_rotation(record, history),
            "ScheduleKeyDestruction" => self.schedule_destruction(record, history),
            // A date does it, and nobody by hand.
            "DestroyKey" if !own => Err("PERMISSION_DENIED"),
            "DestroyKey" => self.destroy(record),
            "DeleteDataKey" => self.delete_data_key(record),
            "RewrapDataKeys" => self.judge_rewrap(record),
            "CreateAlias" | "UpdateAlias" => self.set_alias(record, operation == "UpdateAlias"),
            "DeleteAlias" => self.delete_alias(record),
            "Grant" | "Revoke" => self.change_right(record, operation == "Grant"),
            _ => return None,
        })
    }

    fn create(&mut self, record: &AuditRecord, history: &History) -> Result<(), Reason> {
        if self.keys.contains_key(&record.key) {
            return Err("KEY_EXISTS");
        }
        let later = matches!(
            history.asked(&record.request_id),
            Some(Asked::CreateKey { later: true, .. } | Asked::CreateDatedKey { .. })
        );
        let key = KeySeen {
            state: if later {
                KeyState::PreActive
            } else {
                KeyState::Active
            },
            primary: 1,
            versions: BTreeMap::from([(1, KeyState::Active)]),
        };
        self.keys.insert(record.key.clone(), key);
        self.made.insert(record.key.clone(), record.time_ms);
        Ok(())
    }

    fn rotate(&mut self, record: &AuditRecord) -> Result<(), Reason> {
        let key = self.keys.get_mut(&record.key).ok_or("KEY_NOT_FOUND")?;
        if key.state != KeyState::Active {
            return Err("KEY_STATE");
        }
        let last = key.versions.keys().next_back().copied().unwrap_or(0);
        if record.version != last + 1 {
            return Err("VERSION_NUMBER_OUT_OF_TURN");
        }
        key.versions.insert(record.version, KeyState::Active);
        key.primary = record.version;
        self.made.insert(record.key.clone(), record.time_ms);
        Ok(())
    }

    /// Whether the primary version of a key is as old as it may become: then the cluster makes the next one.
    fn is_due(&self, record: &AuditRecord) -> bool {
        let (made, period) = (self.made.get(&record.key), self.periods.get(&record.key));
        let due = made.zip(period).map(|(made, period)| made + period);
        due.is_some_and(|due| due <= record.time_ms)
    }

    fn set_rotation(&mut self, record: &AuditRecord, history: &History) -> Result<(), Reason> {
        let key = self.keys.get(&record.key).ok_or("KEY_NOT_FOUND")?;
        if key.state == KeyState::Destroyed {
            return Err("KEY_STATE");
        }
        match history.asked(&record.request_id) {
            Some(Asked::SetRotation {
                every_ms: Some(every_ms),
                ..
            }) => self.periods.insert(record.key.clone(), *every_ms),
            _ => self.periods.remove(&record.key),
        };
        Ok(())
    }

    fn transition(
        &mut self,
        key: &str,
        version: u32,
        transition: Transition,
    ) -> Result<(), Reason> {
        let key = self.keys.get_mut(key).ok_or("KEY_NOT_FOUND")?;
        let state = if version == 0 {
            &mut key.state
        } else {
            key.versions.get_mut(&version).ok_or("VERSION_NOT_FOUND")?
        };
        *state = after(*state, transition).ok_or("KEY_STATE")?;
        Ok(())
    }

    pub(super) fn count_use(&mut self, record: &AuditRecord) {
        self.used.insert((record.key.clone(), record.version));
        if !record.destination_key.is_empty() {
            let to = (record.destination_key.clone(), record.destination_version);
            self.used.insert(to);
        }
    }

    fn was_used(&self, key: &str, version: u32) -> bool {
        let concerned =
            |(name, number): &&(String, u32)| name == key && (version == 0 || *number == version);
        self.used.iter().any(|it| concerned(&it))
    }

    /// Runs are much shorter than the time for which a key must not have been used.
    fn schedule_destruction(
        &mut self,
        record: &AuditRecord,
        history: &History,
    ) -> Result<(), Reason> {
        let forced = matches!(
            history.asked(&record.request_id),
            Some(Asked::Destroy { force: true, .. })
        );
        let before = self.keys.get(&record.key).cloned();
        self.transition(&record.key, record.version, Transition::ScheduleDestruction)?;
        if !forced && self.was_used(&record.key, record.version) {
            self.keys
                .extend(before.map(|key| (record.key.clone(), key)));
            return Err("KEY_IN_USE");
        }
        // Which version wraps which of them is in no record.
        if !forced && record.reason == "DATA_KEYS_LEFT" && self.wraps_data_keys(&record.key) {
            self.keys
                .extend(before.map(|key| (record.key.clone(), key)));
            return Err("DATA_KEYS_LEFT");
        }
        let place = (record.key.clone(), record.version);
        self.dates.insert(place, record.time_ms + DAY_MS);
        Ok(())
    }

    fn destroy(&mut self, record: &AuditRecord) -> Result<(), Reason> {
        let date = self.dates.get(&(record.key.clone(), record.version));
        if date.is_none_or(|date| record.time_ms < *date) {
            return Err("NOT_ITS_DATE");
        }
        self.transition(&record.key, record.version, Transition::Destroy)?;
        if record.version == 0 {
            let key = self.keys.get_mut(&record.key).ok_or("KEY_NOT_FOUND")?;
            key.versions
                .values_mut()
                .for_each(|it| *it = KeyState::Destroyed);
        }
        Ok(())
    }

    fn change_right(&mut self, record: &AuditRecord, gives: bool) -> Result<(), Reason> {
        let right = right_of(&record.detail).ok_or("UNREADABLE")?;
        if !self.holds(&record.principal, &right.keyring, ADMINISTER) {
            return Err("PERMISSION_DENIED");
        }
        if gives {
            self.rights.insert(right);
            return Ok(());
        }
        let is_admin = |it: &&Right| it.keyring == "*" && it.role == Role::Admin;
        if is_admin(&&right) && self.rights.iter().filter(is_admin).all(|it| *it == right) {
            return Err("LAST_ADMIN");
        }
        self.rights.remove(&right);
        Ok(())
    }
}
