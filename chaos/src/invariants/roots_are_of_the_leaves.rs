//! The root that a node names for a size of the audit log is that of RFC 6962 section 2.1 over the leaves (P5),
//! computed here a second time.

use super::Invariant;
use crate::evidence::Evidence;
use crate::history::Answer;
use crate::merkle::{leaf_hash, root_of};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "roots_are_of_the_leaves",
    promise: "P5",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let hashes: Vec<[u8; 32]> = evidence
        .leaves
        .iter()
        .map(|leaf| leaf_hash(&leaf.bytes))
        .collect();
    let mut broken = Vec::new();
    for call in &evidence.history.calls {
        let Some(Answer::Root { size, root }) = call.answer() else {
            continue;
        };
        let count = usize::try_from(*size).unwrap_or(usize::MAX);
        let right = hashes.get(..count).map(root_of);
        if right.as_ref().map(<[u8; 32]>::as_slice) != Some(root.as_slice()) {
            broken.push(format!(
                "the root of {size} records was said to be {}, and is not",
                hex::encode(root)
            ));
        }
    }
    broken
}
