//! Writes, by the rules.

use crate::reference::{Answered, Model, ModelKey, ModelVersion, key_class, step};
use conclave_core::limits::{REQUEST_MEMORY_MS, TEXT_BYTES_MAX, WRAPPED_BYTES_MAX};
use conclave_core::{
    Actor, Algorithm, Change, Custody, CustodyEvent, Grant, KeyId, KeyName, KeySpec, KeyState,
    Material, Protection, Role, RotationPeriod, Scope, SetId, Transition, VersionNumber, Wrapped,
    Write,
};
use std::collections::BTreeSet;

fn bounded(wrapped: &Wrapped) -> bool {
    !wrapped.blob.is_empty()
        && wrapped.blob.len() <= WRAPPED_BYTES_MAX
        && wrapped.tag.len() <= WRAPPED_BYTES_MAX
}

/// None of the algorithms here has a public half.
fn fits(material: &Material) -> bool {
    bounded(&material.wrapped) && material.public.is_none()
}

impl Model {
    pub(crate) fn write(&mut self, index: u64, node: u64, write: &Write) -> String {
        let principal = match &write.actor {
            Actor::Principal(name) => Some(name.to_string()),
            Actor::Node => None,
        };
        if !self.formed && principal.is_some() {
            return "CLUSTER_NOT_FORMED".to_owned();
        }
        let reason_bytes = if let Change::Custody(
            CustodyEvent::ShareRefused { reason, .. } | CustodyEvent::Sealed { reason },
        ) = &write.change
        {
            reason.len()
        } else {
            0
        };
        if write.source.len().max(reason_bytes) > TEXT_BYTES_MAX {
            return "MALFORMED".to_owned();
        }
        let Some(principal) = principal else {
            return self.write_new(index, node, None, &write.change);
        };
        let (request, asked) = (write.request.0, asked(&write.change));
        let fresh = |it: &&Answered| self.time < it.time + REQUEST_MEMORY_MS;
        let same = |it: &&Answered| it.principal == principal && it.request == request;
        if let Some(earlier) = self.answered.iter().rev().filter(fresh).find(same) {
            let equal = earlier.asked == asked;
            return if equal {
                earlier.answer.clone()
            } else {
                "REQUEST_ID_REUSED".to_owned()
            };
        }
        let answer = self.write_new(index, node, Some(&principal), &write.change);
        let forgotten = matches!(
            write.change,
            Change::InitCustody(_) | Change::Custody(CustodyEvent::ShareAccepted { .. })
        );
        if answer != "CONFLICT" && !forgotten {
            let (time, answer) = (self.time, answer.clone());
            self.answered.push(Answered {
                principal,
                request,
                time,
                asked,
                answer,
            });
        }
        answer
    }

    fn write_new(
        &mut self,
        index: u64,
        node: u64,
        principal: Option<&str>,
        change: &Change,
    ) -> String {
        let allowed = match (principal, change) {
            (None, Change::RotateKey { name, .. }) => {
                let next = self
                    .keys
                    .get(name.as_str())
                    .and_then(ModelKey::next_rotation);
                if next.is_none_or(|at| at > self.time) {
                    return "CONFLICT".to_owned();
                }
                true
            }
            (None, change) => matches!(
                change,
                Change::Custody(_) | Change::Erased { .. } | Change::RewrapDataKeys { .. }
            ),
            (Some(_), Change::Erased { .. } | Change::RewrapDataKeys { .. }) => false,
            (Some(principal), change) => self.may(principal, change),
        };
        let answer = if allowed {
            self.check_own_name(change)
                .and_then(|()| self.carry_out(index, node, change))
                .unwrap_or_else(ToOwned::to_owned)
        } else {
            "PERMISSION_DENIED".to_owned()
        };
        self.audit += u64::from(answer != "CONFLICT");
        answer
    }

