//! The use pipeline: use records wait here until they are committed, and only then is a result released
//! (docs/adr/0002).
//!
//! Group commit: while a batch is being committed the next one fills. A batch costs much more than a record, so that one
//! at a time serves most; where committing takes long because nodes are far apart, the next one does not wait for it. A
//! batch whose answer was lost is proposed again under the same id, and `apply` counts it once.

mod filling;

use crate::error::ServiceError;
use crate::limits::{BATCH_PATIENCE, BATCH_STAGGER, BATCHES_IN_FLIGHT_MAX, RECORDS_WAITING_MAX};
use crate::replica_slot::ReplicaSlot;
use conclave_core::planted::{Bug, is_planted};
use conclave_core::{BatchId, Body, Command, NodeId, Outcome, UseBatch, UseRecord, Verdict};
use conclave_env::Clock;
use conclave_raft::ProposeError;
use filling::{Answered, Company, Filling};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// A record and whoever waits for its verdict.
struct Pending {
    record: UseRecord,
    deadline: Instant,
    verdict: oneshot::Sender<Result<Verdict, ServiceError>>,
}

/// What batches are proposed with.
struct Committer {
    replica: ReplicaSlot,
    clock: Arc<dyn Clock>,
    node: NodeId,
    incarnation: u64,
}

/// Where uses are handed in. Cheap to clone; the pipeline ends when the last one is dropped.
#[derive(Clone)]
pub struct UsePipeline {
    waiting: mpsc::Sender<Pending>,
    recorded: Arc<AtomicU64>,
}

impl UsePipeline {
    /// Starts it; `incarnation` is a number that no other life of the node had. The task ends, with all batches answered, when the last handle is dropped.
    pub fn start(
        replica: ReplicaSlot,
        clock: Arc<dyn Clock>,
        node: NodeId,
        incarnation: u64,
    ) -> (Self, JoinHandle<()>) {
        let (waiting, records) = mpsc::channel(RECORDS_WAITING_MAX);
        let committer = Arc::new(Committer {
            replica,
            clock,
            node,
            incarnation,
        });
        let task = tokio::spawn(run(committer, records));
        (
            Self {
                waiting,
                recorded: Arc::default(),
            },
            task,
        )
    }

    /// Uses recorded since the start.
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Commits one use record. Its result may be released only after [`Verdict::Recorded`].
    ///
    /// # Errors
    /// [`ServiceError::NoQuorum`], [`ServiceError::Storage`], [`ServiceError::Overloaded`]: the result must be dropped.
    pub async fn record(
        &self,
        record: UseRecord,
        deadline: Instant,
    ) -> Result<Verdict, ServiceError> {
        let (verdict, answer) = oneshot::channel();
        self.waiting
            .try_send(Pending {
                record,
                deadline,
                verdict,
            })
            .map_err(|e| match e {
                mpsc::error::TrySendError::Full(_) => ServiceError::Overloaded {
                    what: "use records waiting to be committed",
                },
                mpsc::error::TrySendError::Closed(_) => ServiceError::Stopping,
            })?;
        if is_planted(Bug::ReleaseBeforeCommit) {
            return Ok(Verdict::Recorded(conclave_core::AuditSequence(0)));
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(verdict)) => {
                let verdict = verdict?;
                if matches!(verdict, Verdict::Recorded(_)) {
                    self.recorded.fetch_add(1, Ordering::Relaxed);
                }
                Ok(verdict)
            }
            Ok(Err(_)) => Err(ServiceError::Stopping),
            Err(_) => {
                let why = "none committed the use within the deadline".to_owned();
                Err(ServiceError::NoQuorum { why })
            }
        }
    }
}

async fn run(committer: Arc<Committer>, mut records: mpsc::Receiver<Pending>) {
    let mut batches = JoinSet::new();
    let mut company = Company::default();
    let mut sequence = 0;
    let mut begun = Instant::now();
    loop {
        let first = tokio::select! {
            biased;
            Some(answered) = batches.join_next() => {
                company.note(&answered, records.len());
                continue;
            }
            first = records.recv() => first,
        };
        let Some(first) = first else { break };
        let mut filling = Filling::begin(first);
        // The next batch waits for those under way, but not for long after the last of them has begun.
        while !batches.is_empty() {
            let has_room = batches.len() < BATCHES_IN_FLIGHT_MAX;
            tokio::select! {
                biased;
                Some(answered) = batches.join_next() => {
                    company.note(&answered, records.len() + 1);
                }
                () = sleep_until(begun + BATCH_STAGGER), if has_room => break,
            }
        }
        company.gather(&mut filling, &mut records).await;
        filling.take_waiting(&mut records);
        begun = Instant::now();
        let (committer, number) = (committer.clone(), sequence);
        sequence += 1;
        batches.spawn(async move {
            let records = filling.batch.len();
            committer.commit(number, filling.batch).await;
            let took = begun.elapsed();
            Answered { records, took }
        });
    }
    while batches.join_next().await.is_some() {}
}

impl Committer {
    async fn commit(&self, sequence: u64, batch: Vec<Pending>) {
        let latest = batch.iter().map(|pending| pending.deadline).max();
        let patience = Instant::now() + BATCH_PATIENCE;
        let deadline = latest.map_or(patience, |latest| latest.min(patience));
        let (records, waiting): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|pending| (pending.record, pending.verdict))
            .unzip();
        let answer = self.propose(sequence, records, deadline).await;
        // Whoever stopped waiting has dropped its result, so nobody minds that its verdict goes nowhere.
        match answer {
            Ok(verdicts) if verdicts.len() == waiting.len() => {
                for (waiter, verdict) in waiting.into_iter().zip(verdicts) {
                    drop(waiter.send(Ok(verdict)));
                }
            }
            Ok(_) => answer_all(waiting, &ServiceError::Outdated),
            Err(error) => answer_all(waiting, &error),
        }
    }

    async fn propose(
        &self,
        sequence: u64,
        records: Vec<UseRecord>,
        deadline: Instant,
    ) -> Result<Vec<Verdict>, ServiceError> {
        let id = BatchId {
            incarnation: self.incarnation,
            sequence,
        };
        let (node, time) = (self.node, self.clock.now());
        let mut command = Command {
            node,
            time,
            body: Body::Uses(UseBatch { id, records }),
        };
        let mut pause = Duration::from_millis(10);
        loop {
            let why = match self.replica.get()?.propose(&command, deadline).await {
                Ok(Outcome::Verdicts(verdicts)) => return Ok(verdicts),
                Ok(Outcome::BatchRefused) => {
                    let why = "the batch came too late".to_owned();
                    return Err(ServiceError::Unknown { why });
                }
                Ok(Outcome::None | Outcome::Written(_)) => {
                    return Err(ServiceError::Outdated);
                }
                Err(ProposeError::NotProposed { why }) => {
                    return Err(ServiceError::NoQuorum { why });
                }
                Err(ProposeError::Stopped { fault }) => {
                    return Err(ServiceError::Storage { fault });
                }
                Err(ProposeError::Unknown { why }) => why,
            };
            if Instant::now() + pause >= deadline {
                return Err(ServiceError::NoQuorum { why });
            }
            if is_planted(Bug::ProposeTwice)
                && let Body::Uses(batch) = &mut command.body
            {
                batch.id.sequence += 1 << 32;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

fn answer_all(waiting: Vec<oneshot::Sender<Result<Verdict, ServiceError>>>, error: &ServiceError) {
    for waiter in waiting {
        drop(waiter.send(Err(error.clone())));
    }
}
