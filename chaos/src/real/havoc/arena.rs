//! One cluster through many trials: clients at work, and after each trial a look at what must hold.

use super::draws::Draws;
use super::ledger::Ledger;
use super::workload::{Rest, Workload, caller};
use crate::evidence::Evidence;
use crate::history::{Answer, Asked, History, MessageId};
use crate::invariants::judge_evidence;
use crate::real::{Cluster, NODES, Options, until};
use anyhow::{Context as _, Result, bail};
use conclave_client::v1::{NodeStatus, SealState};
use futures::future::join_all;
use std::collections::BTreeMap;

/// Violations that are told of one look.
const TOLD_MAX: usize = 10;

/// A cluster with clients at work.
pub(super) struct Arena {
    /// The nodes.
    pub(super) cluster: Cluster,
    /// The clients. They rest between trials.
    pub(super) work: Workload,
    rest: Option<Rest>,
    ledger: Ledger,
    /// Calls of the history that were looked at.
    calls_seen: usize,
    /// Of each node's log, how much was looked at.
    logs_seen: BTreeMap<u64, u64>,
}

impl Arena {
    /// Three unsealed nodes, and clients that rest.
    ///
    /// # Errors
    /// If they do not come about.
    pub(super) async fn open(options: Options, seed: u64) -> Result<Self> {
        Self::with(Cluster::start(options).await?, seed).await
    }

    /// The same, of a cluster that was started otherwise.
    ///
    /// # Errors
    /// If a certificate cannot be made.
    pub(super) async fn with(cluster: Cluster, seed: u64) -> Result<Self> {
        let (work, rest) = Workload::begin(&cluster, seed).await?;
        Ok(Self {
            cluster,
            work,
            rest: Some(rest),
            ledger: Ledger::default(),
            calls_seen: 0,
            logs_seen: BTreeMap::new(),
        })
    }

    /// Lets the clients work.
    pub(super) fn go(&mut self) {
        self.rest = None;
    }

    /// Waits until no call is under way, and lets none begin.
    pub(super) async fn rest(&mut self) {
        if self.rest.is_none() {
            self.rest = Some(self.work.rest().await);
        }
    }

    /// Starts nodes that were killed, all at once, and has custodians unseal them.
    ///
    /// # Errors
    /// If one does not come back.
    pub(super) async fn bring_back(&mut self, ids: &[u64]) -> Result<()> {
        for id in ids {
            if !self.cluster.node(*id).is_started() {
                self.cluster.node(*id).spawn()?;
            }
        }
        for id in ids {
            self.cluster.answers(*id).await?;
        }
        for id in ids {
            self.cluster.catches_up(*id).await?;
            let status = self.cluster.status(*id).await?;
            if status.seal() != SealState::Unsealed {
                self.cluster
                    .unseal(*id)
                    .await
                    .with_context(|| format!("unsealing node {id}"))?;
            }
        }
        Ok(())
    }

    /// Lets the clients rest and says all that is wrong: nodes that panicked, that do not come to the same log, that
    /// hold another log than before, that lack what was acknowledged, or that open a message wrongly.
    ///
    /// # Errors
    /// If the cluster does not answer, which is wrong too.
    pub(super) async fn check(&mut self, draws: &mut Draws) -> Result<Vec<String>> {
        self.rest().await;
        let mut broken = self.panics();
        self.open_messages(draws).await?;
        let statuses = self.same_everywhere().await?;
        let reader = draws.one(NODES);
        self.ledger
            .read_on(&self.cluster.client_at("admin", reader)?)
            .await?;
        for status in statuses {
            let root = self.ledger.root(status.audit_size);
            if root.as_ref().map(<[u8; 32]>::as_slice) != Some(status.audit_root.as_slice()) {
                broken.push(format!(
                    "node {} says that the root of {} records is {}, and they were read otherwise",
                    status.node_id,
                    status.audit_size,
                    hex::encode(status.audit_root)
                ));
            }
        }
        broken.extend(self.lost());
        broken.truncate(TOLD_MAX);
        Ok(broken)
    }

