//! What a replica is told about itself and its cluster.

use crate::error::RaftError;
use crate::limits::{APPEND_ENTRIES_MAX, SNAPSHOT_TRANSFER_MAX};
use crate::types::MemberNode;
use conclave_core::planted::{Bug, is_planted};
use conclave_core::{ClusterId, NodeId};
use openraft::{Config, SnapshotPolicy};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a replica is told about itself and its cluster.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The cluster; must be the one that the data directory was formatted for.
    pub cluster: ClusterId,
    /// This node; must be the one that the data directory was formatted for.
    pub node: NodeId,
    /// The first members, this node among them, the same on every node.
    pub members: BTreeMap<NodeId, MemberNode>,
    /// Whether this node may form the cluster of `members` if it belongs to none yet. Harmless later on, and on
    /// several nodes at once.
    pub initialize: bool,
    /// Between two heartbeats of a leader.
    pub heartbeat_ms: u64,
    /// Shortest silence of the leader after which a node stands for election.
    pub election_timeout_min_ms: u64,
    /// Longest such silence.
    pub election_timeout_max_ms: u64,
    /// Entries from one snapshot to the next.
    pub snapshot_every_entries: u64,
    /// Entries kept behind a snapshot, for nodes that lag a little.
    pub keep_entries: u64,
    /// Steers timeouts. Must differ from start to start, or a restart repeats the timeouts before it.
    pub seed: u64,
}

impl ReplicaConfig {
    pub(crate) fn openraft(&self) -> Result<Arc<Config>, RaftError> {
        if !self.members.contains_key(&self.node) {
            let problem = format!("node {} is not among the members", self.node);
            return Err(RaftError::Config { problem });
        }
        let config = Config {
            cluster_name: self.cluster.to_string(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_timeout_min_ms,
            election_timeout_max: self.election_timeout_max_ms,
            install_snapshot_timeout: u64::try_from(SNAPSHOT_TRANSFER_MAX.as_millis())
                .expect("minutes in milliseconds fit 64 bits"),
            enable_pre_vote: Some(true),
            // A leader may count followers' disks before its own. If it loses its power then, it has lost entries that
            // are committed; leading the same term again, it would put others in their places (docs/adr/0007).
            enable_leader_restore: Some(is_planted(Bug::RestoreLeader)),
            max_payload_entries: APPEND_ENTRIES_MAX,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every_entries),
            max_in_snapshot_log_to_keep: self.keep_entries,
            // A node is sent a snapshot only if the leader no longer has the entries that it lacks.
            replication_lag_threshold: u64::MAX / 2,
            ..Config::default()
        };
        let config = config.validate().map_err(|e| RaftError::Config {
            problem: e.to_string(),
        })?;
        Ok(Arc::new(config))
    }
}
