//! Registered data keys and aliases.

use super::{ADMINISTER, Model, Reason};
use crate::named::keyring_of;
use conclave_core::{AuditRecord, KeyState, Purpose};

/// A registered data key.
#[derive(Clone, Debug)]
pub(super) struct DataKey {
    pub(super) key: String,
    pub(super) is_deleted: bool,
}

impl Model {
    /// The key that a record is about is the one to which the alias leads by which it was asked for.
    pub(super) fn check_alias(&self, alias: &str, key: &str) -> Result<(), Reason> {
        if alias.is_empty() || self.aliases.get(alias).is_some_and(|it| it == key) {
            Ok(())
        } else {
            Err("THE_ALIAS_LEADS_ELSEWHERE")
        }
    }

    pub(super) fn set_alias(&mut self, record: &AuditRecord, moves: bool) -> Result<(), Reason> {
        let alias = record.alias.as_str();
        if !self.holds(&record.principal, keyring_of(alias), ADMINISTER) {
            return Err("PERMISSION_DENIED");
        }
        let key = self.keys.get(&record.key).ok_or("KEY_NOT_FOUND")?;
        match (moves, self.aliases.contains_key(alias)) {
            (false, true) => return Err("ALIAS_EXISTS"),
            (true, false) => return Err("ALIAS_NOT_FOUND"),
            (false, false) | (true, true) => {}
        }
        if key.state == KeyState::Destroyed {
            return Err("KEY_STATE");
        }
        self.aliases.insert(alias.to_owned(), record.key.clone());
        Ok(())
    }

    pub(super) fn delete_alias(&mut self, record: &AuditRecord) -> Result<(), Reason> {
        let alias = record.alias.as_str();
        if !self.holds(&record.principal, keyring_of(alias), ADMINISTER) {
            return Err("PERMISSION_DENIED");
        }
        self.aliases
            .remove(alias)
            .map(drop)
            .ok_or("ALIAS_NOT_FOUND")
    }

    /// A data key is registered once; who asks once more under the same request id opens it.
    pub(super) fn judge_registration(&mut self, record: &AuditRecord) -> Result<(), Reason> {
        if let Some(it) = self.data_keys.get(&record.data_key_id) {
            return if it.key == record.key {
                self.judge_processing(record)
            } else {
                Err("REGISTERED_UNDER_ANOTHER_KEY")
            };
        }
        let what = (Purpose::Encrypt, true);
        let chosen = self.decide(&record.principal, &record.key, None, what)?;
        if record.version != chosen {
            return Err("NOT_THE_PRIMARY_VERSION");
        }
        let data_key = DataKey {
            key: record.key.clone(),
            is_deleted: false,
        };
        self.data_keys.insert(record.data_key_id.clone(), data_key);
        Ok(())
    }

    pub(super) fn judge_opening(&self, record: &AuditRecord) -> Result<(), Reason> {
        let found = self.data_keys.get(&record.data_key_id);
        match found {
            Some(it) if !it.is_deleted && it.key == record.key => self.judge_processing(record),
            _ => Err("DATA_KEY_NOT_FOUND"),
        }
    }

    pub(super) fn delete_data_key(&mut self, record: &AuditRecord) -> Result<(), Reason> {
        let found = self.data_keys.get_mut(&record.data_key_id);
        let found = found.filter(|it| !it.is_deleted);
        // Of one that is not there nobody knows the keyring.
        let keyring = found.as_ref().map(|it| keyring_of(&it.key).to_owned());
        if !self.holds(&record.principal, &keyring.unwrap_or_default(), ADMINISTER) {
            return Err("PERMISSION_DENIED");
        }
        let found = self.data_keys.get_mut(&record.data_key_id);
        let found = found.filter(|it| !it.is_deleted);
        found.ok_or("DATA_KEY_NOT_FOUND")?.is_deleted = true;
        Ok(())
    }

    /// Data keys go to the primary version of a key that is in service, and nobody moves them by hand.
    pub(super) fn judge_rewrap(&self, record: &AuditRecord) -> Result<(), Reason> {
        if record.authentication != "node" {
            return Err("PERMISSION_DENIED");
        }
        let key = self.keys.get(&record.key).ok_or("KEY_NOT_FOUND")?;
        let to = key.versions.get(&record.version);
        if record.version != key.primary {
            Err("NOT_THE_PRIMARY_VERSION")
        } else if key.state != KeyState::Active || to != Some(&KeyState::Active) {
            Err("KEY_STATE")
        } else {
            Ok(())
        }
    }

    /// Whether a key wraps some that are not deleted.
    pub(super) fn wraps_data_keys(&self, key: &str) -> bool {
        let mut all = self.data_keys.values();
        all.any(|it| it.key == key && !it.is_deleted)
    }
}
