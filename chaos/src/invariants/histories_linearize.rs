//! A second opinion, from the clients' histories alone: each key's calls have an order that respects real time and in
//! which every answer is right (P1). Whatever the log says does not count here.
//!
//! Source: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), with the cache of Lowe, "Testing for
//! Linearizability" (2017). Each key is an object of its own, and linearizability is local (Herlihy and Wing 1990). The
//! search is exponential in the worst case, so that histories are cut and the search is bounded: a key whose search is
//! given up proves nothing.

mod rules;

use super::Invariant;
use crate::evidence::{Evidence, Leaf};
use crate::history::{Answer, Asked, Call, History, KeySeen};
use crate::named::is_alias;
use rules::outcomes;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "histories_linearize",
    promise: "P1",
    check,
};

/// Calls of one key that are looked at.
const CALLS_MAX: usize = 256;
/// Places of the search that are looked at for one key.
const PLACES_MAX: usize = 60_000;

/// A key, or that there is none.
type Object = Option<KeySeen>;

/// One call on one key.
struct Step<'a> {
    call: &'a Call,
    begun: u64,
    /// `None`: nobody knows whether it was done, which may still happen at any time.
    ended: Option<u64>,
    /// The version that an answer names.
    version: Option<u32>,
    /// Of a re-encryption: the version of the new message.
    made: Option<u32>,
}

fn check(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let made = made_by_the_cluster(evidence);
    for (key, steps) in steps_by_key(&evidence.history, &made) {
        if let Some(Outcome::None { deepest }) = search(&steps) {
            let stuck = &steps[deepest].call;
            broken.push(format!(
                "no order of the calls on {key} explains their answers; the search gets no further than {:?} by {} \
                 from {} ms, answered {:?}",
                stuck.asked,
                stuck.principal,
                stuck.begun.at.as_millis(),
                stuck.answer()
            ));
        }
    }
    broken
}

/// The versions that the cluster made by itself, of keys with a rotation period, as rotations that nobody knows of: how
/// many there were the log says, and nothing else. They can have been made at any time after the first period was asked for.
fn made_by_the_cluster(evidence: &Evidence) -> Vec<Call> {
    let made = |leaf: &&Leaf| {
        let record = &leaf.record;
        record.operation == "RotateKey" && record.authentication == "node" && leaf.is_allowed()
    };
    let calls = &evidence.history.calls;
    let rotation = |leaf: &Leaf| {
        let key = &leaf.record.key;
        let period =
            |call: &&Call| matches!(&call.asked, Asked::SetRotation { key: its, .. } if its == key);
        Some(Call {
            principal: "the cluster".to_owned(),
            request: Vec::new(),
            asked: Asked::RotateKey { key: key.clone() },
            begun: calls.iter().find(period)?.begun,
            ended: None,
        })
    };
    let leaves = evidence.leaves.iter().filter(made);
    leaves.filter_map(rotation).collect()
}

fn steps_by_key<'a>(history: &'a History, made: &'a [Call]) -> BTreeMap<&'a str, Vec<Step<'a>>> {
    let mut steps: BTreeMap<&str, Vec<Step<'_>>> = BTreeMap::new();
    let mut all: Vec<&Call> = history.calls.iter().chain(made).collect();
    all.sort_by_key(|call| call.begun.order);
    for call in all {
        for (key, version, made) in touched(call, history) {
            let ended = call.ended.as_ref().filter(|_| call.is_settled());
            let known = ended.map(|(moment, _)| moment.order);
            if known.is_none() && !call.asked.is_write() {
                continue; // It changes nothing and says nothing.
            }
            steps.entry(key).or_default().push(Step {
                call,
                begun: call.begun.order,
                ended: known,
                version,
                made,
            });
        }
    }
    // A key that has a date changes without a call.
    for call in &history.calls {
        if let Asked::CreateDatedKey { key, .. } = &call.asked {
            steps.remove(key.as_str());
        }
    }
    steps.values_mut().for_each(cut);
    steps
}

