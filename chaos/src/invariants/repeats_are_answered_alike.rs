//! A write that is sent once more under its request id is answered as it was the first time (P2).

use super::Invariant;
use crate::evidence::Evidence;
use crate::history::Answer;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "repeats_are_answered_alike",
    promise: "P2",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for (call, again) in &evidence.history.repeats {
        let call = &evidence.history.calls[call.0];
        let unknown = matches!(again, Answer::Unknown(_));
        if !unknown && call.answer() != Some(again) {
            broken.push(format!(
                "{:?} by {} was answered {:?}, and {again:?} when it was repeated",
                call.asked,
                call.principal,
                call.answer()
            ));
        }
    }
    broken
}
