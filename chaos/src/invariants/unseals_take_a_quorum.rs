//! A node is unsealed by as many different custodians as the threshold says, whose shares it accepted on the record since
//! its last unsealing (P3, P4).
//!
//! A record can be committed long after the node that proposed it has died, so that the log alone does not tell in which
//! life of the node a share counted.

use super::Invariant;
use crate::evidence::Evidence;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "unseals_take_a_quorum",
    promise: "P3, P4",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut counted: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for leaf in evidence.leaves.iter().filter(|leaf| leaf.is_allowed()) {
        let record = &leaf.record;
        let owners = counted.entry(record.node_id).or_default();
        match record.operation.as_str() {
            "SubmitShare" => {
                owners.insert(custodian_of(&record.detail));
            }
            "Unseal" => {
                if owners.len() < evidence.threshold {
                    broken.push(format!(
                        "record {}: node {} was unsealed by {owners:?}, and it takes {}",
                        record.sequence, record.node_id, evidence.threshold
                    ));
                }
                owners.clear();
            }
            // A node that seals itself says so afterwards, when custodians may be at its door again.
            "Seal" if record.authentication == "node" => {}
            "CancelUnseal" | "Seal" | "InitCustody" => owners.clear(),
            _ => {}
        }
    }
    broken
}

/// Reads `share of alice, set …`.
fn custodian_of(detail: &str) -> &str {
    let rest = detail.strip_prefix("share of ").unwrap_or(detail);
    rest.split(',').next().unwrap_or_default()
}