/// Cuts a long history. What was still under way at the cut may have seen what is cut off: such a write becomes one that
/// nobody knows of, anything else goes.
fn cut(steps: &mut Vec<Step<'_>>) {
    let Some(end) = steps.get(CALLS_MAX).map(|step| step.begun) else {
        return;
    };
    steps.truncate(CALLS_MAX);
    let is_over = |step: &Step<'_>| step.ended.is_some_and(|ended| ended < end);
    steps.retain(|step| is_over(step) || step.call.asked.is_write());
    for step in steps.iter_mut() {
        step.ended = step.ended.filter(|ended| *ended < end);
    }
}

/// The keys of a call, with the version that its answer names.
fn touched<'a>(call: &'a Call, history: &'a History) -> Vec<(&'a str, Option<u32>, Option<u32>)> {
    let given = |answer: Option<&Answer>| match answer {
        Some(Answer::Sealed(given)) => given.first().map(|id| history.messages[id.0].version),
        _ => None,
    };
    let denied =
        matches!(call.answer(), Some(Answer::Refused(reason)) if reason == "PERMISSION_DENIED");
    if denied {
        return Vec::new();
    }
    match &call.asked {
        Asked::CreateKey { key, .. }
        | Asked::CreateDatedKey { key, .. }
        | Asked::RotateKey { key }
        | Asked::Transition { key, .. }
        | Asked::Destroy { key, .. }
        | Asked::SetRotation { key, .. }
        | Asked::GetKey { key } => vec![(key, None, None)],
        // Where an alias leads is no part of the key.
        Asked::Encrypt { key, .. } if is_alias(key) => Vec::new(),
        Asked::Encrypt { key, .. } | Asked::DataKey { key } => {
            vec![(key, given(call.answer()), None)]
        }
        Asked::Prove { key, .. } => {
            let version = match call.answer() {
                Some(Answer::Proved(id)) => Some(history.proofs[id.0].version),
                _ => None,
            };
            vec![(key, version, None)]
        }
        Asked::Check { proof, .. } => {
            let proof = &history.proofs[proof.0];
            vec![(&proof.key, Some(proof.version), None)]
        }
        Asked::ReEncrypt { message } => {
            let source = &history.messages[message.0];
            vec![(&source.key, Some(source.version), given(call.answer()))]
        }
        Asked::Decrypt { messages } => {
            let Some(Answer::Opened(items)) = call.answer() else {
                return Vec::new();
            };
            let opened = messages.iter().zip(items).filter(|(_, item)| item.is_ok());
            let opened = opened.map(|(id, _)| &history.messages[id.0]);
            opened
                .map(|it| (it.key.as_str(), Some(it.version), None))
                .collect()
        }
        // Which version wraps a data key is not always answered; secrets are `secrets_are_alike`'s.
        Asked::Share { .. }
        | Asked::Register { .. }
        | Asked::OpenDataKey(_)
        | Asked::DeleteDataKey(_)
        | Asked::SetAlias { .. }
        | Asked::DeleteAlias { .. }
        | Asked::ProveRecord { .. }
        | Asked::Grant(_)
        | Asked::Revoke(_)
        | Asked::Random
        | Asked::ReadRoot => Vec::new(),
    }
}

enum Outcome {
    Found,
    /// There is no order; the search got as far as the step of this place.
    None {
        deepest: usize,
    },
}

/// Where the search stands: which steps are placed, and what the key is then.
#[derive(Clone)]
struct Place {
    placed: Vec<bool>,
    count: usize,
    object: Object,
}

