//! The audit log numbers its records without gaps, and its time never runs backwards whatever the nodes' clocks do
//! (P5).

use super::Invariant;
use crate::evidence::Evidence;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "log_is_in_order",
    promise: "P5",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for (place, leaf) in (0_u64..).zip(&evidence.leaves) {
        if leaf.record.sequence != place {
            broken.push(format!(
                "record {} is where {place} should be",
                leaf.record.sequence
            ));
        }
    }
    for pair in evidence.leaves.windows(2) {
        if let [before, after] = pair
            && after.record.time_ms < before.record.time_ms
        {
            broken.push(format!(
                "record {} is {} ms older than the one before it",
                after.record.sequence,
                before.record.time_ms - after.record.time_ms
            ));
        }
    }
    broken
}
