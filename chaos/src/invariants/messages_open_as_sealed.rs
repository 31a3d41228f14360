//! A message, and a registered data key, opens as what was sealed, or not at all; and whoever may open it and asks for it is not told that it is
//! damaged.

use super::Invariant;
use crate::evidence::Evidence;
use crate::history::{Answer, Asked, MessageId};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "messages_open_as_sealed",
    promise: "P2",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let messages = &evidence.history.messages;
    let mut broken = Vec::new();
    for call in &evidence.history.calls {
        match (&call.asked, call.answer()) {
            (Asked::Decrypt { messages: asked }, Some(Answer::Opened(items))) => {
                for (MessageId(id), item) in asked.iter().zip(items) {
                    let message = &messages[*id];
                    let problem = match item {
                        Ok(opened) if *opened == message.plaintext => continue,
                        Ok(_) => "opened as something else",
                        Err(reason) if is_damage(reason) => "was called damaged",
                        Err(_) => continue,
                    };
                    broken.push(format!(
                        "message {id} under version {} of {} {problem}",
                        message.version, message.key
                    ));
                }
            }
            (Asked::OpenDataKey(place), Some(Answer::Opened(items))) => {
                let data_key = &evidence.history.data_keys[place.0];
                let same =
                    |item: &Result<_, _>| item.as_ref().is_ok_and(|it| *it == data_key.plaintext);
                if !items.iter().all(same) {
                    let (id, key) = (hex::encode(&data_key.id), &data_key.key);
                    broken.push(format!("data key {id} of {key} opened as something else"));
                }
            }
            (
                Asked::Decrypt { .. } | Asked::ReEncrypt { .. } | Asked::OpenDataKey(_),
                Some(Answer::Refused(reason)),
            ) if is_damage(reason) => {
                broken.push(format!("{:?} was refused: {reason}", call.asked));
            }
            _ => {}
        }
    }
    broken
}

fn is_damage(reason: &str) -> bool {
    matches!(
        reason,
        "CIPHERTEXT_INVALID" | "MATERIAL_TAMPERED" | "KEY_MISMATCH"
    )
}
