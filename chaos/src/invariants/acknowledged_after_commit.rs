//! Nothing is acknowledged before its record is committed, nor is a record older than its call (P1; Herlihy and Wing,
//! "Linearizability" (1990): an operation takes effect between its invocation and its response).

use super::Invariant;
use crate::evidence::Evidence;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "acknowledged_after_commit",
    promise: "P1",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let by_request = evidence.by_request();
    let mut broken = Vec::new();
    for call in &evidence.history.calls {
        let (Some(operation), Some(acknowledged)) = (call.asked.operation(), call.acknowledged())
        else {
            continue;
        };
        let name = (call.principal.as_str(), call.request.as_slice());
        let Some(leaves) = by_request.get(&name) else {
            continue; // acknowledged_is_recorded says so.
        };
        let allowed: Vec<_> = leaves.iter().filter(|leaf| leaf.is_allowed()).collect();
        // A request may be repeated on purpose, so the first record may be of an earlier call.
        let first_known = allowed.iter().filter_map(|leaf| leaf.applied).min();
        if let Some(first) = first_known
            && first > acknowledged.at
        {
            broken.push(format!(
                "{operation} by {}, request {}, was acknowledged at {} ms, and no node had applied its record before \
                 {} ms",
                call.principal,
                hex::encode(&call.request),
                acknowledged.at.as_millis(),
                first.as_millis(),
            ));
        }
    }
    broken
}
