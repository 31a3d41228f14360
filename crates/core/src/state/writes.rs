//! Writes: who may, whether it can be done, and the doing.

use super::custody::describe_event;
use super::journal::Note;
use super::labels::describe_labels;
use super::requests::{Remembered, is_old};
use super::{Place, State};
use crate::access::{Grant, Scope};
use crate::audit::AuditOutcome;
use crate::command::{Actor, Change, ImportTarget, Write};
use crate::custody::CustodyEvent;
use crate::ids::{DataKeyId, Revision, VersionNumber};
use crate::key::Key;
use crate::lifecycle::Transition;
use crate::limits::{GRANTS_MAX, TEXT_BYTES_MAX};
use crate::names::KeyName;
use crate::outcome::{ActionName, LimitedThing, Malformation, Refusal, Written};
use crate::period::WaitingPeriod;

pub(super) type Answer = Result<Written, Refusal>;

impl State {
    pub(super) fn write(&mut self, place: Place, write: &Write) -> Answer {
        let bounded = match &write.change {
            Change::Custody(event) => event.is_bounded(),
            Change::CreateKey { .. }
            | Change::RotateKey { .. }
            | Change::Transition { .. }
            | Change::SetRotation { .. }
            | Change::ScheduleDestruction { .. }
            | Change::Erased { .. }
            | Change::SetRewrap { .. }
            | Change::RequestRewrap { .. }
            | Change::RewrapDataKeys { .. }
            | Change::DeleteDataKey { .. }
            | Change::SetLabels { .. }
            | Change::SetAlias { .. }
            | Change::DeleteAlias { .. }
            | Change::CreateImportJob(_)
            | Change::Import { .. }
            | Change::Grant(_)
            | Change::Revoke(_)
            | Change::InitCustody(_) => true,
        };
        if write.source.len() > TEXT_BYTES_MAX || !bounded {
            return Err(Refusal::Malformed(Malformation::Text));
        }
        let Actor::Principal(principal) = write.actor.clone() else {
            return self.write_once(place, write);
        };
        let fingerprint = write.change.fingerprint();
        if let Some(earlier) = self.requests.find(&principal, write.request)
            && !is_old(earlier.time, place.time)
        {
            let same = earlier.fingerprint == fingerprint;
            return if same {
                earlier.answer.clone()
            } else {
                Err(Refusal::RequestReused)
            };
        }
        let answer = self.write_once(place, write);
        if answer != Err(Refusal::Conflict) && write.change.is_remembered() {
            let (request, time, answer) = (write.request, place.time, answer.clone());
            self.remember(Remembered {
                principal,
                request,
                time,
                fingerprint,
                answer,
            });
        }
        answer
    }

    fn write_once(&mut self, place: Place, write: &Write) -> Answer {
        let mut note = self.note(&write.change);
        let answer = self
            .authorise(place, &write.actor, &write.change)
            .and_then(|()| self.check_own_name(&write.change))
            .and_then(|()| self.carry_out(place, &write.change, &mut note));
        match &answer {
            Err(Refusal::Conflict) => {}
            Err(refusal) => {
                let denied = matches!(refusal, Refusal::PermissionDenied(_));
                let outcome = if denied {
                    AuditOutcome::Denied
                } else {
                    AuditOutcome::Failed
                };
                self.journal_write(place, write, note, outcome, refusal.reason());
            }
            Ok(_) => {
                if let Change::Custody(CustodyEvent::ShareRefused { reason, .. }) = &write.change {
                    self.journal_write(place, write, note, AuditOutcome::Failed, reason);
                } else {
                    self.journal_write(place, write, note, AuditOutcome::Allowed, "");
                }
            }
        }
        answer
    }

    /// What the audit log is to say of a change, as far as it is known before.
    fn note(&self, change: &Change) -> Note {
        let access_revision = self.access.revision().0;
        let detail = |detail: String| Note {
            access_revision,
            ..Note::of(detail)
        };
        match change {
            Change::CreateKey { spec, .. } => {
                let mut what = format!("{} {}", spec.algorithm.as_str(), spec.protection.as_str());
                if let Some(every) = spec.rotate_every {
                    what = format!("{what}, rotated every {every}");
                }
                self.key_note(&spec.name, None, what)
            }
            Change::RotateKey { name, version, .. } => {
                self.key_note(name, Some(*version), String::new())
            }
            Change::Transition { name, version, .. }
            | Change::ScheduleDestruction { name, version, .. } => {
                self.key_note(name, *version, String::new())
            }
            Change::SetRotation { name, every } => {
                let every = every.map_or_else(|| "never".to_owned(), |it| format!("every {it}"));
                self.key_note(name, None, every)
            }
            Change::SetRewrap { name, policy } => self.key_note(name, None, policy.to_string()),
            Change::RequestRewrap { name } => self.key_note(name, None, String::new()),
            Change::RewrapDataKeys { name, to, .. } => {
                self.key_note(name, Some(*to), String::new())
            }
            Change::DeleteDataKey { id } => self.data_key_note(*id),
            Change::SetLabels { name, set, remove } => {
                self.key_note(name, None, describe_labels(set, remove))
            }
            Change::SetAlias { alias, .. } | Change::DeleteAlias { alias } => {
                self.alias_note(change, alias)
            }
            Change::CreateImportJob(new) => detail(format!(
                "{} of keyring {}, {}, protection {}",
                new.id,
                new.keyring,
                new.method.as_str(),
                new.protection.as_str()
            )),
            Change::Import { job, target, .. } => {
                let version = match target {
                    ImportTarget::Key { .. } => VersionNumber(1),
                    ImportTarget::Version { version, .. } => *version,
                };
                self.key_note(target.name(), Some(version), format!("by import job {job}"))
            }
            Change::Erased { through } => Note {
                destruction_revision: through.0,
                ..detail(format!("destroyed up to revision {through}"))
            },
            Change::Grant(it) | Change::Revoke(it) => {
                detail(format!("{} on {} for {}", it.role, it.scope, it.principal))
            }
            Change::InitCustody(it) => {
                let count = it.custodians.len();
                detail(format!("{} of {count}, set {}", it.threshold, it.set))
            }
            Change::Custody(event) => detail(describe_event(event)),
        }
    }

