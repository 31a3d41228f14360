//! Clients at work on all nodes, through the client library. What they call is drawn, what they are answered goes into
//! the history. They rest while somebody looks at the cluster.

use super::draws::Draws;
use super::worker::{PRINCIPALS, Worker};
use crate::calls::{Caller, Stopwatch};
use crate::history::{Asked, History, Recorder, Right};
use crate::real::{Cluster, NODES};
use anyhow::Result;
use conclave_core::Role;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Clients at work at each node.
const WORKERS_PER_NODE: u64 = 2;
/// How long a call may take, retries included.
const CALL_DEADLINE: Duration = Duration::from_secs(6);

/// Since the first look at it.
pub(super) fn elapsed() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// What the workers share.
pub(super) struct Shared {
    pub(super) recorder: Recorder,
    /// Held shared by each call, so that whoever holds it alone knows that all rest.
    pub(super) gate: Arc<RwLock<()>>,
    pub(super) is_over: AtomicBool,
    /// Counts plaintexts, so that no two are equal.
    pub(super) plaintexts: AtomicU64,
    /// Counts names of keys.
    pub(super) names: AtomicU64,
    /// Keys that somebody was told exist, the newest last.
    pub(super) keys: Mutex<VecDeque<String>>,
}

/// Workers, resting or not.
pub(super) struct Workload {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

/// All workers rest as long as this lives.
pub(super) struct Rest(#[expect(dead_code, reason = "held")] OwnedRwLockWriteGuard<()>);

impl Workload {
    /// Gives the usual roles, and starts the workers. They rest until the answer is dropped.
    ///
    /// # Errors
    /// If a certificate cannot be made.
    pub(super) async fn begin(cluster: &Cluster, seed: u64) -> Result<(Self, Rest)> {
        let shared = Arc::new(Shared {
            recorder: Recorder::default(),
            gate: Arc::default(),
            is_over: AtomicBool::new(false),
            plaintexts: AtomicU64::new(0),
            names: AtomicU64::new(0),
            keys: Mutex::default(),
        });
        let rest = Rest(shared.gate.clone().write_owned().await);
        let mut workers = JoinSet::new();
        for node in NODES {
            let callers = callers_from(cluster, node, &shared.recorder)?;
            for number in 0..WORKERS_PER_NODE {
                let worker = Worker {
                    shared: shared.clone(),
                    draws: Draws::of_worker(seed, node * WORKERS_PER_NODE + number),
                    callers: callers.clone(),
                };
                workers.spawn(worker.run());
            }
        }
        let admin = caller(cluster, "admin", None, &shared.recorder)?;
        for (principal, keyring, role) in [
            ("ops", "demo", Role::Operator),
            ("ops", "pay", Role::Operator),
            ("app", "pay", Role::User),
            ("guest", "demo", Role::User),
        ] {
            let right = Right {
                principal: principal.to_owned(),
                keyring: keyring.to_owned(),
                role,
            };
            admin.call(Asked::Grant(right)).await;
        }
        Ok((Self { shared, workers }, rest))
    }

    /// Waits until no call is under way, and lets none begin.
    pub(super) async fn rest(&self) -> Rest {
        Rest(self.shared.gate.clone().write_owned().await)
    }

    /// The history.
    pub(super) fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Waits until so many calls more were answered for good.
    ///
    /// # Errors
    /// If that takes longer than 20 seconds.
    pub(super) async fn settles(&self, calls: usize) -> Result<()> {
        let begun = self.recorder().look(|history| history.calls.len());
        let settled = |history: &History| {
            let new = history.calls.iter().skip(begun);
            new.filter(|call| call.is_settled()).count()
        };
        crate::real::until(&format!("{calls} calls that are answered"), async || {
            (self.recorder().look(settled) >= calls).then_some(())
        })
        .await
    }

    /// Ends the workers.
    ///
    /// # Errors
    /// If one panicked.
    pub(super) async fn end(mut self) -> Result<History> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        while let Some(worker) = self.workers.join_next().await {
            worker?;
        }
        Ok(self.shared.recorder.history())
    }
}

/// A principal's caller of one node, or of all.
///
/// # Errors
/// If its certificate cannot be made.
pub(super) fn caller(
    cluster: &Cluster,
    principal: &str,
    node: Option<u64>,
    recorder: &Recorder,
) -> Result<Caller> {
    let client = match node {
        Some(node) => cluster.client_at(principal, node)?,
        None => cluster.client(principal)?,
    };
    Ok(Caller {
        principal: principal.to_owned(),
        client,
        recorder: recorder.clone(),
        now: elapsed as Stopwatch,
    })
}

fn callers_from(
    cluster: &Cluster,
    node: u64,
    recorder: &Recorder,
) -> Result<BTreeMap<&'static str, Caller>> {
    let of = |principal: &'static str| {
        let client = cluster.client_from(principal, node)?;
        let caller = Caller {
            principal: principal.to_owned(),
            client: client.with_deadline(CALL_DEADLINE),
            recorder: recorder.clone(),
            now: elapsed as Stopwatch,
        };
        anyhow::Ok((principal, caller))
    };
    PRINCIPALS.into_iter().map(of).collect()
}
