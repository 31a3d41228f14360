//! Looks into all nodes after every step, and holds what it sees against the inner properties.

use super::ledger::{Ledger, Shadow, short_hash};
use super::machine::Machine;
use super::trace::Trace;
use super::workload::CANARY;
use crate::invariants::Violation;
use crate::invariants::inside::commits_are_on_a_quorum;
use crate::invariants::inside::leader_ids_are_used_once::LeaderIdsAreUsedOnce;
use crate::invariants::inside::leaders_are_complete::LeadersAreComplete;
use crate::invariants::inside::logs_match::LogsMatch;
use crate::invariants::inside::node_ids_are_kept::NodeIdsAreKept;
use crate::invariants::inside::{
    broken, disks_are_alike, lives_begin_durable, secrets_stay_inside, states_are_equal,
    votes_are_on_a_quorum,
};
use conclave_core::{AuditRecord, NodeId};
use conclave_env::mem::Written;
use conclave_env::store::Write;
use conclave_raft::inspect::{
    LOG_TABLE, META_TABLE, PURGED_ROW, VOTE_ROW, log_entry, purged_index, vote,
};
use conclave_raft::{Replica, ReplicaStatus, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often whole states are compared; audit roots are compared at every change.
const COMPARE_EVERY: Duration = Duration::from_millis(500);

/// What is known of one node.
#[derive(Default)]
struct Known {
    /// Its log, as it was written.
    log: BTreeMap<u64, Vec<u8>>,
    /// The next entry that it will apply.
    next: u64,
    shadow: Shadow,
    compared: Duration,
    installs: u64,
    snapshot: u64,
    lives: u64,
    fault: Option<String>,
    /// What it wrote to its log in this step.
    fresh: BTreeSet<u64>,
    /// The life in which it takes part.
    takes_part_in: Option<u64>,
}

/// The watch over all nodes.
pub(crate) struct Watch {
    /// The committed log.
    pub(crate) ledger: Ledger,
    /// What was seen, and how often.
    pub(crate) seen: BTreeMap<&'static str, u64>,
    nodes: BTreeMap<u64, Known>,
    leaders: LeaderIdsAreUsedOnce,
    complete: LeadersAreComplete,
    logs: LogsMatch,
    ids: NodeIdsAreKept,
    trace: Trace,
}

/// The node that leads the latest term, if one says so.
pub(crate) fn leader(machines: &[Machine]) -> Option<u64> {
    let leads = |machine: &Machine| {
        let status = machine.replica()?.status();
        (status.role == Role::Leader).then_some((status.term, machine.id))
    };
    machines.iter().filter_map(leads).max().map(|(_, id)| id)
}

fn index_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(..8)?.try_into().ok()?))
}

