//! What became of a run.

use crate::invariants::Violation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What became of one seed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Nodes.
    pub nodes: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Calls of clients, and how many of them were acknowledged.
    pub calls: u64,
    /// See above.
    pub acknowledged: u64,
    /// Records of the audit log.
    pub records: u64,
    /// Committed entries.
    pub entries: u64,
    /// How often each kind of fault took effect.
    pub faults: BTreeMap<String, u64>,
    /// How often each rare state was reached, and each kind of call was acknowledged.
    pub seen: BTreeMap<String, u64>,
    /// Simulated milliseconds from the last fault's end to the first acknowledged write and use that began after it.
    pub healed_ms: u64,
    /// Hash of the trace, in hexadecimal.
    pub trace: String,
    /// Hash of all bytes on all wires, in hexadecimal.
    pub wire: String,
    /// What was broken; empty if all held.
    pub violations: Vec<Broken>,
    /// The last lines of the trace, if something was broken.
    pub tail: Vec<String>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The property.
    pub invariant: String,
    /// Of docs/architecture.md.
    pub promise: String,
    /// What was seen.
    pub detail: String,
}

impl From<Violation> for Broken {
    fn from(it: Violation) -> Self {
        Self {
            invariant: it.invariant.to_owned(),
            promise: it.promise.to_owned(),
            detail: it.detail,
        }
    }
}

impl Report {
    /// Whether all held.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// How many faults took effect.
    pub fn fault_count(&self) -> u64 {
        self.faults.values().sum()
    }
}
