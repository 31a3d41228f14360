//! A use that was recorded as allowed was allowed at its place in the log: key, version and caller were as the rules
//! want them (P1). Likewise each change, and each refusal. The rules are told a second time in [`crate::model`].

use super::Invariant;
use crate::evidence::Evidence;
use crate::model::Model;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "rules_hold_in_place",
    promise: "P1",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let mut model = Model::new(&evidence.admins);
    let follow = |leaf| model.follow(leaf, &evidence.history).err();
    evidence.leaves.iter().filter_map(follow).collect()
}