    fn may(&self, principal: &str, change: &Change) -> bool {
        use Role::{Admin, Operator};
        let ring = |name: &KeyName| name.as_str().split('/').next().map(String::from);
        let (roles, keyring): (&[Role], _) = match change {
            Change::CreateKey { spec, .. } => (&[Admin], ring(&spec.name)),
            Change::RotateKey { name, .. }
            | Change::Transition { name, .. }
            | Change::SetRotation { name, .. }
            | Change::SetRewrap { name, .. }
            | Change::SetLabels { name, .. }
            | Change::RequestRewrap { name } => (&[Admin, Operator], ring(name)),
            Change::DeleteDataKey { id } => {
                let Some(found) = self.data_keys.get(&id.0) else {
                    let mine = |grant: &&Grant| grant.principal.as_str() == principal;
                    let mut mine = self.grants.iter().filter(mine);
                    return mine.any(|grant| grant.role == Admin);
                };
                (&[Admin], found.name.split('/').next().map(String::from))
            }
            Change::ScheduleDestruction { name, .. } => (&[Admin], ring(name)),
            Change::SetAlias { alias, .. } | Change::DeleteAlias { alias } => {
                (&[Admin], ring(alias))
            }
            Change::Erased { .. }
            | Change::RewrapDataKeys { .. }
            | Change::CreateImportJob(_)
            | Change::Import { .. } => unreachable!("judged before, or not drawn"),
            Change::Grant(grant) | Change::Revoke(grant) => match &grant.scope {
                Scope::All => (&[Admin], None),
                Scope::Keyring(name) => (&[Admin], Some(name.to_string())),
            },
            Change::InitCustody(_) | Change::Custody(CustodyEvent::Resumed) => (&[Admin], None),
            Change::Custody(_) => {
                let custodians = self.custody.iter().flat_map(|custody| &custody.custodians);
                if custodians
                    .into_iter()
                    .any(|it| it.name.as_str() == principal)
                {
                    return true;
                }
                (&[Admin, Operator], None)
            }
        };
        self.holds(principal, roles, keyring.as_deref())
    }