impl Watch {
    /// Over machines that have not run yet.
    pub(crate) fn new(machines: &[Machine], trace: Trace) -> Self {
        let nodes = machines.iter().map(|it| (it.id, Known::default()));
        Self {
            ledger: Ledger::default(),
            seen: BTreeMap::new(),
            nodes: nodes.collect(),
            leaders: LeaderIdsAreUsedOnce::default(),
            complete: LeadersAreComplete::default(),
            logs: LogsMatch::default(),
            ids: NodeIdsAreKept::default(),
            trace,
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn known(&mut self, node: u64) -> &mut Known {
        self.nodes.entry(node).or_default()
    }

    /// A machine's power failed: its log is what the disk kept.
    pub(crate) fn crashed(&mut self, machine: &Machine) {
        machine.disk.take_journal();
        let rows = machine.disk.rows(LOG_TABLE.0, LOG_TABLE.1);
        let rows = rows
            .into_iter()
            .filter_map(|(key, value)| Some((index_of(&key)?, value)));
        self.known(machine.id).log = rows.collect();
    }

    /// Looks at all nodes.
    ///
    /// # Errors
    /// The first property that is broken.
    pub(crate) fn look(&mut self, at: Duration, machines: &[Machine]) -> Result<(), Violation> {
        for machine in machines {
            self.known(machine.id).fresh.clear();
            for written in machine.disk.take_journal() {
                self.written(machine.id, written)?;
            }
            disks_are_alike::check(machine.id, &machine.disk)?;
        }
        for machine in machines {
            self.look_at_node(at, machine, machines)?;
        }
        Ok(())
    }

    /// Follows what a node writes to its log.
    fn written(&mut self, node: u64, written: Written) -> Result<(), Violation> {
        if written.database != LOG_TABLE.0 {
            return Ok(());
        }
        for write in written.batch.writes {
            match write {
                Write::Put { table, key, value } if table == LOG_TABLE.1 => {
                    let unreadable = |e| broken("logs_match", "P2", format!("node {node}: {e}"));
                    let entry = log_entry(&value).map_err(unreadable)?;
                    let hash = short_hash(&value);
                    self.logs.written(node, &entry, hash)?;
                    if let Some(index) = index_of(&key) {
                        let known = self.known(node);
                        known.log.insert(index, value);
                        known.fresh.insert(index);
                    }
                }
                Write::DeleteRange { table, from, to } if table == LOG_TABLE.1 => {
                    let (from, to) = (
                        index_of(&from).unwrap_or(0),
                        index_of(&to).unwrap_or(u64::MAX),
                    );
                    if to == u64::MAX && self.known(node).log.range(from..).next().is_some() {
                        self.count("log truncated");
                    }
                    self.known(node)
                        .log
                        .retain(|index, _| *index < from || *index >= to);
                }
                Write::Put { table, key, value } if table == META_TABLE.1 && key == b"identity" => {
                    self.ids.is(node, &value)?;
                }
                Write::Put { .. } | Write::Delete { .. } | Write::DeleteRange { .. } => {}
            }
        }
        Ok(())
    }

    fn look_at_node(
        &mut self,
        at: Duration,
        machine: &Machine,
        machines: &[Machine],
    ) -> Result<(), Violation> {
        self.note_fault(at, machine);
        self.look_at_start(machine)?;
        let Some(replica) = machine.any_replica() else {
            return Ok(());
        };
        let status = replica.status();
        if status.role == Role::Leader
            && self
                .leaders
                .leads(machine.id, status.term, machine.lives())?
        {
            self.elected(at, machine.id, &status, machines)?;
        }
        self.note_snapshots(at, machine, &status);
        let applied = replica.applied().borrow().0;
        // Index 0 is the first entry of all, and nothing may be applied yet.
        if replica.status().committed == 0 && applied == 0 {
            return Ok(());
        }
        self.follow(at, machine, applied, machines)?;
        self.complete.committed(applied, self.leaders.greatest());
        if status.fault.is_some() {
            // Its state may be ahead of its rows. Nobody is shown it any more.
            return Ok(());
        }
        self.compare(at, machine, &replica, applied)
    }

    /// Looks at what a node found, when it takes part for the first time in a life or after its storage had failed.
    fn look_at_start(&mut self, machine: &Machine) -> Result<(), Violation> {
        let known = self.known(machine.id);
        let takes_part = machine.replica().is_some();
        let begins = takes_part && known.takes_part_in != Some(machine.lives());
        known.takes_part_in = takes_part.then(|| machine.lives());
        if !begins {
            return Ok(());
        }
        for (index, found) in &known.log {
            if known.fresh.contains(index) {
                continue;
            }
            let row = index.to_be_bytes();
            let durable = machine.disk.durable_row(LOG_TABLE.0, LOG_TABLE.1, &row);
            let what = format!("entry {index}");
            lives_begin_durable::check(machine.id, &what, found, durable.as_deref())?;
        }
        Ok(())
    }

    fn elected(
        &mut self,
        at: Duration,
        node: u64,
        status: &ReplicaStatus,
        machines: &[Machine],
    ) -> Result<(), Violation> {
        self.trace
            .line(at, &format!("node {node} leads term {}", status.term));
        self.count("leader elected");
        let leader = (status.term, NodeId(node));
        let voted = |machine: &&Machine| durable_vote(machine).is_some_and(|vote| vote >= leader);
        let voters: Vec<u64> = machines.iter().filter(voted).map(|it| it.id).collect();
        let nodes = u64::try_from(machines.len()).unwrap_or(u64::MAX);
        votes_are_on_a_quorum::check(node, status.term, &voters, nodes)?;
        let committed = self.ledger.count();
        let pending = self.known(node).log.range(committed..).next().is_some();
        if pending && self.leaders.count() > 1 {
            self.count("leader change during a batch");
        }
        self.complete.elected((status.term, node), status.last_log)
    }

    /// Whether the node takes part, and why not.
    fn note_fault(&mut self, at: Duration, machine: &Machine) {
        let context = machine.context();
        let refusal = context.and_then(|context| context.replica.get().err());
        let fault = refusal
            .map(|error| error.to_string())
            .or_else(|| machine.refused());
        let known = self.known(machine.id);
        if known.fault == fault {
            return;
        }
        known.fault.clone_from(&fault);
        let line = match fault {
            Some(fault) => format!("node {} takes no part: {fault}", machine.id),
            None => format!("node {} takes part again", machine.id),
        };
        self.trace.line(at, &line);
    }

    fn note_snapshots(&mut self, at: Duration, machine: &Machine, status: &ReplicaStatus) {
        let installs = machine.disk.installs();
        let known = self.known(machine.id);
        let (installed, taken) = (installs > known.installs, status.snapshot > known.snapshot);
        known.installs = installs;
        known.snapshot = status.snapshot;
        if installed {
            // What it now has is the snapshot's, whatever its log still says below.
            let applied = (status.snapshot + 1).min(self.ledger.count());
            let known = self.known(machine.id);
            known.next = known.next.max(applied);
            self.count("snapshot installed");
            let line = format!(
                "node {} installed a snapshot at {}",
                machine.id, status.snapshot
            );
            self.trace.line(at, &line);
        } else if taken {
            self.count("snapshot taken");
        }
    }

    /// Follows what a node has applied since the last look.
    fn follow(
        &mut self,
        at: Duration,
        machine: &Machine,
        applied: u64,
        machines: &[Machine],
    ) -> Result<(), Violation> {
        let node = machine.id;
        let known = self.known(node);
        if known.lives != machine.lives() {
            known.lives = machine.lives();
            // What it applied and lost with its power it applies again.
            known.next = known.next.min(applied);
        }
        while self.known(node).next <= applied {
            let index = self.known(node).next;
            if index >= self.ledger.count() {
                self.commit(at, node, index, machines)?;
            } else if let Some(bytes) = self.known(node).log.get(&index) {
                let hash = short_hash(bytes);
                let place = usize::try_from(index).expect("an index fits");
                let committed = short_hash(&self.ledger.entries[place].bytes);
                LogsMatch::applied(node, index, hash, committed)?;
            }
            self.known(node).next += 1;
        }
        Ok(())
    }

    /// An entry is seen to be applied for the first time anywhere.
    fn commit(
        &mut self,
        at: Duration,
        node: u64,
        index: u64,
        machines: &[Machine],
    ) -> Result<(), Violation> {
        let logs = self.nodes.values().map(|known| &known.log);
        let own = self.nodes.get(&node).map(|known| &known.log);
        let bytes = own
            .into_iter()
            .chain(logs)
            .find_map(|log| log.get(&index))
            .cloned();
        let nowhere = || {
            let problem = format!("node {node} applied entry {index}, which is in no log");
            broken("logs_match", "P2", problem)
        };
        let bytes = bytes.ok_or_else(nowhere)?;
        let holds = |machine: &&Machine| holds_durably(machine, index, &bytes);
        let holders: Vec<u64> = machines.iter().filter(holds).map(|it| it.id).collect();
        let count = u64::try_from(machines.len()).unwrap_or(u64::MAX);
        commits_are_on_a_quorum::check(node, index, &holders, count)?;
        let line = format!(
            "entry {index} {:016x} applied by node {node}",
            short_hash(&bytes)
        );
        self.trace.line(at, &line);
        let unreadable = |error| broken("logs_match", "P2", format!("entry {index}: {error}"));
        let records = self.ledger.push(bytes, at).map_err(unreadable)?;
        for record in &records {
            self.trace.line(at, &describe(record));
        }
        Ok(())
    }

    fn compare(
        &mut self,
        at: Duration,
        machine: &Machine,
        replica: &Replica,
        applied: u64,
    ) -> Result<(), Violation> {
        let place = usize::try_from(applied).expect("an index fits");
        let committed = &self.ledger.entries[place];
        replica.with_state(|state| {
            states_are_equal::check_root(machine.id, applied, state, committed)
        })?;
        let (ledger, nodes) = (&self.ledger, &mut self.nodes);
        let known = nodes.entry(machine.id).or_default();
        if at < known.compared + COMPARE_EVERY {
            return Ok(());
        }
        known.compared = at;
        let expected = known.shadow.at(ledger, applied);
        replica.with_state(|state| states_are_equal::check(machine.id, applied, state, expected))
    }

    /// At the end: whole states once more, and disks searched for what must not be there.
    ///
    /// # Errors
    /// The first property that is broken.
    pub(crate) fn look_last(
        &mut self,
        at: Duration,
        machines: &[Machine],
        secrets: &[(&'static str, Vec<u8>)],
    ) -> Result<(), Violation> {
        self.nodes
            .values_mut()
            .for_each(|known| known.compared = Duration::ZERO);
        self.look(at, machines)?;
        let mut secrets = secrets.to_vec();
        secrets.push(("something in clear", CANARY.to_vec()));
        for machine in machines {
            secrets_stay_inside::check(machine.id, &machine.disk, &secrets)?;
        }
        Ok(())
    }
}

fn describe(record: &AuditRecord) -> String {
    let outcome = if record.reason.is_empty() {
        "allowed"
    } else {
        &record.reason
    };
    format!(
        "record {} {} {} {} by {:?} at node {}, request {} attempt {}, {} times: {outcome} {}",
        record.sequence,
        record.operation,
        record.key,
        record.version,
        record.principal,
        record.node_id,
        hex::encode(&record.request_id),
        record.attempt,
        record.count,
        record.detail
    )
}

/// The vote that a power failure now would leave.
fn durable_vote(machine: &Machine) -> Option<(u64, NodeId)> {
    let row = machine
        .disk
        .durable_row(META_TABLE.0, META_TABLE.1, VOTE_ROW)?;
    vote(&row).ok()
}

/// Whether a power failure now would leave the entry, or a snapshot that holds it.
fn holds_durably(machine: &Machine, index: u64, bytes: &[u8]) -> bool {
    let row = machine
        .disk
        .durable_row(LOG_TABLE.0, LOG_TABLE.1, &index.to_be_bytes());
    if row.is_some_and(|row| row == bytes) {
        return true;
    }
    let purged = machine
        .disk
        .durable_row(META_TABLE.0, META_TABLE.1, PURGED_ROW);
    let purged = purged.and_then(|row| purged_index(&row).ok());
    purged.is_some_and(|purged| purged.0 >= index)
}
