//! The promises of [`Store`] about rows.

use crate::store::{Batch, Checkpoint, Database, Row, Storage, Store, StoreError};
use std::ops::Bound;
use std::sync::Arc;

pub(super) const DATABASE: Database = Database {
    name: "contract",
    tables: &["one", "two"],
};
const WIDER: Database = Database {
    name: "contract",
    tables: &["one", "three", "two"],
};

/// Waits until what was written before is durable.
///
/// # Errors
/// What the store answers.
pub async fn sync(store: &dyn Store) -> Result<(), StoreError> {
    let (done, wait) = tokio::sync::oneshot::channel();
    store.sync(Box::new(move |result| {
        let _ = done.send(result);
    }));
    wait.await.expect("a store answers every sync")
}

/// Waits until what was written before is in tables.
///
/// # Errors
/// What the store answers.
pub async fn settle(store: &dyn Store) -> Result<(), StoreError> {
    let (done, wait) = tokio::sync::oneshot::channel();
    store.settle(Box::new(move |result| drop(done.send(result))));
    wait.await.expect("a store answers every call to settle")
}

/// Waits until what was overwritten or removed in a table is in no file.
///
/// # Errors
/// What the store answers.
pub async fn erase(store: &dyn Store, table: &'static str) -> Result<(), StoreError> {
    let (done, wait) = tokio::sync::oneshot::channel();
    store.erase(table, Box::new(move |result| drop(done.send(result))));
    wait.await.expect("a store answers every call to erase")
}

/// Takes a checkpoint, and waits until it is complete.
///
/// # Errors
/// What the store answers.
pub async fn checkpoint(
    store: &dyn Store,
    name: &str,
    meta: &[u8],
) -> Result<Checkpoint, StoreError> {
    let (answer, wait) = tokio::sync::oneshot::channel();
    store.checkpoint(name, meta, Box::new(move |taken| drop(answer.send(taken))));
    wait.await.expect("a store answers every checkpoint")
}

/// Runs the suite; `make` gives a new and empty storage each time.
pub async fn store_contract(make: &dyn Fn() -> Arc<dyn Storage>) {
    writes_are_visible_at_once_and_in_order(&*open(make()).1);
    scans_keep_to_their_bounds(&*open(make()).1);
    ranges_are_deleted(&*open(make()).1);
    a_batch_is_applied_in_its_order(&*open(make()).1);
    synced_rows_survive_a_reopen(make()).await;
    syncs_are_answered_in_order(&*open(make()).1).await;
    a_database_is_opened_once(&*make());
    tables_can_be_added(&*make());
    databases_are_apart(&*make());
    probing_leaves_nothing_behind(&*make());
}

pub(super) fn open(storage: Arc<dyn Storage>) -> (Arc<dyn Storage>, Arc<dyn Store>) {
    let store = storage.open(DATABASE).unwrap();
    (storage, store)
}

pub(super) fn put(store: &dyn Store, table: &'static str, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(table, key, value);
    store.write(batch).unwrap();
}

pub(super) fn rows(store: &dyn Store, table: &'static str) -> Vec<Row> {
    store
        .scan(table, Bound::Unbounded, Bound::Unbounded, usize::MAX)
        .unwrap()
}

fn keys(rows: Vec<Row>) -> Vec<Vec<u8>> {
    rows.into_iter().map(|(key, _)| key).collect()
}

fn writes_are_visible_at_once_and_in_order(store: &dyn Store) {
    assert_eq!(store.read("one", b"a").unwrap(), None);
    assert_eq!(store.last("one").unwrap(), None);
    let mut batch = Batch::new();
    batch.put("one", *b"b", *b"1");
    batch.put("one", *b"a", *b"2");
    batch.put("two", *b"a", *b"3");
    store.write(batch).unwrap();
    assert_eq!(store.read("one", b"a").unwrap(), Some(b"2".to_vec()));
    assert_eq!(store.read("two", b"a").unwrap(), Some(b"3".to_vec()));
    assert_eq!(store.read("two", b"b").unwrap(), None);
    assert_eq!(
        store.last("one").unwrap(),
        Some((b"b".to_vec(), b"1".to_vec()))
    );
    put(store, "one", b"a", b"");
    assert_eq!(store.read("one", b"a").unwrap(), Some(Vec::new()));
    put(store, "one", b"", b"empty key");
    assert_eq!(
        keys(rows(store, "one")),
        [b"".to_vec(), b"a".to_vec(), b"b".to_vec()]
    );
    let mut batch = Batch::new();
    batch.delete("one", *b"a");
    batch.delete("one", *b"not there");
    store.write(batch).unwrap();
    assert_eq!(store.read("one", b"a").unwrap(), None);
    store.write(Batch::new()).unwrap();
}

