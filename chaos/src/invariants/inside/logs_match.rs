//! Log matching and state machine safety: entries of one index and leader are one entry on all nodes, and no two nodes
//! apply different entries at one index (Ongaro 2014, figure 3.2).

use super::broken;
use crate::invariants::Violation;
use conclave_core::NodeId;
use conclave_raft::inspect::LogEntry;
use std::collections::BTreeMap;

/// Every entry that was ever written to a log.
#[derive(Default)]
pub struct LogsMatch(BTreeMap<(u64, (u64, NodeId)), u64>);

impl LogsMatch {
    /// A node writes an entry to its log.
    ///
    /// # Errors
    /// If another entry has that index and leader.
    pub fn written(&mut self, node: u64, entry: &LogEntry, hash: u64) -> Result<(), Violation> {
        let (index, leader) = (entry.index.0, entry.leader);
        let known = *self.0.entry((index, leader)).or_insert(hash);
        if known == hash {
            return Ok(());
        }
        Err(broken(
            "logs_match",
            "P2",
            format!(
                "node {node} has another entry at index {index} of leader {} in term {} than others had",
                leader.1, leader.0
            ),
        ))
    }

    /// A node applies an entry whose hash is `hash`, where `committed` is the hash of what was applied there first.
    ///
    /// # Errors
    /// If they differ.
    pub fn applied(node: u64, index: u64, hash: u64, committed: u64) -> Result<(), Violation> {
        if hash == committed {
            return Ok(());
        }
        Err(broken(
            "logs_match",
            "P2",
            format!("node {node} applied another entry at index {index} than others had"),
        ))
    }
}
