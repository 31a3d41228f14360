//! A version's number is given once, and numbers of a key have no holes.

use super::Invariant;
use crate::evidence::Evidence;
use std::collections::BTreeMap;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "versions_are_given_once",
    promise: "P2",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for leaf in evidence.leaves.iter().filter(|leaf| leaf.is_allowed()) {
        let record = &leaf.record;
        let expected = match record.operation.as_str() {
            "CreateKey" => 1,
            "RotateKey" => last.get(record.key.as_str()).map_or(0, |last| last + 1),
            _ => continue,
        };
        if record.version != expected {
            broken.push(format!(
                "{} of {} made version {}, and {expected} was due",
                record.operation, record.key, record.version
            ));
        }
        last.insert(&record.key, record.version);
    }
    broken
}
