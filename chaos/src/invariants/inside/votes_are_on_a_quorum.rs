//! Who leads has the votes of a majority, each of them durable: a node that forgets its vote could give it twice (Ongaro,
//! "Consensus: Bridging Theory and Practice" (2014), section 3.8; openraft's storage contract).

use super::broken;
use crate::invariants::Violation;

/// Holds a new leader of `term` against the disks: `voters` hold its vote, or a later one, durably.
///
/// # Errors
/// If fewer than a majority of `nodes` do.
pub fn check(node: u64, term: u64, voters: &[u64], nodes: u64) -> Result<(), Violation> {
    let count = u64::try_from(voters.len()).unwrap_or(u64::MAX);
    if count > nodes / 2 {
        return Ok(());
    }
    Err(broken(
        "votes_are_on_a_quorum",
        "P2",
        format!(
            "node {node} leads term {term}, and only nodes {voters:?} hold a vote for it durably"
        ),
    ))
}