    pub(super) fn key_note(
        &self,
        name: &KeyName,
        version: Option<VersionNumber>,
        detail: String,
    ) -> Note {
        let info = self.keys.get(name).map(|key| &key.info);
        Note {
            key: name.to_string(),
            key_id: info
                .map(|info| info.id.as_bytes().to_vec())
                .unwrap_or_default(),
            version: version.map_or(0, |number| number.0),
            key_revision: info.map_or(0, |info| info.revision.0),
            access_revision: self.access.revision().0,
            detail,
            ..Note::default()
        }
    }

    fn data_key_note(&self, id: DataKeyId) -> Note {
        let data_key = self.data_key(id);
        let key = data_key.and_then(|it| self.names.get(&it.key));
        let note = match (data_key, key) {
            (Some(it), Some(name)) => self.key_note(name, Some(it.version), String::new()),
            (None, _) | (_, None) => Note {
                access_revision: self.access.revision().0,
                ..Note::default()
            },
        };
        Note {
            data_key_id: id.as_bytes().to_vec(),
            ..note
        }
    }

    fn authorise(&self, place: Place, actor: &Actor, change: &Change) -> Result<(), Refusal> {
        let on = |name: &KeyName| Scope::Keyring(name.keyring());
        let (action, scope) = match change {
            Change::CreateKey { spec, .. } => (ActionName::CreateKey, on(&spec.name)),
            Change::RotateKey { name, .. } if *actor == Actor::Node => {
                return self.check_due(place, name);
            }
            Change::RotateKey { name, .. }
            | Change::SetRotation { name, .. }
            | Change::SetRewrap { name, .. }
            | Change::RequestRewrap { name }
            // A node does it; nobody else may.
            | Change::RewrapDataKeys { name, .. } => (ActionName::RotateKey, on(name)),
            Change::CreateImportJob(new) => {
                (ActionName::ImportKey, Scope::Keyring(new.keyring.clone()))
            }
            Change::Import { target, .. } => (ActionName::ImportKey, on(target.name())),
            Change::DeleteDataKey { id } => {
                let key = self.data_key(*id).and_then(|it| self.key_by_id(it.key));
                let scope = key.map_or(Scope::All, |key| on(&key.info.name));
                (ActionName::DeleteDataKey, scope)
            }
            Change::Transition { name, .. } => (ActionName::ChangeState, on(name)),
            Change::SetLabels { name, .. } => (ActionName::LabelKey, on(name)),
            Change::SetAlias { alias, .. } | Change::DeleteAlias { alias } => (ActionName::ManageAliases, on(alias)),
            Change::ScheduleDestruction { name, .. } => (ActionName::DestroyKey, on(name)),
            // A node says it of itself; nobody else may.
            Change::Erased { .. } => (ActionName::DestroyKey, Scope::All),
            Change::Grant(it) | Change::Revoke(it) => (ActionName::ManageAccess, it.scope.clone()),
            Change::InitCustody(_) => (ActionName::InitCustody, Scope::All),
            Change::Custody(event) => match event {
                CustodyEvent::ShareAccepted { .. }
                | CustodyEvent::ShareRefused { .. }
                | CustodyEvent::Unsealed { .. }
                | CustodyEvent::Cancelled { .. } => (ActionName::Unseal, Scope::All),
                CustodyEvent::Sealed { .. } => (ActionName::Seal, Scope::All),
                CustodyEvent::Resumed => (ActionName::InitCustody, Scope::All),
            },
        };
        let allowed = match actor {
            Actor::Principal(_) if change.is_of_nodes() => false,
            Actor::Principal(principal)
                if matches!(change, Change::DeleteDataKey { .. }) && scope == Scope::All =>
            {
                self.access.permits_anywhere(principal, action.action())
            }
            Actor::Principal(principal) => {
                self.access.permits(principal, action.action(), &scope)
                    || (matches!(action, ActionName::Seal | ActionName::Unseal)
                        && self.is_custodian(principal))
            }
            Actor::Node => matches!(change, Change::Custody(_)) || change.is_of_nodes(),
        };
        if allowed {
            Ok(())
        } else {
            Err(Refusal::PermissionDenied(action))
        }
    }

