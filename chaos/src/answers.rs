//! What the client library answered, in the words of the history. For simulated and real clusters alike.

use crate::history::{Answer, KeySeen, Sealed};
use crate::named::keyring_of;
use conclave_client::{ClientError, v1};
use conclave_core::KeyState;
use std::collections::BTreeMap;
use tonic::Code;

/// The encryption context of everything that is encrypted under a key, or by an alias of it: that of its keyring.
pub fn context_of(key: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("for".to_owned(), keyring_of(key).to_owned())])
}

/// A failure: a refusal for good, or nobody knows.
pub fn failure(error: &ClientError) -> Answer {
    let reason = error.reason().to_owned();
    match error.code() {
        Some(code) if is_final(code, &reason) => Answer::Refused(reason),
        Some(_) | None => Answer::Unknown(reason),
    }
}

/// Whether every node would refuse alike.
fn is_final(code: Code, reason: &str) -> bool {
    let refusal = match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::DataLoss => true,
        Code::ResourceExhausted => reason == "LIMIT_REACHED",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::Unauthenticated => false,
    };
    refusal && !reason.is_empty()
}

fn state(number: i32) -> Option<KeyState> {
    match v1::KeyState::try_from(number).ok()? {
        v1::KeyState::PreActive => Some(KeyState::PreActive),
        v1::KeyState::Active => Some(KeyState::Active),
        v1::KeyState::Suspended => Some(KeyState::Suspended),
        v1::KeyState::Deactivated => Some(KeyState::Deactivated),
        v1::KeyState::Compromised => Some(KeyState::Compromised),
        v1::KeyState::DestroyScheduled => Some(KeyState::DestroyScheduled),
        v1::KeyState::Destroyed => Some(KeyState::Destroyed),
        v1::KeyState::Unspecified => None,
    }
}

/// A key as an answer shows it.
pub fn key(answer: Result<v1::Key, ClientError>) -> Answer {
    let key = match answer {
        Ok(key) => key,
        Err(error) => return failure(&error),
    };
    let versions = key
        .versions
        .iter()
        .filter_map(|version| Some((version.number, state(version.state)?)));
    match state(key.state) {
        Some(state) => Answer::Key(KeySeen {
            state,
            primary: key.primary_version,
            versions: versions.collect(),
        }),
        None => Answer::Unknown("NO_STATE".to_owned()),
    }
}

/// Done, or not.
pub fn done<T>(answer: &Result<T, ClientError>) -> Answer {
    match answer {
        Ok(_) => Answer::Done,
        Err(error) => failure(error),
    }
}

fn item_failure(error: &v1::ItemError) -> Answer {
    if is_final(Code::from(error.code), &error.reason) {
        Answer::Refused(error.reason.clone())
    } else {
        Answer::Unknown(error.reason.clone())
    }
}

/// The messages of a batch: all of them, since items of one batch share their fate here.
///
/// # Errors
/// The answer to note instead, if an item failed.
pub fn batch_sealed(
    answer: Result<v1::BatchEncryptResponse, ClientError>,
    plaintexts: &[Vec<u8>],
) -> Result<Vec<Sealed>, Answer> {
    use v1::batch_encrypt_response::result::Result as Item;
    let results = answer.map_err(|error| failure(&error))?.results;
    let mut sealed = Vec::new();
    for (result, plaintext) in results.into_iter().zip(plaintexts) {
        match result.result {
            Some(Item::Ok(it)) => sealed.push(Sealed {
                key: it.key,
                version: it.version,
                plaintext: plaintext.clone(),
                ciphertext: it.ciphertext,
            }),
            Some(Item::Error(error)) => return Err(item_failure(&error)),
            None => return Err(Answer::Unknown("NO_RESULT".to_owned())),
        }
    }
    Ok(sealed)
}

/// The items of a batch that was to be opened.
pub fn batch_opened(answer: Result<v1::BatchDecryptResponse, ClientError>) -> Answer {
    use v1::batch_decrypt_response::result::Result as Item;
    let results = match answer {
        Ok(answer) => answer.results,
        Err(error) => return failure(&error),
    };
    let item = |result: v1::batch_decrypt_response::Result| match result.result {
        Some(Item::Ok(opened)) => Ok(opened.plaintext),
        Some(Item::Error(error)) => Err(error.reason),
        None => Err("NO_RESULT".to_owned()),
    };
    Answer::Opened(results.into_iter().map(item).collect())
}
