//! What must hold whatever befalls the cluster, a file per property. Each names the promise that it guards and its
//! source.
//!
//! [`OUTSIDE`] is judged on [`Evidence`]: the clients' history and the audit log, of simulated and of real clusters
//! alike. The properties of `inside` look into simulated nodes at every step.

mod acknowledged_after_commit;
mod acknowledged_is_recorded;
mod histories_linearize;
pub mod inside;
mod log_is_in_order;
mod messages_open_as_sealed;
mod proofs_verify;
mod reads_are_linearizable;
mod refusals_are_right;
mod repeats_are_answered_alike;
mod requests_take_effect_once;
mod roots_are_of_the_leaves;
mod rules_hold_in_place;
mod secrets_are_alike;
mod unseals_take_a_quorum;
mod versions_are_given_once;

use crate::evidence::Evidence;
use std::fmt;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The property's name: its file.
    pub invariant: &'static str,
    /// Of docs/architecture.md.
    pub promise: &'static str,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.invariant, self.promise, self.detail)
    }
}

/// A property of evidence.
pub struct Invariant {
    /// Its file.
    pub name: &'static str,
    /// What it guards.
    pub promise: &'static str,
    /// Says all that breaks it.
    pub check: fn(&Evidence) -> Vec<String>,
}

/// All properties of evidence.
pub const OUTSIDE: [Invariant; 15] = [
    acknowledged_after_commit::INVARIANT,
    acknowledged_is_recorded::INVARIANT,
    histories_linearize::INVARIANT,
    log_is_in_order::INVARIANT,
    messages_open_as_sealed::INVARIANT,
    proofs_verify::INVARIANT,
    reads_are_linearizable::INVARIANT,
    refusals_are_right::INVARIANT,
    repeats_are_answered_alike::INVARIANT,
    requests_take_effect_once::INVARIANT,
    roots_are_of_the_leaves::INVARIANT,
    rules_hold_in_place::INVARIANT,
    secrets_are_alike::INVARIANT,
    unseals_take_a_quorum::INVARIANT,
    versions_are_given_once::INVARIANT,
];

/// All that the evidence shows to be broken.
pub fn judge_evidence(evidence: &Evidence) -> Vec<Violation> {
    let of = |it: &Invariant| {
        let (invariant, promise) = (it.name, it.promise);
        (it.check)(evidence)
            .into_iter()
            .map(move |detail| Violation {
                invariant,
                promise,
                detail,
            })
    };
    OUTSIDE.iter().flat_map(of).collect()
}