    /// A node rotates a key of itself only when its time has come; another node may have been quicker.
    fn check_due(&self, place: Place, name: &KeyName) -> Result<(), Refusal> {
        let next = self.keys.get(name).and_then(Key::next_rotation);
        if next.is_some_and(|at| at <= place.time) {
            Ok(())
        } else {
            Err(Refusal::Conflict)
        }
    }

    fn carry_out(&mut self, place: Place, change: &Change, note: &mut Note) -> Answer {
        match change {
            Change::CreateKey {
                spec,
                id,
                set,
                material,
            } => {
                let answer = self.create_key(place, spec, (*id, *set), material)?;
                note.version = 1;
                note.key_id = id.as_bytes().to_vec();
                Ok(answer)
            }
            Change::RotateKey {
                name,
                id,
                version,
                material,
            } => self.rotate_key(place, name, *id, *version, material),
            Change::Transition {
                name,
                version,
                transition,
            } => self.move_by_hand(place, (name, *version), *transition, note),
            Change::ScheduleDestruction {
                name,
                version,
                after,
                unused_for_ms,
            } => self.move_to_its_end(place, (name, *version), (*after, *unused_for_ms), note),
            Change::Erased { through } => self.note_erased(place, *through),
            Change::SetRewrap { name, policy } => self.set_rewrap(place, name, *policy),
            Change::RequestRewrap { name } => self.request_rewrap(place, name),
            Change::RewrapDataKeys {
                name,
                id,
                to,
                items,
            } => self.rewrap_data_keys(name, *id, *to, items, note),
            Change::CreateImportJob(new) => self.create_import_job(place, new),
            Change::Import {
                job,
                target,
                material,
                ..
            } => {
                let answer = self.import(place, *job, target, material)?;
                if let ImportTarget::Key { id, .. } = target {
                    note.key_id = id.as_bytes().to_vec();
                }
                Ok(answer)
            }
            Change::DeleteDataKey { id } => {
                self.remove_data_key(*id)
                    .ok_or(Refusal::DataKeyNotFound(*id))?;
                Ok(Written::Done)
            }
            Change::SetRotation { name, every } => self.set_rotation(place, name, *every),
            Change::SetLabels { name, set, remove } => self.set_labels(place, name, set, remove),
            Change::SetAlias {
                alias,
                target,
                expected,
            } => self.set_alias(place, alias, target, expected, note),
            Change::DeleteAlias { alias } => self.delete_alias(place, alias),
            Change::Grant(grant) => self.grant(place, grant),
            Change::Revoke(grant) => self.revoke(place, grant),
            Change::InitCustody(custody) => self.init_custody(custody),
            Change::Custody(event) => self.custody_event(event),
        }
    }

    /// Moves a key or a version to another state.
    fn move_by_hand(
        &mut self,
        place: Place,
        (name, version): (&KeyName, Option<VersionNumber>),
        transition: Transition,
        note: &mut Note,
    ) -> Answer {
        if !transition.is_by_hand() {
            return Err(Refusal::Malformed(Malformation::Transition));
        }
        let from = self.step(place, name, version, transition, None)?;
        note.detail = format!("{from} -> {}", transition.target());
        self.key_answer(name)
    }

    fn move_to_its_end(
        &mut self,
        place: Place,
        (name, version): (&KeyName, Option<VersionNumber>),
        (after, unused_for_ms): (WaitingPeriod, Option<u64>),
        note: &mut Note,
    ) -> Answer {
        let from = self.schedule_destruction(place, name, version, after, unused_for_ms)?;
        let insisted = if unused_for_ms.is_none() {
            ", however it was used"
        } else {
            ""
        };
        let to = Transition::ScheduleDestruction.target();
        note.detail = format!("{from} -> {to}, in {after}{insisted}");
        self.key_answer(name)
    }

    fn grant(&mut self, place: Place, grant: &Grant) -> Answer {
        let full = self.access.len() >= GRANTS_MAX && !self.access.contains(grant);
        if full {
            return Err(limit(LimitedThing::Grants, GRANTS_MAX));
        }
        self.insert_grant(grant, place.revision);
        Ok(Written::Done)
    }

    fn revoke(&mut self, place: Place, grant: &Grant) -> Answer {
        if self.access.is_last_admin(grant) {
            return Err(Refusal::LastAdmin);
        }
        if self.access.remove(grant, place.revision) {
            self.remove_grant(grant);
        }
        Ok(Written::Done)
    }

    pub(super) fn insert_grant(&mut self, grant: &Grant, revision: Revision) {
        if self.access.insert(grant.clone(), revision) {
            self.save_grant(grant);
        }
    }
}

pub(super) fn limit(what: LimitedThing, max: usize) -> Refusal {
    Refusal::LimitReached {
        what,
        max: u64::try_from(max).unwrap_or(u64::MAX),
    }
}
