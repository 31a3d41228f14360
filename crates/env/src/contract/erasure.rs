//! What [`Store::erase`] promises, found out by a search of the disk.

use super::store::{DATABASE, checkpoint, erase, open, put, rows, settle, sync};
use crate::store::{Batch, Storage, Store};
use std::sync::Arc;

/// What is looked for. As long as wrapped material, and no compression would hide it.
const NEEDLE: [u8; 61] = *b"7f1c-wrapped-material-of-a-version-that-is-to-be-destroyed-3b";

/// Where these bytes are on the disk of a storage.
pub type Find<'a> = &'a dyn Fn(&dyn Storage, &[u8]) -> Option<String>;

/// Runs the suite; `make` gives a new and empty storage each time, and `find` searches all that it has on the disk.
pub async fn erasure_contract(make: &dyn Fn() -> Arc<dyn Storage>, find: Find<'_>) {
    for before in [
        Before::Written,
        Before::Synced,
        Before::Settled,
        Before::Erased,
    ] {
        what_was_overwritten_is_gone(make(), find, before).await;
        what_was_removed_is_gone(make(), find, before).await;
    }
    a_checkpoint_keeps_what_it_had(make(), find).await;
    what_a_checkpoint_replaced_is_gone(make(), find).await;
    what_is_there_stays(make()).await;
}

/// How far what is to be erased has come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Written,
    Synced,
    Settled,
    Erased,
}

impl Before {
    async fn bring(self, store: &dyn Store) {
        match self {
            Self::Written => {}
            Self::Synced => sync(store).await.unwrap(),
            Self::Settled => settle(store).await.unwrap(),
            // What was merged to the last level is not merged again by itself.
            Self::Erased => erase(store, "one").await.unwrap(),
        }
    }
}

/// Rows that come before and after, so that files hold more than one.
fn fill(store: &dyn Store) {
    for number in 0..20_u8 {
        put(store, "one", &[number, 1], &[number; 500]);
        put(store, "two", &[number], b"another table");
    }
}

async fn what_was_overwritten_is_gone(storage: Arc<dyn Storage>, find: Find<'_>, before: Before) {
    let (storage, store) = open(storage);
    fill(&*store);
    put(&*store, "one", &[7], &NEEDLE);
    before.bring(&*store).await;
    sync(&*store).await.unwrap();
    assert!(find(&*storage, &NEEDLE).is_some(), "it can be found");
    put(&*store, "one", &[7], b"what is left of it");
    erase(&*store, "one").await.unwrap();
    assert_eq!(find(&*storage, &NEEDLE), None, "{before:?}");
    assert_eq!(
        store.read("one", &[7]).unwrap().unwrap(),
        b"what is left of it"
    );
    put(&*store, "one", &[8], b"later");
    sync(&*store).await.unwrap();
    drop(store);
    let store = storage.open(DATABASE).unwrap();
    assert_eq!(find(&*storage, &NEEDLE), None, "{before:?}, opened again");
    assert_eq!(rows(&*store, "one").len(), 22);
    assert_eq!(rows(&*store, "two").len(), 20);
}

async fn what_was_removed_is_gone(storage: Arc<dyn Storage>, find: Find<'_>, before: Before) {
    let (storage, store) = open(storage);
    fill(&*store);
    for number in 0..10_u8 {
        put(&*store, "one", &[number], &NEEDLE);
    }
    before.bring(&*store).await;
    let mut batch = Batch::new();
    batch.delete("one", [0]);
    batch.delete_range("one", [1], [9, 1]);
    store.write(batch).unwrap();
    erase(&*store, "one").await.unwrap();
    assert_eq!(find(&*storage, &NEEDLE), None, "{before:?}");
    erase(&*store, "one").await.unwrap();
    assert_eq!(rows(&*store, "one").len(), 12);
}

async fn a_checkpoint_keeps_what_it_had(storage: Arc<dyn Storage>, find: Find<'_>) {
    let (storage, store) = open(storage);
    fill(&*store);
    put(&*store, "one", &[7], &NEEDLE);
    checkpoint(&*store, "before", &[]).await.unwrap();
    let mut batch = Batch::new();
    batch.delete("one", [7]);
    store.write(batch).unwrap();
    erase(&*store, "one").await.unwrap();
    checkpoint(&*store, "after", &[]).await.unwrap();
    assert!(find(&*storage, &NEEDLE).is_some());
    store.remove_checkpoint("before").unwrap();
    // What is removed goes when what was asked for later is done.
    settle(&*store).await.unwrap();
    assert_eq!(find(&*storage, &NEEDLE), None);
    store.install("after").unwrap();
    assert_eq!(store.read("one", &[7]).unwrap(), None);
    assert_eq!(rows(&*store, "one").len(), 20);
    assert_eq!(find(&*storage, &NEEDLE), None);
}

async fn what_a_checkpoint_replaced_is_gone(storage: Arc<dyn Storage>, find: Find<'_>) {
    let (storage, store) = open(storage);
    fill(&*store);
    checkpoint(&*store, "without", &[]).await.unwrap();
    put(&*store, "one", &[7], &NEEDLE);
    settle(&*store).await.unwrap();
    store.install("without").unwrap();
    erase(&*store, "one").await.unwrap();
    assert_eq!(find(&*storage, &NEEDLE), None);
}

/// Rows that are written while a table is rewritten are in it.
async fn what_is_there_stays(storage: Arc<dyn Storage>) {
    let (storage, store) = open(storage);
    fill(&*store);
    let (done, wait) = tokio::sync::oneshot::channel();
    store.erase("one", Box::new(move |result| drop(done.send(result))));
    for number in 0..200_u8 {
        put(&*store, "one", &[number], &[number; 1_000]);
    }
    wait.await.unwrap().unwrap();
    sync(&*store).await.unwrap();
    let expected = rows(&*store, "one");
    assert_eq!(expected.len(), 220);
    drop(store);
    let store = storage.open(DATABASE).unwrap();
    assert_eq!(rows(&*store, "one"), expected);
}
