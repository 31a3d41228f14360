//! An entry that a node applies is durable on a majority: what a power failure of all nodes would leave holds it (P2;
//! Ongaro 2014, section 3.6; openraft's storage contract).

use super::broken;
use crate::invariants::Violation;

/// Holds a newly applied entry against the disks.
///
/// # Errors
/// If fewer than a majority of `nodes` hold it durably.
pub fn check(node: u64, index: u64, holders: &[u64], nodes: u64) -> Result<(), Violation> {
    let needed = nodes / 2 + 1;
    let count = u64::try_from(holders.len()).unwrap_or(u64::MAX);
    if count >= needed {
        return Ok(());
    }
    Err(broken(
        "commits_are_on_a_quorum",
        "P2",
        format!("node {node} applied entry {index}, which is durable on nodes {holders:?} only"),
    ))
}
