//! [`Replica::erase`]: what was destroyed leaves the disk of this node.

use crate::error::EraseError;
use crate::limits::{PURGE_PATIENCE, SNAPSHOT_ASKED_EVERY, SNAPSHOT_PATIENCE};
use crate::log::ENTRIES;
use crate::replica::Replica;
use crate::status::Role;
use crate::types::{LogId, Types};
use conclave_core::{LogIndex, Revision};
use conclave_env::StoreError;
use openraft::RaftMetrics;
use openraft::async_runtime::WatchReceiver;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

fn index(log_id: Option<LogId>) -> u64 {
    log_id.map_or(0, |id| id.index)
}

fn unfinished(why: &str) -> EraseError {
    EraseError::Unfinished {
        why: why.to_owned(),
    }
}

impl Replica {
    /// Erases from this node's disk whatever was destroyed up to `through`, which the node must have applied: from the
    /// state, from its snapshots and from the log. When this returns, no file of the node holds it.
    ///
    /// The log is purged up to there whatever was to be kept for nodes that lag, which are then sent a snapshot. A
    /// leader that cannot purge it, since a node that does not answer lacks these entries, hands over leadership.
    ///
    /// # Errors
    /// [`EraseError::Unfinished`]: ask again. [`EraseError::Storage`] as the disk has them.
    pub async fn erase(&self, through: Revision) -> Result<(), EraseError> {
        let through = LogIndex(through.0);
        if index(self.metrics(|it| it.purged)) < through.0 {
            self.purge(through).await?;
        }
        let core = self.core();
        // One that is on its way holds what was destroyed since it was taken.
        core.erasing.send_replace(through);
        let arriving = timeout(PURGE_PATIENCE, core.arriving.lock()).await;
        let _nothing_arrives = arriving.map_err(|_| unfinished("a snapshot is arriving"))?;
        core.machine.erase(through).await?;
        let erased = core.log().erase(ENTRIES).await;
        erased.inspect_err(|error: &StoreError| core.log().note(error))?;
        Ok(())
    }

    /// Purges the log up to a snapshot that has applied `through`.
    async fn purge(&self, through: LogIndex) -> Result<(), EraseError> {
        let snapshot = self.snapshot_behind(through).await;
        let snapshot = snapshot.ok_or_else(|| unfinished("the snapshot is not taken yet"))?;
        drop(self.core().raft.trigger().purge_log(snapshot).await);
        let is_purged = |it: &RaftMetrics<Types>| index(it.purged) >= through.0;
        if self.wait_for(PURGE_PATIENCE, is_purged).await.is_some() {
            return Ok(());
        }
        // A leader keeps what it is sending to others, and one that does not answer may be away for long. Whoever
        // follows keeps nothing.
        if self.status().role == Role::Leader {
            self.transfer_leadership(None).await;
        }
        // openraft takes up a purge that had to wait only when more is asked for: next time, up to a newer snapshot.
        self.trigger_snapshot().await;
        Err(unfinished(
            "the log is not purged yet, since another node lacks what it holds",
        ))
    }

    /// The index of the newest snapshot, once that has applied `through`; `None` if it takes too long.
    async fn snapshot_behind(&self, through: LogIndex) -> Option<u64> {
        let is_behind = |it: &RaftMetrics<Types>| index(it.snapshot) >= through.0;
        let deadline = Instant::now() + SNAPSHOT_PATIENCE;
        while !self.metrics(is_behind) {
            // One that is under way may be of before, and then another is needed.
            self.trigger_snapshot().await;
            let taken = self.wait_for(SNAPSHOT_ASKED_EVERY, is_behind).await;
            if taken.is_none() && Instant::now() >= deadline {
                return None;
            }
        }
        Some(self.metrics(|it| index(it.snapshot)))
    }

    async fn wait_for(
        &self,
        within: Duration,
        is_so: impl Fn(&RaftMetrics<Types>) -> bool,
    ) -> Option<()> {
        let deadline = Instant::now() + within;
        let mut metrics = self.core().raft.metrics();
        while !is_so(&metrics.borrow_watched()) {
            timeout_at(deadline, metrics.changed()).await.ok()?.ok()?;
        }
        Some(())
    }

    fn metrics<T>(&self, look: impl FnOnce(&RaftMetrics<Types>) -> T) -> T {
        look(&self.core().raft.metrics().borrow_watched())
    }
}
