//! A refusal that a client was given is in the log, with the same reason, and was committed before it was given: a
//! follower that lags never refuses wrongly (P1). That the reason was right at its place is `rules_hold_in_place`.

#![expect(clippy::wildcard_enum_match_arm, reason = "few calls share a record")]

use super::Invariant;
use crate::evidence::{Evidence, Leaf};
use crate::history::{Answer, Asked, Call};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "refusals_are_right",
    promise: "P1",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for call in &evidence.history.calls {
        let (Some(operation), Some((moment, Answer::Refused(reason)))) =
            (call.asked.operation(), &call.ended)
        else {
            continue;
        };
        if let Asked::OpenDataKey(place) = &call.asked
            && reason == "DATA_KEY_NOT_FOUND"
        {
            // Whoever asks for what is not there uses no key. It must have been there, and have been deleted.
            let id = &evidence.history.data_keys[place.0].id;
            let deleted = |leaf: &Leaf| {
                leaf.is_allowed()
                    && leaf.record.operation == "DeleteDataKey"
                    && leaf.record.data_key_id == *id
                    && leaf.applied.is_none_or(|applied| applied <= moment.at)
            };
            if !evidence.leaves.iter().any(deleted) {
                let id = hex::encode(id);
                broken.push(format!(
                    "data key {id} was not found, and nobody deleted it"
                ));
            }
            continue;
        }
        let fits = |leaf: &&Leaf| {
            let record = &leaf.record;
            !leaf.is_allowed()
                && record.operation == operation
                && record.principal == call.principal
                && record.reason == *reason
                && concerns(call, leaf, evidence)
                && leaf.applied.is_none_or(|applied| applied <= moment.at)
        };
        if !evidence.leaves.iter().any(|leaf| fits(&leaf)) {
            broken.push(format!(
                "{operation} by {}, request {}, was refused with {reason} at {} ms, and the log has no such refusal",
                call.principal,
                hex::encode(&call.request),
                moment.at.as_millis()
            ));
        }
    }
    broken
}

/// Equal refusals of uses are one record, under the request id of the first.
fn concerns(call: &Call, leaf: &Leaf, evidence: &Evidence) -> bool {
    let record = &leaf.record;
    match &call.asked {
        Asked::Encrypt { key, .. }
        | Asked::DataKey { key }
        | Asked::Register { key }
        | Asked::Share { key, .. }
        | Asked::Prove { key, .. } => record.key == *key || record.alias == *key,
        Asked::OpenDataKey(place) => evidence.history.data_keys[place.0].key == record.key,
        Asked::Check { proof, .. } => evidence.history.proofs[proof.0].key == record.key,
        Asked::Decrypt { messages } => messages
            .iter()
            .any(|id| evidence.history.messages[id.0].key == record.key),
        Asked::ReEncrypt { message } => evidence.history.messages[message.0].key == record.key,
        Asked::Random => true,
        _ => record.request_id == call.request,
    }
}
