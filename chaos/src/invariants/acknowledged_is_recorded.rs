//! Whatever was acknowledged is in the audit log: an acknowledged write was not lost (P2), and no result of a use left
//! a node without its record (P1, CVE-2026-115357's class).

use super::Invariant;
use crate::evidence::{Evidence, Leaf};
use crate::history::{Answer, Asked, Call, History};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "acknowledged_is_recorded",
    promise: "P1, P2",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let by_request = evidence.by_request();
    let mut broken = Vec::new();
    for call in &evidence.history.calls {
        let (Some(operation), Some(_)) = (call.asked.operation(), call.acknowledged()) else {
            continue;
        };
        let name = (call.principal.as_str(), call.request.as_slice());
        let leaves = by_request.get(&name).map_or(&[][..], Vec::as_slice);
        for (key, version, count) in wanted(call, &evidence.history) {
            let fits = |leaf: &&&Leaf| {
                let record = &leaf.record;
                leaf.is_allowed()
                    && record.operation == operation
                    && (key.is_empty() || record.key == key || record.alias == key)
                    && version.is_none_or(|version| record.version == version)
                    && count.is_none_or(|count| u64::from(record.count) == count)
            };
            if !leaves.iter().any(|leaf| fits(&leaf)) {
                broken.push(format!(
                    "{operation} on {key} by {}, request {}, begun at {} ms, was acknowledged, and the log has no \
                     such record",
                    call.principal,
                    hex::encode(&call.request),
                    call.begun.at.as_millis(),
                ));
            }
        }
    }
    broken
}

/// What records an acknowledged call must have left: key, version and count of items, as far as the answer tells.
fn wanted(call: &Call, history: &History) -> Vec<(String, Option<u32>, Option<u64>)> {
    let Some(answer) = call.answer() else {
        return Vec::new();
    };
    match (&call.asked, answer) {
        (
            Asked::CreateKey { key, .. }
            | Asked::CreateDatedKey { key, .. }
            | Asked::RotateKey { key }
            | Asked::Transition { key, .. }
            | Asked::Destroy { key, .. }
            | Asked::SetRotation { key, .. },
            _,
        ) => vec![(key.clone(), None, None)],
        (Asked::ReEncrypt { message }, _) => {
            let source = &history.messages[message.0];
            vec![(source.key.clone(), Some(source.version), None)]
        }
        (
            Asked::Encrypt {
                key, plaintexts, ..
            },
            Answer::Sealed(given),
        ) => {
            let version = given.first().map(|id| history.messages[id.0].version);
            vec![(key.clone(), version, u64::try_from(plaintexts.len()).ok())]
        }
        (Asked::DataKey { key }, Answer::Sealed(given)) => {
            let version = given.first().map(|id| history.messages[id.0].version);
            vec![(key.clone(), version, Some(1))]
        }
        (Asked::Register { .. }, Answer::Registered(place))
        | (Asked::OpenDataKey(place) | Asked::DeleteDataKey(place), _) => {
            vec![(history.data_keys[place.0].key.clone(), None, Some(1))]
        }
        (Asked::SetAlias { alias, .. } | Asked::DeleteAlias { alias }, _) => {
            vec![(alias.clone(), None, Some(1))]
        }
        (Asked::Prove { key, .. }, Answer::Proved(id)) => {
            vec![(key.clone(), Some(history.proofs[id.0].version), Some(1))]
        }
        (Asked::Share { key, .. }, Answer::Secret { version, .. }) => {
            vec![(key.clone(), Some(*version), Some(1))]
        }
        (Asked::Check { proof, .. }, _) => {
            let proof = &history.proofs[proof.0];
            vec![(proof.key.clone(), Some(proof.version), Some(1))]
        }
        (Asked::Decrypt { messages }, Answer::Opened(items)) => {
            let opened = messages.iter().zip(items).filter(|(_, item)| item.is_ok());
            let source = opened.map(|(id, _)| &history.messages[id.0]);
            source
                .map(|it| (it.key.clone(), Some(it.version), None))
                .collect()
        }
        _ => vec![(String::new(), None, None)],
    }
}
