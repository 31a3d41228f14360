//! The rules once more, as simply as they can be said: plain maps, no indexes, no rows.

use crate::data_keys::ModelDataKey;
use conclave_core::limits::{BATCHES_PER_NODE_MAX, RECORDS_PER_BATCH_MAX, TEXT_BYTES_MAX};
use conclave_core::{
    Action, AuditSequence, Body, Command, Custody, Direction, Grant, KeyName, KeyState, Outcome,
    Role, Scope, SetId, Transition, UseBatch, UseRecord, UsedKey, Verdict, Written,
};
use std::collections::{BTreeMap, BTreeSet};

/// A key.
#[derive(Clone, Debug)]
pub(crate) struct ModelKey {
    pub(crate) id: [u8; 16],
    pub(crate) of_macs: bool,
    pub(crate) state: KeyState,
    pub(crate) destroy_at: Option<u64>,
    pub(crate) versions: Vec<ModelVersion>,
    pub(crate) primary_since: u64,
    pub(crate) activate_at: Option<u64>,
    pub(crate) rotate_every: Option<u64>,
    pub(crate) by_hand: bool,
    pub(crate) deactivate_old: bool,
    pub(crate) rewrap_below: u32,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) revision: u64,
}

/// A version of it.
#[derive(Clone, Debug)]
pub(crate) struct ModelVersion {
    pub(crate) state: KeyState,
    pub(crate) destroy_at: Option<u64>,
    pub(crate) uses: u64,
    pub(crate) last_use: u64,
}

impl ModelVersion {
    pub(crate) fn new() -> Self {
        Self {
            state: KeyState::Active,
            destroy_at: None,
            uses: 0,
            last_use: 0,
        }
    }
}

impl ModelKey {
    pub(crate) fn states(&self) -> Vec<KeyState> {
        self.versions.iter().map(|version| version.state).collect()
    }

    /// When the earliest of what is to be destroyed is, and which that is: 0 for the key as a whole.
    fn next_destruction(&self) -> Option<(u64, usize)> {
        let versions = self.versions.iter().map(|version| version.destroy_at);
        let all = std::iter::once(self.destroy_at).chain(versions);
        let all = all.enumerate().filter_map(|(n, at)| Some((at?, n)));
        all.min()
    }

    pub(crate) fn next_rotation(&self) -> Option<u64> {
        let every = self
            .rotate_every
            .filter(|_| self.state == KeyState::Active)?;
        Some(self.primary_since + every)
    }
}

pub(crate) struct Answered {
    pub(crate) principal: String,
    pub(crate) request: [u8; 16],
    pub(crate) time: u64,
    pub(crate) asked: String,
    pub(crate) answer: String,
}

#[derive(Default)]
struct NodeBatches {
    incarnation: u64,
    retired: Vec<u64>,
    applied: BTreeMap<u64, (Vec<UseRecord>, Vec<Verdict>)>,
}

/// What the cluster should look like.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) formed: bool,
    pub(crate) time: u64,
    pub(crate) keys: BTreeMap<String, ModelKey>,
    pub(crate) data_keys: BTreeMap<[u8; 16], ModelDataKey>,
    /// The keys that they are of, and the index of the last change.
    pub(crate) aliases: BTreeMap<String, (String, u64)>,
    pub(crate) grants: BTreeSet<Grant>,
    pub(crate) access_revision: u64,
    pub(crate) custody: Option<Custody>,
    pub(crate) audit: u64,
    /// The index of the last destruction.
    pub(crate) destroyed: u64,
    pub(crate) erased: BTreeMap<u64, u64>,
    pub(crate) answered: Vec<Answered>,
    batches: BTreeMap<u64, NodeBatches>,
}

/// An outcome without what the model does not know.
pub(crate) fn class(outcome: &Outcome) -> String {
    match outcome {
        Outcome::None => "none".to_owned(),
        Outcome::Written(Ok(Written::Done | Written::ImportJob(_))) => "done".to_owned(),
        Outcome::Written(Ok(Written::Key(view))) => {
            let states: Vec<KeyState> = view.versions.iter().map(|v| v.state).collect();
            key_class(view.info.state, view.info.primary.0, &states)
        }
        Outcome::Written(Ok(Written::Alias(view))) => {
            let earlier = view.earlier.as_ref().map(KeyName::as_str);
            alias_class(view.name.as_str(), view.key.as_str(), earlier)
        }
        Outcome::Written(Err(refusal)) => refusal.reason().to_owned(),
        Outcome::Verdicts(verdicts) => format!("{verdicts:?}"),
        Outcome::BatchRefused => "batch refused".to_owned(),
    }
}