    /// What nodes said when they panicked, since the last look.
    pub(super) fn panics(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for node in self.cluster.nodes() {
            let seen = self.logs_seen.entry(node.id()).or_default();
            let text = node.log_since(*seen);
            *seen = node.log_bytes();
            if let Some(at) = text.find("panicked at") {
                let text: String = text[at..].chars().take(300).collect();
                found.push(format!("node {} panicked: {text}", node.id()));
            }
        }
        found
    }

    /// Waits until all nodes have the same log to the end.
    async fn same_everywhere(&self) -> Result<Vec<NodeStatus>> {
        until("all nodes at the same entry", async || {
            let statuses = join_all(NODES.map(|id| self.cluster.status(id))).await;
            let statuses: Vec<NodeStatus> = statuses.into_iter().collect::<Result<_>>().ok()?;
            let place = |it: &NodeStatus| (it.last_log_index, it.applied_index, it.audit_size);
            let is_same = statuses
                .windows(2)
                .all(|pair| place(&pair[0]) == place(&pair[1]));
            let is_done = |it: &NodeStatus| it.last_log_index == it.applied_index;
            (is_same && statuses.iter().all(is_done)).then_some(statuses)
        })
        .await
    }

    /// Has every node open a message of any age. What it answers goes into the history and is judged there.
    async fn open_messages(&self, draws: &mut Draws) -> Result<()> {
        let recorder = self.work.recorder();
        let count = recorder.look(|history| history.messages.len());
        if count == 0 {
            return Ok(());
        }
        for id in NODES {
            let messages = vec![MessageId(draws.one(0..count))];
            let caller = caller(&self.cluster, "app", Some(id), recorder)?;
            let call = caller.call(Asked::Decrypt { messages }).await;
            let answer = recorder.look(|history| history.calls[call.0].answer().cloned());
            if let None | Some(Answer::Unknown(_)) = answer {
                bail!("node {id} is well, and answers a decrypt with {answer:?}");
            }
        }
        Ok(())
    }

    /// What was acknowledged since the last look, and is not in the log.
    fn lost(&mut self) -> Vec<String> {
        let seen = self.calls_seen;
        let look = |history: &History| {
            let mut lost = Vec::new();
            for call in history.calls.iter().skip(seen) {
                let Some((operation, moment)) = call.asked.operation().zip(call.acknowledged())
                else {
                    continue;
                };
                // Of a batch each item may be refused, and then nothing was done.
                if let Some(Answer::Opened(items)) = call.answer()
                    && items.iter().all(Result::is_err)
                {
                    continue;
                }
                if !self.ledger.has_done(&call.principal, &call.request) {
                    lost.push(format!(
                        "{operation} by {}, request {}, was acknowledged at {} ms and is not in the log",
                        call.principal,
                        hex::encode(&call.request),
                        moment.at.as_millis()
                    ));
                }
            }
            (lost, history.calls.len())
        };
        let (lost, calls_seen) = self.work.recorder().look(look);
        self.calls_seen = calls_seen;
        lost
    }

    /// What all the invariants say about the run so far.
    pub(super) fn judge(&self) -> Vec<String> {
        judged(self.work.recorder().history(), &self.ledger, &self.cluster)
    }

    /// How many calls were begun, and how many of them acknowledged.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.work.recorder().look(|history| {
            let done = history
                .calls
                .iter()
                .filter(|call| call.acknowledged().is_some());
            (history.calls.len(), done.count())
        })
    }

    /// How many records the audit log had when it was last read.
    pub(super) fn records(&self) -> u64 {
        self.ledger.size()
    }

    /// Ends the run. Files are kept if something was wrong.
    ///
    /// # Errors
    /// If a client or a node panicked.
    pub(super) async fn close(mut self, all_well: bool) -> Result<()> {
        self.rest = None;
        self.work.end().await?;
        if all_well {
            self.cluster.finish()?;
        }
        Ok(())
    }
}

/// What all the invariants say about a history and a log.
pub(super) fn judged(history: History, ledger: &Ledger, cluster: &Cluster) -> Vec<String> {
    let evidence = Evidence {
        history,
        leaves: ledger.leaves().to_vec(),
        admins: vec!["admin".to_owned()],
        threshold: cluster.ceremony().threshold(),
    };
    let violations = judge_evidence(&evidence);
    violations
        .iter()
        .take(TOLD_MAX)
        .map(ToString::to_string)
        .collect()
}
