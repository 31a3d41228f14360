//! Nodes that have applied as much have the same state, and the same audit root, which never goes back (P5): both are
//! what the committed log makes of an empty state.

use super::broken;
use crate::invariants::Violation;
use crate::sim::ledger::Committed;
use conclave_core::State;

/// Holds a node's audit log against the ledger's at the same entry.
///
/// # Errors
/// If they differ.
pub fn check_root(
    node: u64,
    index: u64,
    state: &State,
    committed: &Committed,
) -> Result<(), Violation> {
    let audit = state.audit();
    if audit.size() == committed.audit_size && audit.root() == committed.audit_root {
        return Ok(());
    }
    Err(broken(
        "states_are_equal",
        "P5",
        format!(
            "node {node} has {} audit records at entry {index}, with root {}; the log makes {}, with root {}",
            audit.size(),
            hex::encode(audit.root()),
            committed.audit_size,
            hex::encode(committed.audit_root)
        ),
    ))
}

/// Holds a node's whole state against what the log makes.
///
/// # Errors
/// If they differ.
pub fn check(node: u64, index: u64, state: &State, expected: &State) -> Result<(), Violation> {
    if state == expected {
        return Ok(());
    }
    Err(broken(
        "states_are_equal",
        "P2, P5",
        format!("the state of node {node} at entry {index} is not what the log makes"),
    ))
}