pub(crate) fn alias_class(name: &str, key: &str, earlier: Option<&str>) -> String {
    format!("alias {name} of {key}, before of {earlier:?}")
}

pub(crate) fn key_class(state: KeyState, primary: u32, versions: &[KeyState]) -> String {
    format!("key {state:?} {primary} {versions:?}")
}

/// The table of the lifecycle.
pub(crate) fn step(from: KeyState, transition: Transition) -> Option<KeyState> {
    use KeyState::{
        Active, Compromised, Deactivated, DestroyScheduled, Destroyed, PreActive, Suspended,
    };
    match (from, transition) {
        (PreActive, Transition::Activate) | (Suspended, Transition::Resume) => Some(Active),
        (Active, Transition::Suspend) => Some(Suspended),
        (Active | Suspended, Transition::Deactivate)
        | (DestroyScheduled, Transition::CancelDestruction) => Some(Deactivated),
        (Active | Suspended, Transition::MarkCompromised) => Some(Compromised),
        (PreActive | Deactivated | Compromised, Transition::ScheduleDestruction) => {
            Some(DestroyScheduled)
        }
        (DestroyScheduled, Transition::Destroy) => Some(Destroyed),
        _ => None,
    }
}

impl Model {
    /// The current set of shares; before a ceremony, the one of the first.
    pub(crate) fn set(&self) -> SetId {
        self.custody.as_ref().map(|it| it.set).unwrap_or_default()
    }

    pub(crate) fn holds(&self, principal: &str, roles: &[Role], keyring: Option<&str>) -> bool {
        self.grants.iter().any(|grant| {
            let there = match &grant.scope {
                Scope::All => true,
                Scope::Keyring(name) => Some(name.as_str()) == keyring,
            };
            grant.principal.as_str() == principal && there && roles.contains(&grant.role)
        })
    }

