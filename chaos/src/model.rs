//! The rules told a second time, independently of the product: keys, versions and roles as the audit log's records
//! make them, one after the other. What the product allowed or refused is held against it.
//!
//! Sources: NIST SP 800-57 part 1 section 7 for the states; docs/architecture.md for the roles.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "few calls say more than their record"
)]

mod changes;
mod kept;

use crate::evidence::Leaf;
use crate::history::{Asked, History, KeySeen, Right};
use crate::named::{keyring_of, purpose_of};
use conclave_core::{AuditRecord, KeyState, Purpose, Role};
use std::collections::{BTreeMap, BTreeSet};

/// Roles that a principal may hold, by what they allow.
const USE: &[Role] = &[Role::User];
const USE_COMPROMISED: &[Role] = &[Role::UseCompromised];
const ADMINISTER: &[Role] = &[Role::Admin];
const OPERATE: &[Role] = &[Role::Admin, Role::Operator];

/// Keys and roles at one place of the audit log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// By their names.
    pub(crate) keys: BTreeMap<String, KeySeen>,
    rights: BTreeSet<Right>,
    /// Versions that were used, with their keys.
    used: BTreeSet<(String, u32)>,
    /// When what is to be destroyed is due, by key and version; version 0: the key as a whole.
    dates: BTreeMap<(String, u32), u64>,
    /// When primary versions were made, by key.
    made: BTreeMap<String, u64>,
    /// How old they may become, by key.
    periods: BTreeMap<String, u64>,
    /// Registered data keys, by their ids.
    data_keys: BTreeMap<Vec<u8>, kept::DataKey>,
    /// Keys by their aliases.
    aliases: BTreeMap<String, String>,
}

/// Why a use or a change is not allowed, in the product's stable words.
pub(crate) type Reason = &'static str;

/// What a key must be for, for an operation.
fn purpose_for(operation: &str) -> Purpose {
    match operation {
        "GenerateMac" | "VerifyMac" => Purpose::Mac,
        "Sign" | "Verify" => Purpose::Sign,
        "DeriveSharedSecret" => Purpose::Agree,
        "Decapsulate" => Purpose::AsymmetricDecrypt,
        _ => Purpose::Encrypt,
    }
}

fn protects(state: KeyState) -> bool {
    state == KeyState::Active
}

fn processes(state: KeyState) -> bool {
    matches!(state, KeyState::Active | KeyState::Suspended)
}

impl Model {
    /// Of a cluster whose `admins` are admins of everything.
    pub(crate) fn new(admins: &[String]) -> Self {
        let right = |principal: &String| Right {
            principal: principal.clone(),
            keyring: "*".to_owned(),
            role: Role::Admin,
        };
        Self {
            keys: BTreeMap::new(),
            rights: admins.iter().map(right).collect(),
            ..Self::default()
        }
    }

    fn holds(&self, principal: &str, keyring: &str, roles: &[Role]) -> bool {
        self.rights.iter().any(|right| {
            right.principal == principal
                && (right.keyring == "*" || right.keyring == keyring)
                && roles.contains(&right.role)
        })
    }

    /// Whether a use of a key for `purpose` is allowed; if it is, of which version. `protect`: it makes new protection.
    ///
    /// # Errors
    /// The reason why it is not.
    pub(crate) fn decide(
        &self,
        principal: &str,
        key: &str,
        version: Option<u32>,
        (purpose, protect): (Purpose, bool),
    ) -> Result<u32, Reason> {
        if !self.holds(principal, keyring_of(key), USE) {
            return Err("PERMISSION_DENIED");
        }
        let found = self.keys.get(key).ok_or("KEY_NOT_FOUND")?;
        if purpose_of(key) != purpose {
            return Err("KEY_PURPOSE");
        }
        let number = version.unwrap_or(found.primary);
        let state = found.versions.get(&number).ok_or("VERSION_NOT_FOUND")?;
        for state in [found.state, *state] {
            let allowed = if protect {
                protects(state)
            } else {
                processes(state)
            };
            if allowed {
                continue;
            }
            if protect || state != KeyState::Compromised {
                return Err("KEY_STATE");
            }
            if !self.holds(principal, keyring_of(key), USE_COMPROMISED) {
                return Err("KEY_COMPROMISED");
            }
        }
        Ok(number)
    }

