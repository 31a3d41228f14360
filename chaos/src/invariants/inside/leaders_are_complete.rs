//! Leader completeness: a new leader's log holds all that was committed before (Ongaro 2014, figure 3.2).

use super::broken;
use crate::invariants::Violation;
use std::collections::BTreeMap;

/// A leader's term and id, in openraft's order.
type LeaderId = (u64, u64);

/// How far the log was committed, and under which leader at most.
#[derive(Default)]
pub struct LeadersAreComplete(BTreeMap<LeaderId, u64>);

impl LeadersAreComplete {
    /// Entries up to `index` are committed, and nobody has led under an id greater than `leader` yet.
    pub fn committed(&mut self, index: u64, leader: LeaderId) {
        let known = self.0.entry(leader).or_default();
        *known = index.max(*known);
    }

    /// A node begins to lead with a log that ends at `last_log`.
    ///
    /// # Errors
    /// If it lacks what was committed under lesser leaders.
    pub fn elected(&self, leader: LeaderId, last_log: u64) -> Result<(), Violation> {
        let needed = self.0.range(..leader).map(|(_, index)| *index).max();
        match needed {
            Some(needed) if last_log < needed => Err(broken(
                "leaders_are_complete",
                "P2",
                format!(
                    "node {} leads term {} with a log to {last_log}, and {needed} was committed",
                    leader.1, leader.0
                ),
            )),
            _ => Ok(()),
        }
    }
}