/// `None`: given up.
fn search(steps: &[Step<'_>]) -> Option<Outcome> {
    let mut seen: BTreeSet<(Vec<bool>, String)> = BTreeSet::new();
    let start = Place {
        placed: vec![false; steps.len()],
        count: 0,
        object: None,
    };
    let (mut stack, mut deepest) = (vec![start], 0);
    while let Some(place) = stack.pop() {
        let open = |index: &usize| !place.placed[*index];
        let limit = (0..steps.len())
            .filter(open)
            .filter_map(|index| steps[index].ended)
            .min();
        let Some(limit) = limit else {
            return Some(Outcome::Found); // What is left may never have happened.
        };
        let first =
            (0..steps.len()).find(|index| open(index) && steps[*index].ended == Some(limit));
        deepest = deepest.max(first.unwrap_or(0));
        for index in (0..steps.len()).rev().filter(open) {
            if steps[index].begun > limit {
                continue;
            }
            if let Some(object) = outcomes(&steps[index], &place.object) {
                let mut next = place.clone();
                next.placed[index] = true;
                next.count += 1;
                next.object = object;
                if seen.insert((next.placed.clone(), format!("{:?}", next.object))) {
                    stack.push(next);
                }
            }
        }
        if seen.len() > PLACES_MAX {
            return None;
        }
    }
    Some(Outcome::None { deepest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Recorder, Sealed};
    use conclave_core::{KeyState, Transition};
    use std::time::Duration;

    fn judge(recorder: &Recorder) -> Vec<String> {
        let evidence = Evidence {
            history: recorder.history(),
            ..Evidence::default()
        };
        check(&evidence)
    }

    fn created(recorder: &Recorder) -> KeySeen {
        let seen = KeySeen {
            state: KeyState::Active,
            primary: 1,
            versions: BTreeMap::from([(1, KeyState::Active)]),
        };
        let asked = Asked::CreateKey {
            key: "a/b".to_owned(),
            later: false,
        };
        let call = recorder.begin(Duration::ZERO, "admin", &[1], asked);
        recorder.end(Duration::ZERO, call, Answer::Key(seen.clone()));
        seen
    }

    fn suspend() -> Asked {
        Asked::Transition {
            key: "a/b".to_owned(),
            version: None,
            transition: Transition::Suspend,
        }
    }

    fn encrypt() -> Asked {
        Asked::Encrypt {
            key: "a/b".to_owned(),
            version: None,
            plaintexts: vec![vec![1]],
        }
    }

    fn sealed() -> Vec<Sealed> {
        vec![Sealed {
            key: "a/b".to_owned(),
            version: 1,
            plaintext: vec![1],
            ciphertext: vec![2],
        }]
    }

    #[test]
    fn an_encrypt_behind_a_suspend_is_found() {
        let recorder = Recorder::default();
        let seen = created(&recorder);
        let call = recorder.begin(Duration::ZERO, "ops", &[2], suspend());
        let suspended = KeySeen {
            state: KeyState::Suspended,
            ..seen
        };
        recorder.end(Duration::ZERO, call, Answer::Key(suspended));
        let call = recorder.begin(Duration::ZERO, "app", &[3], encrypt());
        recorder.end_sealed(Duration::ZERO, call, sealed());
        assert_eq!(judge(&recorder).len(), 1);
    }

    #[test]
    fn what_overlaps_may_go_either_way_and_what_is_unknown_may_happen_later() {
        let recorder = Recorder::default();
        created(&recorder);
        let suspending = recorder.begin(Duration::ZERO, "ops", &[2], suspend());
        let call = recorder.begin(Duration::ZERO, "app", &[3], encrypt());
        recorder.end_sealed(Duration::ZERO, call, sealed());
        recorder.end(
            Duration::ZERO,
            suspending,
            Answer::Unknown("NO_QUORUM".to_owned()),
        );
        let call = recorder.begin(Duration::ZERO, "app", &[4], encrypt());
        recorder.end_sealed(Duration::ZERO, call, sealed());
        let call = recorder.begin(Duration::ZERO, "app", &[5], encrypt());
        recorder.end(
            Duration::ZERO,
            call,
            Answer::Refused("KEY_STATE".to_owned()),
        );
        assert_eq!(judge(&recorder), Vec::<String>::new());
        let call = recorder.begin(Duration::ZERO, "app", &[6], encrypt());
        recorder.end_sealed(Duration::ZERO, call, sealed());
        assert_eq!(judge(&recorder).len(), 1, "nobody resumed it");
    }
}