    /// Holds a record against the rules, and carries out what it says was done.
    ///
    /// # Errors
    /// What the record says and the rules do not.
    pub(crate) fn follow(&mut self, leaf: &Leaf, history: &History) -> Result<(), String> {
        let record = &leaf.record;
        let judged = match record.operation.as_str() {
            "GenerateDataKey" if leaf.is_allowed() && !record.data_key_id.is_empty() => {
                self.judge_registration(record)
            }
            "DecryptDataKey" if leaf.is_allowed() => self.judge_opening(record),
            "Encrypt" | "GenerateDataKey" | "GenerateDataKeyPair" | "GenerateMac" | "Sign" => {
                self.judge_choice(record, history, true)
            }
            "Decrypt" | "VerifyMac" | "Verify" | "DecryptDataKey" => self.judge_processing(record),
            "DeriveSharedSecret" | "Decapsulate" => self.judge_choice(record, history, false),
            "ReEncrypt" => self.judge_re_encryption(record),
            "GenerateRandom" => self.judge_random(record),
            operation => match self.change(operation, record, history) {
                Some(changed) => changed,
                // Custody and the cluster itself: other invariants.
                None => return Ok(()),
            },
        };
        let expected = match judged {
            Ok(()) if leaf.is_use() => self.check_alias(&record.alias, &record.key),
            judged => judged,
        };
        let said = if leaf.is_allowed() {
            Ok(())
        } else {
            Err(record.reason.as_str())
        };
        if leaf.is_use() && leaf.is_allowed() {
            self.count_use(record);
        }
        match (expected, said) {
            (Ok(()), Ok(())) => Ok(()),
            // A ciphertext, a code or a signature may be wrong where the rules allow its use.
            (
                Ok(()),
                Err(
                    "CIPHERTEXT_INVALID" | "KEY_MISMATCH" | "KEY_NOT_FOUND" | "LIMIT_REACHED"
                    | "MAC_INVALID" | "SIGNATURE_INVALID",
                ),
            ) if leaf.is_use() => Ok(()),
            (Err(expected), Err(said)) if expected == said => Ok(()),
            // Who asks once more for a data key that he registered opens it, and is refused as who opens.
            (Err("KEY_STATE"), Err("KEY_COMPROMISED"))
                if record.operation == "GenerateDataKey" && self.wraps_data_keys(&record.key) =>
            {
                Ok(())
            }
            (expected, said) => Err(format!(
                "record {} says {} of {} on {}, and the rules say {}",
                record.sequence,
                said.map_or_else(str::to_owned, |()| "allowed".to_owned()),
                record.operation,
                record.key,
                expected.map_or_else(str::to_owned, |()| "allowed".to_owned()),
            )),
        }
    }

    fn judge_processing(&self, record: &AuditRecord) -> Result<(), Reason> {
        let version = Some(record.version).filter(|number| *number != 0);
        let what = (purpose_for(&record.operation), false);
        self.decide(&record.principal, &record.key, version, what)
            .map(drop)
    }

    /// Whoever may use some keys may draw random bytes.
    fn judge_random(&self, record: &AuditRecord) -> Result<(), Reason> {
        let own = |right: &&Right| right.principal == record.principal;
        if self
            .rights
            .iter()
            .filter(own)
            .any(|right| USE.contains(&right.role))
        {
            Ok(())
        } else {
            Err("PERMISSION_DENIED")
        }
    }

    /// What does not say its version is by the primary one, unless the caller named another. `protect`: it makes new
    /// protection.
    fn judge_choice(
        &self,
        record: &AuditRecord,
        history: &History,
        protect: bool,
    ) -> Result<(), Reason> {
        let named = history
            .asked(&record.request_id)
            .and_then(|asked| match asked {
                Asked::Encrypt { version, .. }
                | Asked::Prove { version, .. }
                | Asked::Share { version, .. } => *version,
                _ => None,
            });
        let what = (purpose_for(&record.operation), protect);
        let chosen = self.decide(&record.principal, &record.key, named, what)?;
        if record.version != 0 && record.version != chosen {
            return Err("NOT_THE_PRIMARY_VERSION");
        }
        Ok(())
    }

    fn judge_re_encryption(&self, record: &AuditRecord) -> Result<(), Reason> {
        self.judge_processing(record)?;
        let what = (Purpose::Encrypt, true);
        let chosen = self.decide(&record.principal, &record.destination_key, None, what)?;
        if record.destination_version != 0 && record.destination_version != chosen {
            return Err("NOT_THE_PRIMARY_VERSION");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::changes::right_of;
    use super::*;

    #[test]
    fn rights_are_read_as_the_log_writes_them() {
        let right = right_of("user on demo for app").unwrap();
        assert_eq!(
            (right.principal.as_str(), right.keyring.as_str()),
            ("app", "demo")
        );
        assert_eq!(right_of("king on demo for app"), None);
    }

    #[test]
    fn a_suspended_key_opens_and_does_not_seal() {
        let mut model = Model::new(&["admin".to_owned()]);
        model
            .rights
            .insert(right_of("user on demo for app").unwrap());
        let key = KeySeen {
            state: KeyState::Suspended,
            primary: 1,
            versions: BTreeMap::from([(1, KeyState::Active)]),
        };
        model.keys.insert("demo/a".to_owned(), key);
        assert_eq!(
            model.decide("app", "demo/a", None, (Purpose::Encrypt, false)),
            Ok(1)
        );
        assert_eq!(
            model.decide("app", "demo/a", None, (Purpose::Encrypt, true)),
            Err("KEY_STATE")
        );
        assert_eq!(
            model.decide("admin", "demo/a", None, (Purpose::Encrypt, false)),
            Err("PERMISSION_DENIED")
        );
        assert_eq!(
            model.decide("app", "demo/b", None, (Purpose::Encrypt, true)),
            Err("KEY_NOT_FOUND")
        );
    }

    #[test]
    fn a_compromised_version_opens_for_those_who_may() {
        let mut model = Model::new(&["admin".to_owned()]);
        for right in [
            "user on demo for app",
            "user on demo for guest",
            "use-compromised on * for guest",
        ] {
            model.rights.insert(right_of(right).unwrap());
        }
        let key = KeySeen {
            state: KeyState::Active,
            primary: 2,
            versions: BTreeMap::from([(1, KeyState::Compromised), (2, KeyState::Active)]),
        };
        model.keys.insert("demo/a".to_owned(), key);
        let decide =
            |who, protect| model.decide(who, "demo/a", Some(1), (Purpose::Encrypt, protect));
        assert_eq!(decide("app", false), Err("KEY_COMPROMISED"));
        assert_eq!(decide("guest", false), Ok(1));
        assert_eq!(decide("guest", true), Err("KEY_STATE"));
        assert_eq!(
            model.decide("app", "demo/a", None, (Purpose::Encrypt, false)),
            Ok(2)
        );
    }
}
