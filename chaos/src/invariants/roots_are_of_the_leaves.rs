//! The root that a node names for a size of the audit log is that of RFC 6962 section 2.1 over the leaves (P5),
//! computed here a second time; and a record that is proved is the one of its place, under that root.

use super::Invariant;
use crate::evidence::Evidence;
use crate::history::{Answer, Asked, Call};
use crate::merkle::{leaf_hash, root_by_path, root_of};

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
        broken.extend(check_proof(call, evidence, &hashes));
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

fn check_proof(call: &Call, evidence: &Evidence, hashes: &[[u8; 32]]) -> Option<String> {
    let Asked::ProveRecord { sequence } = call.asked else {
        return None;
    };
    let place = usize::try_from(sequence).unwrap_or(usize::MAX);
    let answer = call.answer()?;
    if let Answer::Refused(reason) = answer
        && reason != "PERMISSION_DENIED"
    {
        return Some(format!(
            "record {sequence} is there, and was refused: {reason}"
        ));
    }
    let Answer::Included { size, leaf, path } = answer else {
        return None;
    };
    let count = usize::try_from(*size).unwrap_or(usize::MAX);
    let right = hashes.get(..count).map(root_of);
    let proved = root_by_path(leaf_hash(leaf), place, count, path);
    let is_stored = evidence
        .leaves
        .get(place)
        .is_some_and(|it| it.bytes == *leaf);
    (!is_stored || right.is_none() || proved != right)
        .then(|| format!("the proof of record {sequence} in a log of {size} is none"))
}
