//! A read sees a state that the key had at some place of the log between the read's beginning and its end: all that
//! was acknowledged before it began, and nothing that was not committed when it ended (P1; Herlihy and Wing 1990). The
//! log gives the order, so that the check takes linear time.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a read has few answers of its own"
)]

use super::Invariant;
use crate::evidence::{Evidence, Leaf};
use crate::history::{Answer, Asked, KeySeen};
use crate::model::Model;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "reads_are_linearizable",
    promise: "P1",
    check,
};

/// What a key was from a record on.
type Story = Vec<(u64, KeySeen)>;

fn check(evidence: &Evidence) -> Vec<String> {
    let stories = stories(evidence);
    let floors = Floors::of(evidence);
    let mut broken = Vec::new();
    for call in &evidence.history.calls {
        let (Asked::GetKey { key }, Some((ended, answer))) = (&call.asked, &call.ended) else {
            continue;
        };
        let story = stories.get(key.as_str()).map_or(&[][..], Vec::as_slice);
        let floor = floors.before(call.begun.order);
        let ceiling = committed_by(&evidence.leaves, ended.at);
        let fits = match answer {
            Answer::Key(seen) => was(story, seen, floor, ceiling),
            // There was a moment at which the key was not there.
            Answer::Refused(reason) if reason == "KEY_NOT_FOUND" => story
                .first()
                .is_none_or(|(created, _)| floor.is_none_or(|floor| *created > floor)),
            _ => true,
        };
        if !fits {
            broken.push(format!(
                "a read of {key} by {} from {} to {} ms saw {answer:?}, which it was not between records {floor:?} and \
                 {ceiling:?}",
                call.principal,
                call.begun.at.as_millis(),
                ended.at.as_millis()
            ));
        }
    }
    broken
}

/// Whether the key was as seen at a place that is not before `floor` and not behind `ceiling`.
fn was(story: &[(u64, KeySeen)], seen: &KeySeen, floor: Option<u64>, ceiling: Option<u64>) -> bool {
    let ends = story
        .iter()
        .skip(1)
        .map(|(from, _)| Some(*from))
        .chain([None]);
    story.iter().zip(ends).any(|((from, key), until)| {
        // It was so from `from` up to, and without, `until`.
        let not_over = until.is_none_or(|until| floor.is_none_or(|floor| until > floor));
        let begun = ceiling.is_none_or(|ceiling| *from <= ceiling);
        key == seen && not_over && begun
    })
}

fn stories(evidence: &Evidence) -> BTreeMap<&str, Story> {
    let mut model = Model::new(&evidence.admins);
    let mut stories: BTreeMap<&str, Story> = BTreeMap::new();
    for leaf in &evidence.leaves {
        // What breaks the rules is said by rules_hold_in_place.
        let _ = model.follow(leaf, &evidence.history);
        let name = leaf.record.key.as_str();
        let Some(key) = model.keys.get(name).filter(|_| leaf.is_allowed()) else {
            continue;
        };
        let story = stories.entry(name).or_default();
        if story.last().is_none_or(|(_, last)| last != key) {
            story.push((leaf.record.sequence, key.clone()));
        }
    }
    stories
}

/// The last record that had been applied anywhere at `at`; `None`: nobody knows.
fn committed_by(leaves: &[Leaf], at: Duration) -> Option<u64> {
    let known = |leaf: &&Leaf| leaf.applied.is_some_and(|applied| applied <= at);
    leaves
        .iter()
        .rev()
        .find(known)
        .map(|leaf| leaf.record.sequence)
}

/// Up to which record everything had been acknowledged, by the order of moments.
struct Floors(Vec<(u64, u64)>);

impl Floors {
    fn of(evidence: &Evidence) -> Self {
        let by_request = evidence.by_request();
        let mut known: Vec<(u64, u64)> = Vec::new();
        for call in evidence
            .history
            .calls
            .iter()
            .filter(|call| call.asked.is_write())
        {
            let Some(acknowledged) = call.acknowledged() else {
                continue;
            };
            let name = (call.principal.as_str(), call.request.as_slice());
            let leaves = by_request.get(&name).map_or(&[][..], Vec::as_slice);
            let done = leaves.iter().filter(|leaf| leaf.is_allowed());
            if let Some(first) = done.map(|leaf| leaf.record.sequence).min() {
                known.push((acknowledged.order, first));
            }
        }
        known.sort_unstable();
        let mut highest = 0;
        for (_, sequence) in &mut known {
            highest = highest.max(*sequence);
            *sequence = highest;
        }
        Self(known)
    }

    fn before(&self, order: u64) -> Option<u64> {
        let count = self
            .0
            .partition_point(|(acknowledged, _)| *acknowledged < order);
        count
            .checked_sub(1)
            .and_then(|last| self.0.get(last))
            .map(|(_, sequence)| *sequence)
    }
}
