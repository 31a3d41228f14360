//! What a node finds in its log at a start is durable before the node takes part: a process may have ended between a write
//! and its sync, and the next power failure would take what others count on (P2; Raft's persistent state, Ongaro 2014,
//! figure 3.1).

use super::broken;
use crate::invariants::Violation;

/// Looks at a row of the log that was there before the node started.
///
/// # Errors
/// If a power failure now would take it.
pub fn check(node: u64, what: &str, found: &[u8], durable: Option<&[u8]>) -> Result<(), Violation> {
    if durable == Some(found) {
        return Ok(());
    }
    Err(broken(
        "lives_begin_durable",
        "P2",
        format!("node {node} takes part with {what}, which it found and which is not durable"),
    ))
}
