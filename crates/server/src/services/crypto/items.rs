//! The items of batches: taken apart, and put together again with what came of each.

use super::decrypt::Item;
use crate::error::ServiceError;
use crate::limits::BATCH_ITEMS_MAX;
use conclave_core::{KeyId, VersionNumber};
use conclave_crypto::Header;
use conclave_proto::v1 as wire;
use std::collections::BTreeMap;

pub(super) fn check_items(count: usize) -> Result<(), ServiceError> {
    if (1..=BATCH_ITEMS_MAX).contains(&count) {
        return Ok(());
    }
    let rule = format!("1 to {BATCH_ITEMS_MAX} items a call, {count} were given");
    Err(ServiceError::invalid("items", rule))
}

/// A failed item of a batch, as the wire has it.
pub(super) fn item_error(error: &ServiceError) -> wire::ItemError {
    wire::ItemError {
        code: error.code().into(),
        reason: error.reason().to_owned(),
        message: error.to_string(),
    }
}

/// The answer to a batch, of what came of each item.
macro_rules! answer_each {
    ($response:ident, $module:ident, $results:expr) => {{
        use wire::$module::{Result as Item, result::Result as Came};
        let item = |came| Item {
            result: Some(match came {
                Ok(done) => Came::Ok(done),
                Err(error) => Came::Error($crate::services::crypto::items::item_error(&error)),
            }),
        };
        wire::$response {
            results: $results.into_iter().map(item).collect(),
        }
    }};
}
pub(super) use answer_each;

/// The good items of a batch, and what is wrong with the others.
pub(super) fn part<T>(
    items: impl Iterator<Item = Result<T, ServiceError>>,
) -> (Vec<T>, Vec<Result<(), ServiceError>>) {
    let mut good = Vec::new();
    let verdicts = items.map(|it| it.map(|item| good.push(item))).collect();
    (good, verdicts)
}

/// What came of each item, whether it was good or not.
pub(super) fn merge<T>(
    verdicts: Vec<Result<(), ServiceError>>,
    made: Vec<Result<T, ServiceError>>,
) -> impl Iterator<Item = Result<T, ServiceError>> {
    let mut made = made.into_iter();
    let next = move |verdict: Result<(), ServiceError>| {
        verdict.and_then(|()| made.next().unwrap_or(Err(ServiceError::Contended)))
    };
    verdicts.into_iter().map(next)
}

/// A message's name for its key.
pub(super) type KeyRef = (KeyId, VersionNumber);

/// The places in a batch of the messages of each key version.
pub(super) type Groups = BTreeMap<KeyRef, Vec<usize>>;

/// What came of each item of a batch so far.
pub(super) type Results<T> = Vec<Option<Result<T, ServiceError>>>;

/// Parts a batch by the key versions of its messages. What is no message has its error already.
pub(super) fn by_version<T>(items: &[Item<'_>]) -> (Groups, Results<T>) {
    let mut groups = Groups::new();
    let mut place_of = |(place, item): (usize, &Item<'_>)| match Header::parse(item.blob) {
        Ok(header) => {
            let group = groups.entry((header.key_id, header.version));
            group.or_default().push(place);
            None
        }
        Err(error) => Some(Err(ServiceError::Ciphertext(error))),
    };
    let results = items.iter().enumerate().map(&mut place_of).collect();
    (groups, results)
}

/// The items at these places.
pub(super) fn pick<T: Copy>(items: &[T], places: &[usize]) -> Vec<T> {
    let picked = places.iter().filter_map(|place| items.get(*place));
    picked.copied().collect()
}

/// Puts what came of a group in its places.
pub(super) fn put<T>(
    results: &mut Results<T>,
    places: Vec<usize>,
    group: Vec<Result<T, ServiceError>>,
) {
    for (place, came) in places.into_iter().zip(group) {
        if let Some(result) = results.get_mut(place) {
            *result = Some(came);
        }
    }
}

/// What came of all items, in their order.
pub(super) fn all_of<T>(results: Results<T>) -> Vec<Result<T, ServiceError>> {
    let came = |it: Option<_>| it.unwrap_or(Err(ServiceError::Contended));
    results.into_iter().map(came).collect()
}