fn scans_keep_to_their_bounds(store: &dyn Store) {
    for byte in [1_u8, 3, 5, 7, 0xFF] {
        put(store, "one", &[byte], &[byte]);
    }
    put(store, "one", &[0xFF, 0xFF], b"last");
    let scan = |from, to, limit| keys(store.scan("one", from, to, limit).unwrap());
    let (three, four, five) = (&[3][..], &[4][..], &[5][..]);
    let one_to = |bytes: &[u8]| -> Vec<Vec<u8>> { bytes.iter().map(|byte| vec![*byte]).collect() };
    assert_eq!(
        scan(Bound::Included(three), Bound::Included(five), 9),
        one_to(&[3, 5])
    );
    assert_eq!(
        scan(Bound::Excluded(three), Bound::Included(five), 9),
        one_to(&[5])
    );
    assert_eq!(
        scan(Bound::Included(three), Bound::Excluded(five), 9),
        one_to(&[3])
    );
    assert_eq!(
        scan(Bound::Excluded(three), Bound::Excluded(five), 9),
        one_to(&[])
    );
    assert_eq!(
        scan(Bound::Included(four), Bound::Unbounded, 2),
        one_to(&[5, 7])
    );
    assert_eq!(
        scan(Bound::Unbounded, Bound::Excluded(four), 9),
        one_to(&[1, 3])
    );
    assert_eq!(
        scan(Bound::Unbounded, Bound::Included(four), 9),
        one_to(&[1, 3])
    );
    assert_eq!(scan(Bound::Unbounded, Bound::Unbounded, 0), one_to(&[]));
    assert_eq!(
        scan(Bound::Included(five), Bound::Included(three), 9),
        one_to(&[])
    );
    assert_eq!(
        scan(Bound::Included(five), Bound::Excluded(five), 9),
        one_to(&[])
    );
    assert_eq!(
        scan(Bound::Excluded(five), Bound::Included(five), 9),
        one_to(&[])
    );
    assert_eq!(
        scan(Bound::Excluded(five), Bound::Excluded(five), 9),
        one_to(&[])
    );
    let end = scan(Bound::Excluded(&[0xFF]), Bound::Unbounded, 9);
    assert_eq!(end, [vec![0xFF, 0xFF]], "the last element of an open range");
    assert_eq!(scan(Bound::Included(b""), Bound::Unbounded, 9).len(), 6);
    assert_eq!(store.last("one").unwrap().unwrap().1, b"last");
}

fn ranges_are_deleted(store: &dyn Store) {
    for table in ["one", "two"] {
        for byte in 0..10_u8 {
            put(store, table, &[byte], b"x");
        }
    }
    let mut batch = Batch::new();
    batch.put("one", [4], *b"gone, too");
    batch.delete_range("one", [3], [6]);
    batch.put("one", [5], *b"after");
    store.write(batch).unwrap();
    let left: Vec<u8> = keys(rows(store, "one")).concat();
    assert_eq!(left, [0, 1, 2, 5, 6, 7, 8, 9]);
    assert_eq!(rows(store, "two").len(), 10, "only in the table named");
    let mut batch = Batch::new();
    batch.delete_range("one", [6], [6]);
    store.write(batch).unwrap();
    assert_eq!(
        rows(store, "one").len(),
        8,
        "an empty range deletes nothing"
    );
    let mut batch = Batch::new();
    batch.delete_range("one", [7], [0xFF]);
    store.write(batch).unwrap();
    assert_eq!(
        store.last("one").unwrap().unwrap().0,
        [6],
        "not a deleted row"
    );
}

fn a_batch_is_applied_in_its_order(store: &dyn Store) {
    let mut batch = Batch::new();
    batch.put("one", *b"a", *b"1");
    batch.delete("one", *b"a");
    batch.put("one", *b"b", *b"1");
    batch.put("one", *b"b", *b"2");
    batch.delete("one", *b"c");
    batch.put("one", *b"c", *b"3");
    store.write(batch).unwrap();
    assert_eq!(
        rows(store, "one"),
        [
            (b"b".to_vec(), b"2".to_vec()),
            (b"c".to_vec(), b"3".to_vec())
        ]
    );
}

async fn synced_rows_survive_a_reopen(storage: Arc<dyn Storage>) {
    let mut expected = Vec::new();
    for round in 0..3_u8 {
        let store = storage.open(DATABASE).unwrap();
        assert_eq!(rows(&*store, "one"), expected, "round {round}");
        put(&*store, "one", &[round], &vec![round; 100_000]);
        sync(&*store).await.unwrap();
        assert_eq!(store.syncs(), 1, "since the open");
        expected.push((vec![round], vec![round; 100_000]));
    }
}

async fn syncs_are_answered_in_order(store: &dyn Store) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..100_u8 {
        put(store, "one", &[number], b"x");
        let sender = sender.clone();
        store.sync(Box::new(move |result| {
            result.unwrap();
            sender.send(number).unwrap();
        }));
    }
    drop(sender);
    for number in 0..100 {
        assert_eq!(receiver.recv().await, Some(number));
    }
    assert_eq!(receiver.recv().await, None, "each is answered once");
}

fn a_database_is_opened_once(storage: &dyn Storage) {
    let store = storage.open(DATABASE).unwrap();
    let second = storage.open(DATABASE).err().unwrap();
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
    drop(store);
    storage.open(DATABASE).unwrap();
}

fn tables_can_be_added(storage: &dyn Storage) {
    let store = storage.open(DATABASE).unwrap();
    put(&*store, "two", b"a", b"1");
    drop(store);
    let store = storage.open(WIDER).unwrap();
    put(&*store, "three", b"b", b"2");
    assert_eq!(rows(&*store, "two").len() + rows(&*store, "three").len(), 2);
}

fn databases_are_apart(storage: &dyn Storage) {
    let one = storage.open(DATABASE).unwrap();
    let other = storage
        .open(Database {
            name: "other",
            tables: &["one"],
        })
        .unwrap();
    put(&*one, "one", b"a", b"1");
    assert_eq!(rows(&*other, "one"), []);
    assert!(!storage.location().is_empty());
}

fn probing_leaves_nothing_behind(storage: &dyn Storage) {
    storage.probe().unwrap();
    let store = storage.open(DATABASE).unwrap();
    storage.probe().unwrap();
    assert_eq!(rows(&*store, "one"), []);
}
