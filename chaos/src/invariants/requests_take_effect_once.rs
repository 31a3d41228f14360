//! A request id takes effect once: a write repeated under it is done once, and each attempt at a use is counted once
//! (P2; design of request memory in `core/src/state/requests.rs` and of batch memory in `batches.rs`).

use super::Invariant;
use crate::evidence::Evidence;
use std::collections::BTreeMap;

/// After so long, by the log's own time, the log forgets a write's request id.
const MEMORY_MS: u64 = 600_000;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "requests_take_effect_once",
    promise: "P1, P2",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut seen = BTreeMap::new();
    for leaf in &evidence.leaves {
        let record = &leaf.record;
        if record.request_id.is_empty() || record.authentication == "node" || !leaf.is_allowed() {
            continue;
        }
        // A share that is submitted once more is recorded once more, since it may count for another attempt.
        if record.operation == "SubmitShare" {
            continue;
        }
        // A use may be attempted several times, each of which may have been recorded before its answer was lost; and
        // a batch is recorded once for each version that it touches.
        let attempt = if leaf.is_use() { record.attempt } else { 0 };
        let version = if leaf.is_use() { record.version } else { 0 };
        let key = if leaf.is_use() {
            record.key.as_str()
        } else {
            ""
        };
        // A ceremony that is held once more gives other shares, of another set, which the record names: each is recorded once.
        let set = match record.operation.as_str() {
            "InitCustody" => record.detail.as_str(),
            _ => "",
        };
        let name = (
            &record.principal,
            &record.request_id,
            &record.operation,
            attempt,
            key,
            version,
            set,
        );
        let Some((earlier, time_ms)) = seen.insert(name, (record.sequence, record.time_ms)) else {
            continue;
        };
        let is_forgotten = !leaf.is_use() && record.time_ms >= time_ms + MEMORY_MS;
        if !is_forgotten {
            broken.push(format!(
                "{} by {}, request {} attempt {attempt}, is recorded twice: {earlier} and {}",
                record.operation,
                record.principal,
                hex::encode(&record.request_id),
                record.sequence
            ));
        }
    }
    broken
}
