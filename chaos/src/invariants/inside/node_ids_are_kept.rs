//! A data directory is one node's of one cluster for ever, and no two have one id (ADR 0001).

use super::broken;
use crate::invariants::Violation;
use std::collections::BTreeMap;

/// Whose each disk was when it was first seen to be somebody's.
#[derive(Default)]
pub struct NodeIdsAreKept(BTreeMap<u64, Vec<u8>>);

impl NodeIdsAreKept {
    /// A machine's disk says whose it is.
    ///
    /// # Errors
    /// If it said something else before, or another disk says the same.
    pub fn is(&mut self, machine: u64, identity: &[u8]) -> Result<(), Violation> {
        let known = self.0.entry(machine).or_insert_with(|| identity.to_vec());
        let changed = known != identity;
        let twin = self
            .0
            .iter()
            .find(|(other, it)| **other != machine && *it == identity);
        let problem = match (changed, twin) {
            (false, None) => return Ok(()),
            (true, _) => format!("the disk of machine {machine} became another node's"),
            (false, Some((other, _))) => {
                format!("the disks of machines {machine} and {other} are of one node")
            }
        };
        Err(broken("node_ids_are_kept", "P2", problem))
    }
}