    fn carry_out(
        &mut self,
        index: u64,
        node: u64,
        change: &Change,
    ) -> Result<String, &'static str> {
        match change {
            Change::CreateKey {
                spec,
                id,
                set,
                material,
            } => {
                self.create(index, spec, (*id, *set), material)?;
                Ok(self.answer(&spec.name))
            }
            Change::RotateKey {
                name,
                id,
                version,
                material,
            } => {
                self.rotate(index, name, *id, *version, material)?;
                Ok(self.answer(name))
            }
            Change::Transition {
                name,
                version,
                transition,
            } => {
                self.transition(index, name, *version, *transition)?;
                Ok(self.answer(name))
            }
            Change::SetRotation { name, every } => {
                let key = self.live_key(index, name)?;
                key.rotate_every = every.map(RotationPeriod::as_ms);
                Ok(self.answer(name))
            }
            Change::ScheduleDestruction {
                name,
                version,
                after,
                unused_for_ms,
            } => {
                self.schedule_destruction(index, name, *version, after.as_ms(), *unused_for_ms)?;
                Ok(self.answer(name))
            }
            Change::Erased { through } => self.note_erased(node, through.0),
            Change::SetRewrap { .. } | Change::RequestRewrap { .. } => {
                self.change_rewrap(index, change)
            }
            Change::SetLabels { .. } | Change::SetAlias { .. } | Change::DeleteAlias { .. } => {
                self.find(index, change)
            }
            Change::RewrapDataKeys {
                name,
                id,
                to,
                items,
            } => self.rewrap(name, id.0, *to, items),
            Change::DeleteDataKey { id } => {
                self.data_keys.remove(&id.0).ok_or("DATA_KEY_NOT_FOUND")?;
                Ok("done".to_owned())
            }
            Change::CreateImportJob(_) | Change::Import { .. } => unreachable!("not drawn"),
            Change::Grant(grant) => {
                if self.grants.insert(grant.clone()) {
                    self.access_revision = index;
                }
                Ok("done".to_owned())
            }
            Change::Revoke(grant) => self.revoke(index, grant),
            Change::InitCustody(custody) => self.init_custody(custody),
            Change::Custody(event) => self.custody_event(event),
        }
    }

    fn change_rewrap(&mut self, index: u64, change: &Change) -> Result<String, &'static str> {
        let (Change::SetRewrap { name, .. } | Change::RequestRewrap { name }) = change else {
            unreachable!("told apart before");
        };
        let key = self.live_key(index, name)?;
        if let Change::SetRewrap { policy, .. } = change {
            (key.by_hand, key.deactivate_old) = (policy.by_hand, policy.deactivate_old);
        } else {
            key.rewrap_below = u32::try_from(key.versions.len()).expect("few versions");
        }
        Ok(self.answer(name))
    }

    fn live_key(&mut self, index: u64, name: &KeyName) -> Result<&mut ModelKey, &'static str> {
        let key = self.keys.get_mut(name.as_str()).ok_or("KEY_NOT_FOUND")?;
        if key.state == KeyState::Destroyed {
            return Err("KEY_STATE");
        }
        key.revision = index;
        Ok(key)
    }

    fn custody_event(&mut self, event: &CustodyEvent) -> Result<String, &'static str> {
        let custody = self.custody.as_mut().ok_or("CUSTODY_NOT_INITIALIZED")?;
        if let CustodyEvent::ShareAccepted { custodian, .. } = event
            && !custody.custodians.iter().any(|it| it.name == *custodian)
        {
            return Err("SHARE_SET_REPLACED");
        }
        if let CustodyEvent::ShareAccepted { set, .. } | CustodyEvent::Unsealed { set, .. } = event
            && *set != custody.set
        {
            return Err("SHARE_SET_REPLACED");
        }
        custody.confirmed |= matches!(event, CustodyEvent::Unsealed { .. });
        Ok("done".to_owned())
    }

    fn note_erased(&mut self, node: u64, through: u64) -> Result<String, &'static str> {
        let earlier = self.erased.get(&node).copied().unwrap_or(0);
        if through <= earlier || through > self.destroyed {
            return Err("CONFLICT");
        }
        self.erased.insert(node, through);
        Ok("done".to_owned())
    }

    fn create(
        &mut self,
        index: u64,
        spec: &KeySpec,
        (id, set): (KeyId, SetId),
        material: &Material,
    ) -> Result<(), &'static str> {
        if !fits(material) || (spec.activate_at.is_some() && !spec.pre_active) {
            return Err("MALFORMED");
        }
        if spec.algorithm == Algorithm::ChaCha20Poly1305 && spec.protection == Protection::Hsm {
            return Err("MALFORMED");
        }
        if self.keys.contains_key(spec.name.as_str()) {
            return Err("KEY_EXISTS");
        }
        if self.aliases.contains_key(spec.name.as_str()) {
            return Err("ALIAS_EXISTS");
        }
        if set != self.custody.as_ref().ok_or("CUSTODY_NOT_INITIALIZED")?.set {
            return Err("CONFLICT");
        }
        if self.keys.values().any(|key| key.id == id.0) {
            return Err("CONFLICT");
        }
        let state = if spec.pre_active {
            KeyState::PreActive
        } else {
            KeyState::Active
        };
        let key = ModelKey {
            id: id.0,
            of_macs: spec.algorithm == Algorithm::HmacSha384,
            state,
            destroy_at: None,
            versions: vec![ModelVersion::new()],
            primary_since: self.time,
            activate_at: spec.activate_at.map(|at| at.0),
            rotate_every: spec.rotate_every.map(RotationPeriod::as_ms),
            by_hand: spec.rewrap.by_hand,
            deactivate_old: spec.rewrap.deactivate_old,
            rewrap_below: 0,
            labels: spec.labels.clone().into(),
            revision: index,
        };
        self.keys.insert(spec.name.to_string(), key);
        Ok(())
    }

    fn rotate(
        &mut self,
        index: u64,
        name: &KeyName,
        id: KeyId,
        version: VersionNumber,
        material: &Material,
    ) -> Result<(), &'static str> {
        let key = self.keys.get_mut(name.as_str()).ok_or("KEY_NOT_FOUND")?;
        if key.state != KeyState::Active {
            return Err("KEY_STATE");
        }
        if key.id != id.0 || key.versions.len() + 1 != version.0 as usize {
            return Err("CONFLICT");
        }
        if !fits(material) {
            return Err("MALFORMED");
        }
        key.versions.push(ModelVersion::new());
        key.primary_since = self.time;
        key.revision = index;
        Ok(())
    }

    fn transition(
        &mut self,
        index: u64,
        name: &KeyName,
        version: Option<VersionNumber>,
        transition: Transition,
    ) -> Result<(), &'static str> {
        if !transition.is_by_hand() {
            return Err("MALFORMED");
        }
        self.step(index, name, version, transition, None)
    }

    fn step(
        &mut self,
        index: u64,
        name: &KeyName,
        version: Option<VersionNumber>,
        transition: Transition,
        date: Option<u64>,
    ) -> Result<(), &'static str> {
        let key = self.keys.get_mut(name.as_str()).ok_or("KEY_NOT_FOUND")?;
        let (state, destroy_at) = match version {
            None => (&mut key.state, &mut key.destroy_at),
            Some(number) => {
                let place = (number.0 as usize).checked_sub(1);
                let version = place.and_then(|n| key.versions.get_mut(n));
                let version = version.ok_or("VERSION_NOT_FOUND")?;
                (&mut version.state, &mut version.destroy_at)
            }
        };
        *state = step(*state, transition).ok_or("KEY_STATE")?;
        *destroy_at = date;
        if version.is_none() {
            key.activate_at = None;
        }
        key.revision = index;
        Ok(())
    }

    fn schedule_destruction(
        &mut self,
        index: u64,
        name: &KeyName,
        version: Option<VersionNumber>,
        after_ms: u64,
        unused_for_ms: Option<u64>,
    ) -> Result<(), &'static str> {
        let key = self.keys.get(name.as_str()).ok_or("KEY_NOT_FOUND")?;
        let all = (1..).zip(&key.versions);
        let concerned = all.filter(|(n, _)| version.is_none_or(|number| number.0 == *n));
        let recent = |version: &ModelVersion| {
            let rule = unused_for_ms.unwrap_or(0);
            version.uses > 0 && self.time < version.last_use + rule
        };
        let state = match version {
            None => Some(key.state),
            Some(number) => {
                let version = key.versions.get(number.0.wrapping_sub(1) as usize);
                version.map(|it| it.state)
            }
        };
        let may = state.and_then(|state| step(state, Transition::ScheduleDestruction));
        if may.is_some() && concerned.into_iter().any(|(_, it)| recent(it)) {
            return Err("KEY_IN_USE");
        }
        let wraps = self.data_keys_under(name.as_str(), version.map(|it| it.0)) > 0;
        if may.is_some() && unused_for_ms.is_some() && wraps {
            return Err("DATA_KEYS_LEFT");
        }
        let at = self.time + after_ms;
        self.step(
            index,
            name,
            version,
            Transition::ScheduleDestruction,
            Some(at),
        )
    }

    fn revoke(&mut self, index: u64, grant: &Grant) -> Result<String, &'static str> {
        let top = |it: &&Grant| it.scope == Scope::All && it.role == Role::Admin;
        let mut others = self.grants.iter().filter(top).filter(|it| *it != grant);
        if top(&grant) && others.next().is_none() {
            return Err("LAST_ADMIN");
        }
        if self.grants.remove(grant) {
            self.access_revision = index;
        }
        Ok("done".to_owned())
    }

    fn init_custody(&mut self, custody: &Custody) -> Result<String, &'static str> {
        let names: BTreeSet<&str> = custody.custodians.iter().map(|c| c.name.as_str()).collect();
        let count = custody.custodians.len();
        let well = !custody.confirmed
            && (2..=255).contains(&count)
            && (2..=count).contains(&usize::from(custody.threshold))
            && names.len() == count
            && custody
                .custodians
                .iter()
                .all(|c| (1..=4096).contains(&c.recipient.len()));
        if !well {
            return Err("MALFORMED");
        }
        let settled = |old: &Custody| old.confirmed || !self.keys.is_empty();
        if self.custody.as_ref().is_some_and(settled) {
            return Err("CUSTODY_SETTLED");
        }
        self.custody = Some(custody.clone());
        Ok("done".to_owned())
    }

    pub(crate) fn answer(&self, name: &KeyName) -> String {
        let key = &self.keys[name.as_str()];
        let primary = u32::try_from(key.versions.len()).expect("few versions");
        key_class(key.state, primary, &key.states())
    }
}

/// What a client asked for, without what a node put in.
fn asked(change: &Change) -> String {
    match change {
        Change::CreateKey { spec, .. } => format!("create {spec:?}"),
        Change::RotateKey { name, .. } => format!("rotate {name}"),
        Change::ScheduleDestruction {
            name,
            version,
            after,
            unused_for_ms,
        } => format!(
            "destroy {name} {version:?} {after} {}",
            unused_for_ms.is_some()
        ),
        // The unsealing of a node that they are part of is the node's own matter.
        Change::Custody(CustodyEvent::Unsealed { set, .. }) => format!("unsealed {set}"),
        Change::Custody(CustodyEvent::Cancelled { .. }) => "cancelled".to_owned(),
        Change::InitCustody(_)
        | Change::Transition { .. }
        | Change::SetRotation { .. }
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
        | Change::Custody(_) => {
            format!("{change:?}")
        }
    }
}
