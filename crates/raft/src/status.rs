//! How a replica is.

use crate::fault::Fault;
use crate::types::{LogId, Types};
use conclave_core::NodeId;
use openraft::async_runtime::WatchReceiver;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{RaftMetrics, ServerState};
use std::sync::Arc;
use tokio::sync::watch;

/// What a node does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Decides the order of commands.
    Leader,
    /// Follows a leader, or waits for one.
    Follower,
    /// Stands for election.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Takes no part: it failed or was shut down.
    Stopped,
}

/// How a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// What it does.
    pub role: Role,
    /// Of its vote.
    pub term: u64,
    /// The node that it holds for the leader.
    pub leader: Option<NodeId>,
    /// Index of the last entry of its log.
    pub last_log: u64,
    /// Index up to which it knows the log to be committed.
    pub committed: u64,
    /// Index up to which it has applied the log.
    pub applied: u64,
    /// Index of its newest snapshot.
    pub snapshot: u64,
    /// Why it stopped, and what to do; `None` while it works.
    pub fault: Option<String>,
}

fn index(log_id: Option<&LogId>) -> u64 {
    log_id.map_or(0, |id| id.index)
}

impl ReplicaStatus {
    pub(crate) fn of(metrics: &RaftMetrics<Types>, fault: Option<String>) -> Self {
        let has_stopped = fault.is_some() || metrics.running_state.is_err();
        let role = match metrics.state {
            _ if has_stopped => Role::Stopped,
            ServerState::Leader => Role::Leader,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Stopped,
        };
        Self {
            role,
            term: metrics.current_term,
            leader: metrics.current_leader.filter(|_| !has_stopped).map(NodeId),
            last_log: metrics.last_log_index.unwrap_or(0),
            committed: index(metrics.local_committed.as_ref()),
            applied: index(metrics.last_applied.as_ref()),
            snapshot: index(metrics.snapshot.as_ref()),
            fault,
        }
    }
}

/// Publishes the status whenever it changes, and takes note of openraft's end. Ends with openraft.
pub(crate) async fn publish(
    mut metrics: WatchReceiverOf<Types, RaftMetrics<Types>>,
    fault: Fault,
    status: Arc<watch::Sender<ReplicaStatus>>,
) {
    let mut faults = fault.subscribe();
    loop {
        {
            let metrics = metrics.borrow_watched();
            if let Err(fatal) = &metrics.running_state {
                fault.set(&fatal.to_string());
            }
            status.send_if_modified(|status| {
                let now = ReplicaStatus::of(&metrics, fault.get());
                let is_new = *status != now;
                *status = now;
                is_new
            });
        }
        let is_running = tokio::select! {
            biased;
            changed = metrics.changed() => changed.is_ok(),
            changed = faults.changed() => changed.is_ok(),
        };
        if !is_running {
            fault.set("replication has ended; the log of this process says why");
            let metrics = metrics.borrow_watched();
            status.send_replace(ReplicaStatus::of(&metrics, fault.get()));
            return;
        }
    }
}
