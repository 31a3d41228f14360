//! What can be said of a run at its end.

use super::machine::Machine;
use super::plan::SERVICE_WITHIN;
use super::run::Run;
use super::scratch;
use crate::evidence::{Evidence, Leaf};
use crate::history::History;
use crate::invariants::inside::{broken, destroyed_is_erased, rewraps_come_to_an_end};
use crate::invariants::{Violation, judge_evidence};
use conclave_core::Table;
use conclave_raft::inspect::STATE_DATABASE;
use std::time::Duration;

impl Run {
    /// All that can be said at the end.
    pub(super) fn settle(&mut self, at: Duration) -> Vec<Violation> {
        let last = self
            .watch
            .look_last(at, &self.machines, &self.desk.secrets());
        let mut violations: Vec<Violation> = last.err().into_iter().collect();
        violations.extend(self.check_healed());
        violations.extend(self.check_equal());
        if self.has_epilogue {
            violations.extend(self.check_erased());
            let committed = self.watch.ledger.committed();
            violations.extend(rewraps_come_to_an_end::check(committed).err());
        }
        match self.evidence() {
            Ok(evidence) => violations.extend(judge_evidence(&evidence)),
            Err(error) => violations.push(broken("log_is_in_order", "P5", error.to_string())),
        }
        violations
    }

    /// How long after the last fault's end a write and a use were acknowledged that began since then.
    pub(super) fn healed_after(&self) -> Option<Duration> {
        let since = self.healing_since?;
        let first = |history: &History, is_write: bool| {
            let done = history.calls.iter().filter(|call| {
                call.begun.at >= since
                    && call.asked.operation().is_some()
                    && call.asked.is_write() == is_write
            });
            done.filter(|call| call.is_settled())
                .filter_map(|call| call.ended.as_ref())
                .map(|(moment, _)| moment.at)
                .min()
        };
        let recorder = &self.shared.recorder;
        let (write, used) = recorder.look(|it| (first(it, true), first(it, false)));
        // A seed may draw no kind of write, or no use.
        let last = write.into_iter().chain(used).max()?;
        Some(last.saturating_sub(since))
    }

    fn check_healed(&self) -> Option<Violation> {
        let problem = match self.healed_after() {
            Some(after) if after <= SERVICE_WITHIN => return None,
            Some(after) => format!(
                "the cluster served {} ms after the last fault",
                after.as_millis()
            ),
            None => "the cluster did not serve after the last fault".to_owned(),
        };
        Some(broken("the_cluster_heals", "P2", problem))
    }

    /// Whoever is whole has applied all, and is equal to the others.
    fn check_equal(&self) -> Vec<Violation> {
        let committed = self.watch.ledger.count();
        let whole = self.machines.iter().filter(|machine| !machine.is_damaged());
        let problem = |machine: &Machine| match machine.applied() {
            Some(applied) if applied.0 + 1 >= committed => None,
            Some(applied) => Some(format!(
                "node {} has applied up to {applied} of {committed} entries, long after the last fault",
                machine.id
            )),
            None => {
                let fault = machine.refused().or_else(|| {
                    let context = machine.context()?;
                    context.replica.get().err().map(|error| error.to_string())
                });
                Some(format!(
                    "node {} takes no part, long after the last fault: {}",
                    machine.id,
                    fault.unwrap_or_else(|| "it does not run".to_owned())
                ))
            }
        };
        whole
            .filter_map(problem)
            .map(|detail| broken("the_cluster_converges", "P2, P5", detail))
            .collect()
    }

    /// Whoever is whole has erased what was destroyed.
    fn check_erased(&self) -> Vec<Violation> {
        let whole = self.machines.iter().filter(|machine| !machine.is_damaged());
        let erased = whole.filter_map(|machine| {
            let beneath = self.scratch.as_ref().map(|it| it.node(machine.id));
            let find = |blob: &[u8]| {
                let modelled = machine.disk.find(blob);
                modelled.or_else(|| scratch::find(beneath.as_ref()?, blob))
            };
            let replica = machine.replica()?;
            let materials = &self.watch.ledger.materials;
            replica
                .with_state(|state| destroyed_is_erased::check(machine.id, state, materials, find))
                .err()
        });
        erased.collect()
    }

    /// The audit log of a node that is whole, and the clients' history.
    fn evidence(&self) -> anyhow::Result<Evidence> {
        let whole = self.machines.iter().filter(|machine| !machine.is_damaged());
        let best = whole.max_by_key(|machine| machine.applied());
        let rows = best.map(|machine| machine.disk.rows(STATE_DATABASE, Table::Audit.name()));
        let mut applied = self.watch.ledger.entries.iter().peekable();
        let mut leaves = Vec::new();
        for (sequence, (_, bytes)) in (0_u64..).zip(rows.unwrap_or_default()) {
            while applied
                .peek()
                .is_some_and(|entry| entry.audit_size <= sequence)
            {
                applied.next();
            }
            let at = applied.peek().map(|entry| entry.applied);
            leaves.push(Leaf::read(bytes, at)?);
        }
        Ok(Evidence {
            history: self.shared.recorder.history(),
            leaves,
            admins: vec!["admin".to_owned()],
            threshold: self.plan.custodians.1,
        })
    }
}
