//! A node is unsealed by an attempt towards which it accepted, on the record, shares of as many different custodians as
//! the threshold says, which nobody had cancelled, and which had not unsealed it before (P3, P4).

use super::Invariant;
use crate::evidence::Evidence;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "unseals_take_a_quorum",
    promise: "P3, P4",
    check,
};

#[derive(Default)]
struct Attempt<'a> {
    owners: BTreeSet<&'a str>,
    /// By a cancellation, or by the unsealing that it was made for.
    is_over: bool,
}

fn check(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut attempts: BTreeMap<(u64, &str), Attempt<'_>> = BTreeMap::new();
    for leaf in evidence.leaves.iter().filter(|leaf| leaf.is_allowed()) {
        let record = &leaf.record;
        let id = part(&record.detail, "attempt ").unwrap_or_default();
        let attempt = attempts.entry((record.node_id, id)).or_default();
        match record.operation.as_str() {
            "SubmitShare" => {
                attempt.owners.extend(part(&record.detail, "share of "));
            }
            "CancelUnseal" => attempt.is_over = true,
            "Unseal" => {
                let is_enough = attempt.owners.len() >= evidence.threshold;
                let was_over = std::mem::replace(&mut attempt.is_over, true);
                if is_enough && !was_over {
                    continue;
                }
                broken.push(format!(
                    "record {}: node {} was unsealed by {:?}{}, and it takes {}",
                    record.sequence,
                    record.node_id,
                    attempt.owners,
                    if was_over {
                        " in an attempt that was over"
                    } else {
                        ""
                    },
                    evidence.threshold
                ));
            }
            _ => {}
        }
    }
    broken
}

/// Of `share of alice, set …, attempt …`, the part that begins so.
fn part<'a>(detail: &'a str, begin: &str) -> Option<&'a str> {
    detail.split(", ").find_map(|it| it.strip_prefix(begin))
}
