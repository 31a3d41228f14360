//! Election safety: whoever leads under a leader's id (a term and a node) does so once, in one life. Elsewhere in the
//! literature there is one leader a term (Ongaro, "Consensus: Bridging Theory and Practice" (2014), figure 3.2);
//! openraft's order of ids lets a greater id of the same term take over, as a greater term would.

use super::broken;
use crate::invariants::Violation;
use std::collections::BTreeMap;

/// Who led, and in which life.
#[derive(Default)]
pub struct LeaderIdsAreUsedOnce(BTreeMap<(u64, u64), u64>);

impl LeaderIdsAreUsedOnce {
    /// A node says that it leads. Whether it is the first time under this id.
    ///
    /// # Errors
    /// If it did so in an earlier life.
    pub fn leads(&mut self, node: u64, term: u64, life: u64) -> Result<bool, Violation> {
        match self.0.insert((term, node), life) {
            None => Ok(true),
            Some(earlier) if earlier == life => Ok(false),
            Some(earlier) => Err(broken(
                "leader_ids_are_used_once",
                "P2",
                format!("node {node} leads term {term} in its lives {earlier} and {life}"),
            )),
        }
    }

    /// The greatest id that anybody led under.
    pub fn greatest(&self) -> (u64, u64) {
        self.0
            .last_key_value()
            .map(|(id, _)| *id)
            .unwrap_or_default()
    }

    /// How many ids had a leader.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
