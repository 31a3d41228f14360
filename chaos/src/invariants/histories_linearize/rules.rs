//! What a call does to a key, and what it is answered.

use super::{Object, Step};
use crate::history::{Answer, Asked, KeySeen};
use conclave_core::{KeyState, Transition};
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
        let state = if *later {
            KeyState::PreActive
        } else {
            KeyState::Active
        };
        let versions = BTreeMap::from([(1, KeyState::Active)]);
        let primary = 1;
        return match object {
            Some(_) => Err("KEY_EXISTS"),
            None => Ok(Some(KeySeen {
                state,
                primary,
                versions,
            })),
        };
    }
    let mut key = object.clone().ok_or("KEY_NOT_FOUND")?;
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
        Asked::Encrypt { version, .. } => {
            let wanted = step.version.or(*version).unwrap_or(key.primary);
            if version.is_none() && wanted != key.primary {
                return Err("NOT_THE_PRIMARY_VERSION");
            }
            protect(&key, wanted)?;
        }
        Asked::DataKey { .. } => {
            let wanted = step.version.unwrap_or(key.primary);
            if wanted != key.primary {
                return Err("NOT_THE_PRIMARY_VERSION");
            }
            protect(&key, wanted)?;
        }
        Asked::Decrypt { .. } => process(step, &key)?,
        Asked::ReEncrypt { .. } => {
            process(step, &key)?;
            let wanted = step.made.unwrap_or(key.primary);
            if wanted != key.primary {
                return Err("NOT_THE_PRIMARY_VERSION");
            }
            protect(&key, wanted)?;
        }
        Asked::CreateKey { .. }
        | Asked::CreateDatedKey { .. }
        | Asked::GetKey { .. }
        | Asked::Grant(_)
        | Asked::Revoke(_)
        | Asked::Random
        | Asked::ReadRoot => {}
    }
    Ok(Some(key))
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

fn protect(key: &KeySeen, version: u32) -> Result<(), &'static str> {
    let state = key.versions.get(&version).ok_or("VERSION_NOT_FOUND")?;
    if key.state.protects() && state.protects() {
        Ok(())
    } else {
        Err("KEY_STATE")
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
