//! What a call does to a key, and what it is answered.

use super::{Object, Step};
use crate::history::{Answer, Asked, Changed, KeySeen, ProofKind};
use crate::named::purpose_of;
use conclave_core::{KeyState, Purpose, Transition};
use std::collections::BTreeMap;

/// What the key is after a step that is placed here; nothing if its answer would be wrong here.
pub(super) fn outcomes(step: &Step<'_>, object: &Object) -> Option<Object> {
    let unknown = step.ended.is_none();
    let answer = step.call.answer();
    let refused = match answer {
        Some(Answer::Refused(reason)) => Some(reason.as_str()),
        _ => None,
    };
    let right = |allowed: Result<Object, &str>| match (allowed, refused) {
        (Ok(next), None) => match answer {
            Some(Answer::Key(seen)) if !unknown => (next.as_ref() == Some(seen)).then_some(next),
            _ => Some(next),
        },
        (Err(expected), Some(reason)) => (expected == reason).then(|| object.clone()),
        // A write that nobody knows of may have been refused.
        (Err(_), None) if unknown => Some(object.clone()),
        (Ok(_), Some(_)) | (Err(_), None) => None,
    };
    right(expected(step, object))
}

fn expected(step: &Step<'_>, object: &Object) -> Result<Object, &'static str> {
    if let Asked::CreateKey { later, .. } = &step.call.asked {
        return create(*later, object);
    }
    let mut key = object.clone().ok_or("KEY_NOT_FOUND")?;
    check_purpose(&step.call.asked)?;
    match &step.call.asked {
        Asked::RotateKey { .. } => {
            if key.state != KeyState::Active {
                return Err("KEY_STATE");
            }
            key.primary = key.versions.keys().next_back().map_or(1, |last| last + 1);
            key.versions.insert(key.primary, KeyState::Active);
        }
        Asked::Transition {
            version,
            transition,
            ..
        } => transit(&mut key, *version, *transition)?,
        Asked::Destroy { version, force, .. } => {
            transit(&mut key, *version, Transition::ScheduleDestruction)?;
            // How it was used `rules_hold_in_place` knows.
            if !force && was_refused(step, "KEY_IN_USE") {
                return Err("KEY_IN_USE");
            }
        }
        Asked::Encrypt { version, .. } | Asked::Prove { version, .. } => {
            protect(&key, *version, step.version)?;
        }
        Asked::Check { kind, changed, .. } => {
            process(step, &key)?;
            check_unchanged(*kind, *changed)?;
        }
        Asked::SetRotation { .. } if key.state == KeyState::Destroyed => return Err("KEY_STATE"),
        Asked::DataKey { .. } => protect(&key, None, step.version)?,
        Asked::Decrypt { .. } => process(step, &key)?,
        Asked::ReEncrypt { .. } => {
            process(step, &key)?;
            protect(&key, None, step.made)?;
        }
        Asked::CreateKey { .. }
        | Asked::CreateDatedKey { .. }
        | Asked::SetRotation { .. }
        | Asked::GetKey { .. }
        | Asked::Grant(_)
        | Asked::Revoke(_)
        | Asked::Random
        | Asked::Share { .. }
        | Asked::Register { .. }
        | Asked::OpenDataKey(_)
        | Asked::DeleteDataKey(_)
        | Asked::SetAlias { .. }
        | Asked::DeleteAlias { .. }
        | Asked::ProveRecord { .. }
        | Asked::ReadRoot => {}
    }
    Ok(Some(key))
}

fn create(later: bool, object: &Object) -> Result<Object, &'static str> {
    let state = if later {
        KeyState::PreActive
    } else {
        KeyState::Active
    };
    match object {
        Some(_) => Err("KEY_EXISTS"),
        None => Ok(Some(KeySeen {
            state,
            primary: 1,
            versions: BTreeMap::from([(1, KeyState::Active)]),
        })),
    }
}

/// What a key is for is in its name.
fn check_purpose(asked: &Asked) -> Result<(), &'static str> {
    let (key, purpose) = match asked {
        Asked::Encrypt { key, .. } | Asked::DataKey { key } => (key, Purpose::Encrypt),
        Asked::Prove { key, kind, .. } => match kind {
            ProofKind::Code => (key, Purpose::Mac),
            ProofKind::Signature => (key, Purpose::Sign),
        },
        Asked::CreateKey { .. }
        | Asked::CreateDatedKey { .. }
        | Asked::RotateKey { .. }
        | Asked::Transition { .. }
        | Asked::Destroy { .. }
        | Asked::SetRotation { .. }
        | Asked::Grant(_)
        | Asked::Revoke(_)
        // Of what exists, and so of keys that are for it.
        | Asked::Decrypt { .. }
        | Asked::ReEncrypt { .. }
        | Asked::Check { .. }
        | Asked::Random
        | Asked::Share { .. }
        | Asked::Register { .. }
        | Asked::OpenDataKey(_)
        | Asked::DeleteDataKey(_)
        | Asked::SetAlias { .. }
        | Asked::DeleteAlias { .. }
        | Asked::ProveRecord { .. }
        | Asked::GetKey { .. }
        | Asked::ReadRoot => return Ok(()),
    };
    if purpose_of(key) == purpose {
        Ok(())
    } else {
        Err("KEY_PURPOSE")
    }
}

fn transit(
    key: &mut KeySeen,
    version: Option<u32>,
    transition: Transition,
) -> Result<(), &'static str> {
    let state = match version {
        None => &mut key.state,
        Some(number) => key.versions.get_mut(&number).ok_or("VERSION_NOT_FOUND")?,
    };
    *state = state.after(transition).ok_or("KEY_STATE")?;
    Ok(())
}

/// Under the version that was `named`, or the primary one; `chosen`: as the answer says.
fn protect(key: &KeySeen, named: Option<u32>, chosen: Option<u32>) -> Result<(), &'static str> {
    let wanted = chosen.or(named).unwrap_or(key.primary);
    if named.is_none() && wanted != key.primary {
        return Err("NOT_THE_PRIMARY_VERSION");
    }
    let state = key.versions.get(&wanted).ok_or("VERSION_NOT_FOUND")?;
    if key.state.protects() && state.protects() {
        Ok(())
    } else {
        Err("KEY_STATE")
    }
}

fn check_unchanged(kind: ProofKind, changed: Changed) -> Result<(), &'static str> {
    match (changed, kind) {
        (Changed::Nothing, _) => Ok(()),
        (Changed::Message | Changed::Proof, ProofKind::Code) => Err("MAC_INVALID"),
        (Changed::Message | Changed::Proof, ProofKind::Signature) => Err("SIGNATURE_INVALID"),
    }
}

/// What is compromised opens or not, by the caller's roles: `rules_hold_in_place` knows them.
fn process(step: &Step<'_>, key: &KeySeen) -> Result<(), &'static str> {
    let state = key.versions.get(&step.version.unwrap_or(0));
    let refused = was_refused(step, "KEY_COMPROMISED");
    for state in [key.state, *state.ok_or("VERSION_NOT_FOUND")?] {
        match state {
            KeyState::Compromised if refused => return Err("KEY_COMPROMISED"),
            KeyState::Active | KeyState::Suspended | KeyState::Compromised => {}
            KeyState::PreActive
            | KeyState::Deactivated
            | KeyState::DestroyScheduled
            | KeyState::Destroyed => return Err("KEY_STATE"),
        }
    }
    Ok(())
}

fn was_refused(step: &Step<'_>, reason: &str) -> bool {
    matches!(step.call.answer(), Some(Answer::Refused(given)) if given == reason)
}