    /// Whether the rules allow a use, and if not, why.
    pub(crate) fn judge_use(
        &self,
        principal: &str,
        of_macs: bool,
        direction: Direction,
        name: &str,
        version: Option<u32>,
    ) -> Result<(), &'static str> {
        let keyring = name.split('/').next();
        if !self.holds(principal, &[Role::User], keyring) {
            return Err("PERMISSION_DENIED");
        }
        if self.aliases.contains_key(name) {
            return Err("there is a key of that name");
        }
        let key = self.keys.get(name).ok_or("KEY_NOT_FOUND")?;
        if of_macs != key.of_macs {
            return Err("KEY_PURPOSE");
        }
        let number = version.map_or(key.versions.len(), |n| n as usize);
        let version = number.checked_sub(1).and_then(|n| key.versions.get(n));
        let version = version.ok_or("VERSION_NOT_FOUND")?.state;
        for state in [key.state, version] {
            match (direction, state) {
                (_, KeyState::Active) | (Direction::Process, KeyState::Suspended) => {}
                (Direction::Process, KeyState::Compromised) => {
                    if !self.holds(principal, &[Role::UseCompromised], keyring) {
                        return Err("KEY_COMPROMISED");
                    }
                }
                _ => return Err("KEY_STATE"),
            }
        }
        Ok(())
    }

    /// The outcome's class.
    pub(crate) fn apply(&mut self, index: u64, command: &Command) -> String {
        self.time = self.time.max(command.time.0);
        match &command.body {
            Body::Form { admins, .. } => {
                if !self.formed && !admins.is_empty() {
                    self.formed = true;
                    for admin in admins {
                        let (principal, scope, role) = (admin.clone(), Scope::All, Role::Admin);
                        self.grants.insert(Grant {
                            principal,
                            scope,
                            role,
                        });
                    }
                    self.access_revision = index;
                    self.audit += 1;
                }
                "none".to_owned()
            }
            Body::Tick => {
                self.tick(index, command.time.0);
                "none".to_owned()
            }
            Body::Uses(batch) => self.uses(index, command.node.0, batch),
            Body::Write(write) => self.write(index, command.node.0, write),
        }
    }

    fn tick(&mut self, index: u64, clock: u64) {
        for key in self.keys.values_mut() {
            if key.activate_at.is_some_and(|at| at <= self.time) {
                key.activate_at = None;
                key.state = KeyState::Active;
                key.revision = index;
                self.audit += 1;
            }
        }
        while let Some((_, name, which)) = self.next_destruction(clock) {
            self.audit += 1;
            self.destroyed = index;
            let key = self.keys.get_mut(&name).expect("it was just found");
            key.revision = index;
            if which == 0 {
                key.state = KeyState::Destroyed;
                key.destroy_at = None;
            }
            for (n, version) in (1..).zip(&mut key.versions) {
                if which == 0 || which == n {
                    version.state = KeyState::Destroyed;
                    version.destroy_at = None;
                }
            }
        }
        self.deactivate_idle(index);
    }

    /// What is to be destroyed by this clock, the earliest first.
    fn next_destruction(&self, clock: u64) -> Option<(u64, String, usize)> {
        let keys = self.keys.iter();
        let all = keys.filter_map(|(name, key)| {
            let (at, which) = key.next_destruction()?;
            Some((at, name.clone(), which))
        });
        all.filter(|(at, ..)| *at <= clock).min()
    }

    fn count(&mut self, record: &UseRecord) {
        for used in record.key.iter().chain(&record.destination) {
            let key = self.keys.get_mut(used.name.as_str());
            let number = used.version.expect("an allowed use has one").0 as usize;
            let version = &mut key.expect("an allowed use has one").versions[number - 1];
            version.uses += u64::from(record.count);
            version.last_use = self.time;
        }
    }

    fn uses(&mut self, index: u64, node: u64, batch: &UseBatch) -> String {
        let refused = "batch refused".to_owned();
        let too_long = |record: &UseRecord| record.source.len() > TEXT_BYTES_MAX;
        if batch.records.len() > RECORDS_PER_BATCH_MAX || batch.records.iter().any(too_long) {
            return refused;
        }
        let (incarnation, sequence) = (batch.id.incarnation, batch.id.sequence);
        if let Some(node) = self.batches.get(&node) {
            if node.retired.contains(&incarnation) {
                return refused;
            }
            if node.incarnation == incarnation {
                if let Some((records, verdicts)) = node.applied.get(&sequence) {
                    let same = *records == batch.records;
                    return if same {
                        format!("{verdicts:?}")
                    } else {
                        refused
                    };
                }
                let lower = node
                    .applied
                    .keys()
                    .filter(|other| **other < sequence)
                    .count();
                if lower == 0 && node.applied.len() == BATCHES_PER_NODE_MAX {
                    return refused;
                }
            }
        }
        let mut verdicts = Vec::new();
        for record in &batch.records {
            let current = |used: &UsedKey| self.is_current(used);
            let fresh = record.access_revision.0 == self.access_revision
                && record.key.as_ref().is_none_or(current)
                && record.destination.as_ref().is_none_or(current)
                && self.is_data_key_current(record);
            verdicts.push(if fresh {
                if record.refusal.is_none() {
                    self.count(record);
                    self.register(index, record);
                }
                self.audit += 1;
                Verdict::Recorded(AuditSequence(self.audit - 1))
            } else {
                Verdict::Retry
            });
        }
        let first = !self.batches.contains_key(&node);
        let node = self.batches.entry(node).or_default();
        if !first && node.incarnation != incarnation {
            node.retired.push(node.incarnation);
            node.applied.clear();
        }
        node.incarnation = incarnation;
        node.applied
            .insert(sequence, (batch.records.clone(), verdicts.clone()));
        if node.applied.len() > BATCHES_PER_NODE_MAX {
            node.applied.pop_first();
        }
        format!("{verdicts:?}")
    }
}

/// The roles that allow an action, as the documentation states them.
pub(crate) fn roles(action: Action) -> &'static [Role] {
    use Role::{Admin, Operator, UseCompromised, User};
    match action {
        Action::UseKey => &[User],
        Action::UseCompromised => &[UseCompromised],
        Action::ReadKey => &[Admin, Operator, User],
        Action::CreateKey
        | Action::DestroyKey
        | Action::ExportKey
        | Action::ManageAccess
        | Action::InitCustody
        | Action::ManageAliases => &[Admin],
        Action::RotateKey
        | Action::ChangeState
        | Action::Seal
        | Action::Unseal
        | Action::ReadAudit
        | Action::LabelKey => &[Admin, Operator],
    }
}
