//! The replicated state and the one function that changes it.
//!
//! [`State::apply`] is pure, total and deterministic: it reads no clock, no randomness and no hash
//! order, and a bad command is an outcome, not a panic. What it changes it also hands out as rows
//! ([`State::take_changes`]), which the state machine writes in one batch with the applied log id.

mod aliases;
mod batches;
mod custody;
mod data_keys;
mod decide;
mod destruction;
mod imports;
mod journal;
mod keys;
mod labels;
mod list;
mod load;
mod requests;
mod rewrap;
mod rows;
mod schedule;
mod tick;
mod uses;
mod writes;

pub use aliases::AliasPage;
pub use decide::{Denial, UsePermit};
pub use list::{KeyFilter, KeyListing, KeyPage, LabelFilter, SeenKeyrings};
pub use load::CorruptRow;
pub use rewrap::DueRewrap;
pub use rows::{RowChange, Table};

use crate::access::{Access, Grant, Role, Scope};
use crate::audit::AuditTree;
use crate::command::{Actor, Body, Command};
use crate::custody::Custody;
use crate::ids::{ClusterId, ImportJobId, KeyId, LogIndex, NodeId, Revision, TimeMs};
use crate::import::ImportJob;
use crate::key::Key;
use crate::limits::GRANTS_MAX;
use crate::names::{KeyName, PrincipalName};
use crate::outcome::{Outcome, Refusal};
use crate::planted::{Bug, is_planted};
use aliases::Aliases;
use batches::BatchMemory;
use data_keys::DataKeys;
use journal::Note;
use requests::RequestMemory;
use rewrap::Rewraps;
use schedule::Schedule;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// What every node agrees on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    cluster: Option<ClusterId>,
    /// The time of the last command, never running backwards.
    time: TimeMs,
    keys: BTreeMap<KeyName, Key>,
    names: BTreeMap<KeyId, KeyName>,
    aliases: Aliases,
    /// Keys that wait for a date.
    schedule: Schedule,
    data_keys: DataKeys,
    /// What is to be done for data keys.
    rewraps: Rewraps,
    imports: BTreeMap<ImportJobId, ImportJob>,
    /// The revision at which material was last destroyed.
    destroyed: Revision,
    /// Up to which revision each node has erased what was destroyed.
    erased: BTreeMap<NodeId, Revision>,
    access: Access,
    custody: Option<Custody>,
    requests: RequestMemory,
    batches: BTreeMap<NodeId, BatchMemory>,
    audit: AuditTree,
    /// Rows to write for what was applied since they were last taken.
    changes: Vec<RowChange>,
}

/// Where and when a command is applied.
#[derive(Clone, Copy)]
struct Place {
    revision: Revision,
    node: NodeId,
    time: TimeMs,
}

impl State {
    /// Of a cluster that is not formed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one command. `index` is the entry's place in the log, and becomes the revision of
    /// what it changes.
    ///
    /// # Panics
    /// Only if the state itself breaks an invariant.
    pub fn apply(&mut self, index: LogIndex, command: Command) -> Outcome {
        let time = if is_planted(Bug::TimeRunsBackwards) {
            command.time
        } else {
            self.time.max(command.time)
        };
        self.time = time;
        let place = Place {
            revision: Revision(index.0),
            node: command.node,
            time,
        };
        let outcome = match command.body {
            Body::Form { cluster, admins } => {
                self.form(place, cluster, admins);
                Outcome::None
            }
            Body::Write(write) if self.cluster.is_none() && write.actor != Actor::Node => {
                Outcome::Written(Err(Refusal::NotFormed))
            }
            Body::Write(write) => Outcome::Written(self.write(place, &write)),
            Body::Uses(batch) => self.record_uses(place, batch),
            Body::Tick => {
                self.tick(place, command.time);
                Outcome::None
            }
        };
        self.save_meta();
        outcome
    }

    /// The first `Form` that names an admin counts, every other one is nothing: a cluster without
    /// an admin could never get one.
    fn form(&mut self, place: Place, cluster: ClusterId, admins: Vec<PrincipalName>) {
        if self.cluster.is_some() || admins.is_empty() {
            return;
        }
        self.cluster = Some(cluster);
        for principal in admins.into_iter().take(GRANTS_MAX) {
            let grant = Grant {
                principal,
                scope: Scope::All,
                role: Role::Admin,
            };
            self.insert_grant(&grant, place.revision);
        }
        let detail = format!("cluster {cluster}");
        self.journal_node_event(place, "FormCluster", Note::of(detail));
    }

    /// `None` until the cluster is formed.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// The time of the last command.
    pub fn time(&self) -> TimeMs {
        self.time
    }

    /// A key by its name.
    pub fn key(&self, name: &KeyName) -> Option<&Key> {
        self.keys.get(name)
    }

    /// A key by its id.
    pub fn key_by_id(&self, id: KeyId) -> Option<&Key> {
        self.names.get(&id).and_then(|name| self.keys.get(name))
    }

    /// Keys behind `after` in the order of their names, whose names begin with `prefix`.
    pub fn keys<'s>(
        &'s self,
        prefix: &str,
        after: Option<&KeyName>,
    ) -> impl Iterator<Item = &'s Key> {
        let from = match after {
            Some(name) if name.as_str() >= prefix => Excluded(name.as_str()),
            Some(_) | None => Included(prefix),
        };
        self.keys
            .range::<str, _>((from, Unbounded))
            .take_while(move |(name, _)| name.as_str().starts_with(prefix))
            .map(|(_, key)| key)
    }

    /// Who may do what.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The root key's custody, once there was a ceremony.
    pub fn custody(&self) -> Option<&Custody> {
        self.custody.as_ref()
    }

    /// The audit log's tree.
    pub fn audit(&self) -> &AuditTree {
        &self.audit
    }

    /// The rows to write for what was applied since the last call.
    pub fn take_changes(&mut self) -> Vec<RowChange> {
        std::mem::take(&mut self.changes)
    }
}
