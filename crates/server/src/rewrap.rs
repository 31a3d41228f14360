//! The job that wraps registered data keys anew. Its place is in the replicated state, as the data keys that are still
//! under another version: whoever takes it up goes on where the one before stopped.

use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::{
    REWRAP_GRACE, REWRAP_PATIENCE, REWRAP_REST_MIN, REWRAPS_FAILED_MAX, REWRAPS_PER_TURN_MAX,
    TICK_INTERVAL,
};
use crate::services::rewrap;
use crate::stopping::pause;
use crate::uses::Chosen;
use conclave_core::{Change, DataKey, DataKeyId, DueRewrap, Refusal, Rewrapped, State};
use conclave_raft::{Replica, Role};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Wraps data keys anew, no faster than the configuration says. The leader does; if it does not (it may be sealed), any
/// other node does after a while, and two that do the same do it once.
pub(crate) async fn rewrap_data_keys(
    context: Arc<NodeContext>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut job = Job {
        left: 0,
        since: Instant::now(),
        failed: BTreeSet::new(),
    };
    let mut rest = TICK_INTERVAL;
    while pause(&mut stopping, rest).await {
        rest = job.turn(&context).await;
    }
}

struct Job {
    /// How many data keys were to be wrapped anew when that last changed.
    left: u64,
    since: Instant,
    /// Those that do not open. They stay where they are.
    failed: BTreeSet<DataKeyId>,
}

/// Data keys of one version, taken out of the state.
struct Batch {
    from: Chosen,
    to: Chosen,
    data_keys: Vec<(DataKeyId, DataKey)>,
}

impl Batch {
    fn of(due: DueRewrap<'_>, failed: &BTreeSet<DataKeyId>, max: usize) -> Option<Self> {
        let to = due.key.info.primary;
        let data_keys = due.data_keys.into_iter();
        let data_keys = data_keys.filter(|(id, _)| !failed.contains(id));
        Some(Self {
            from: Chosen::of_version(due.key, due.from)?,
            to: Chosen::of_version(due.key, to)?,
            data_keys: data_keys
                .map(|(id, it)| (id, it.clone()))
                .take(max)
                .collect(),
        })
    }
}

impl Job {
    /// Does a part of the work, and answers how long to rest.
    async fn turn(&mut self, context: &NodeContext) -> Duration {
        let (Ok(replica), Ok(_)) = (context.replica.get(), context.seal.unsealed()) else {
            return TICK_INTERVAL;
        };
        let left = replica.with_state(State::all_rewraps_left);
        if left != self.left {
            (self.left, self.since) = (left, Instant::now());
        }
        if left == 0 {
            self.failed.clear();
            return TICK_INTERVAL;
        }
        let waits = self.since.elapsed() < REWRAP_GRACE;
        if replica.status().role != Role::Leader && waits {
            return TICK_INTERVAL;
        }
        let rate = context.config.keys.rewraps_per_second();
        let Some(batch) = self.next(&replica, rate) else {
            return TICK_INTERVAL;
        };
        let count = u32::try_from(batch.data_keys.len()).unwrap_or(u32::MAX);
        let (key, from) = (batch.from.name.clone(), batch.from.number);
        if let Err(error) = self.rewrap(context, batch).await {
            tracing::warn!(%key, %from, %error, "data keys were not wrapped anew: tried again");
            return TICK_INTERVAL;
        }
        // One that found nothing to do is over at once.
        (Duration::from_secs(1) * count / rate).max(REWRAP_REST_MIN)
    }

    fn next(&self, replica: &Replica, rate: u32) -> Option<Batch> {
        // At most a second's work at a time.
        let max = usize::try_from(rate).unwrap_or(REWRAPS_PER_TURN_MAX);
        let max = max.min(REWRAPS_PER_TURN_MAX);
        let batch = replica.with_state(|state| {
            let due = state.due_rewrap(max + self.failed.len())?;
            Batch::of(due, &self.failed, max)
        });
        batch.filter(|batch| !batch.data_keys.is_empty())
    }

    async fn rewrap(&mut self, context: &NodeContext, batch: Batch) -> Result<(), ServiceError> {
        let unsealed = context.seal.unsealed()?;
        let (entropy, versions) = (&*context.env.entropy, (&batch.from, &batch.to));
        let mut items = Vec::with_capacity(batch.data_keys.len());
        for (id, data_key) in &batch.data_keys {
            match rewrap(entropy, &unsealed, data_key, versions).await {
                Ok(wrapped) => items.push(Rewrapped {
                    id: *id,
                    from: batch.from.number,
                    wrapped,
                }),
                Err(error @ ServiceError::Tampered { .. }) => self.pass_over(*id, &error),
                Err(error) => return Err(error),
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        let change = Change::RewrapDataKeys {
            name: batch.to.name,
            id: batch.to.id,
            to: batch.to.number,
            items,
        };
        let deadline = Instant::now() + REWRAP_PATIENCE;
        match context.write_as_node(change, deadline).await {
            // Somebody else was quicker, or the key changed.
            Ok(_) | Err(ServiceError::Refused(Refusal::Conflict)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn pass_over(&mut self, id: DataKeyId, error: &ServiceError) {
        tracing::error!(data_key = %id, %error, "a registered data key cannot be wrapped anew");
        if self.failed.len() < REWRAPS_FAILED_MAX {
            self.failed.insert(id);
        }
    }
}
