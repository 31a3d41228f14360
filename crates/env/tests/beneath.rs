//! A simulated disk over RocksDB keeps the contracts, and what survives a power failure on it survives in RocksDB.

#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(feature = "rocksdb")]

use conclave_env::contract::{checkpoint, checkpoint_contract, settle, store_contract, sync};
use conclave_env::mem::{Beneath as _, Cut, MemStorage};
use conclave_env::os::RocksStorage;
use conclave_env::{Batch, Database, Storage, Store};
use proptest::prelude::*;
use std::cell::Cell;
use std::fs;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DATABASE: Database = Database {
    name: "log",
    tables: &["rows", "more"],
};

fn over(dir: &Path) -> MemStorage {
    MemStorage::over(
        Arc::new(RocksStorage::inline(dir)),
        Duration::from_micros(10),
    )
}

fn each(dir: &Path, make: fn(&Path) -> Arc<dyn Storage>) -> impl Fn() -> Arc<dyn Storage> {
    let (dir, count) = (dir.to_owned(), Cell::new(0));
    move || {
        count.set(count.get() + 1);
        make(&dir.join(count.get().to_string()))
    }
}

#[tokio::test]
async fn rocksdb_inline_keeps_the_contracts() {
    let dir = tempfile::tempdir().unwrap();
    let fresh = each(dir.path(), |dir| Arc::new(RocksStorage::inline(dir)));
    store_contract(&fresh).await;
    checkpoint_contract(&fresh).await;
}

#[tokio::test]
async fn the_simulated_disk_over_rocksdb_keeps_the_contracts() {
    let dir = tempfile::tempdir().unwrap();
    let fresh = each(dir.path(), |dir| Arc::new(over(dir)));
    store_contract(&fresh).await;
    checkpoint_contract(&fresh).await;
}

/// What is done to a disk.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u16),
    Delete(u8),
    DeleteRange(u8, u8),
    Sync,
    Settle,
    Checkpoint,
    Install,
    Reopen,
    Kill,
    PowerFails(u64),
    CutAt(Cut),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (any::<u8>(), 0..3_000_u16).prop_map(|(key, bytes)| Step::Put(key, bytes)),
        2 => any::<u8>().prop_map(Step::Delete),
        2 => any::<(u8, u8)>().prop_map(|(from, to)| Step::DeleteRange(from, to)),
        3 => Just(Step::Sync),
        2 => Just(Step::Settle),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Install),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        3 => any::<u64>().prop_map(Step::PowerFails),
        1 => prop_oneof![
            (1..6_u64).prop_map(Cut::Change),
            Just(Cut::BeforeCheckpoint),
            Just(Cut::AfterCheckpoint),
            Just(Cut::BeforeInstall),
            Just(Cut::AfterInstall),
        ]
        .prop_map(Step::CutAt),
    ]
}

fn batch(step: &Step) -> Option<Batch> {
    let mut batch = Batch::new();
    match step {
        Step::Put(key, bytes) => {
            batch.put("rows", [*key], vec![*key; usize::from(*bytes)]);
            batch.put("more", [*key, *key], [7]);
        }
        Step::Delete(key) => batch.delete("rows", [*key]),
        Step::DeleteRange(from, to) => batch.delete_range("rows", [*from], [*to]),
        Step::Sync
        | Step::Settle
        | Step::Checkpoint
        | Step::Install
        | Step::Reopen
        | Step::Kill
        | Step::PowerFails(_)
        | Step::CutAt(_) => return None,
    }
    Some(batch)
}

/// Reads everything, which compares it.
fn look(store: &dyn Store) {
    for table in DATABASE.tables {
        let all = store.scan(table, Bound::Unbounded, Bound::Unbounded, usize::MAX);
        assert_eq!(store.last(table).unwrap(), all.unwrap().pop());
    }
}

async fn run(storage: &MemStorage, steps: Vec<Step>) {
    let mut store = storage.open(DATABASE).unwrap();
    for (seed, step) in (0..).zip(steps) {
        if let Some(batch) = batch(&step) {
            // Whether the power fails here is seen below.
            let _ = store.write(batch);
        }
        match &step {
            Step::Sync => drop(sync(&*store).await),
            Step::Settle => drop(settle(&*store).await),
            Step::Checkpoint => drop(checkpoint(&*store, "one", b"meta").await),
            Step::Install => drop(store.install("one")),
            Step::CutAt(cut) => storage.cut_at(*cut),
            Step::Kill => storage.kill(),
            Step::PowerFails(seed) => drop(storage.crash(*seed)),
            Step::Put(..) | Step::Delete(_) | Step::DeleteRange(..) | Step::Reopen => {}
        }
        let has_cut = storage.has_cut();
        if has_cut {
            storage.crash(seed);
        }
        if has_cut || matches!(step, Step::Reopen | Step::Kill | Step::PowerFails(_)) {
            drop(store);
            store = storage.open(DATABASE).unwrap();
        }
        look(&*store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rocksdb_keeps_what_the_model_keeps(steps in prop::collection::vec(step(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let storage = over(dir.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(&storage, steps));
        prop_assert_eq!(storage.difference(), None);
    }
}

/// A record that was torn is dropped, whatever is left of it.
#[tokio::test]
async fn what_was_torn_is_dropped() {
    for seed in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let storage = over(dir.path());
        let store = storage.open(DATABASE).unwrap();
        for key in 0..4 {
            store.write(batch(&Step::Put(key, 900)).unwrap()).unwrap();
        }
        drop(store);
        storage.crash(seed);
        look(&*storage.open(DATABASE).unwrap());
        assert_eq!(storage.difference(), None);
    }
}

/// The comparison can fail.
#[tokio::test]
async fn a_disk_that_loses_something_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let storage = over(dir.path());
    let store = storage.open(DATABASE).unwrap();
    store.write(batch(&Step::Put(1, 10)).unwrap()).unwrap();
    let beneath = RocksStorage::inline(dir.path());
    let tail = beneath.tail("log").unwrap();
    store.write(batch(&Step::Put(2, 10)).unwrap()).unwrap();
    drop(store);
    storage.kill();
    beneath.cut(&tail).unwrap();
    let error = storage.open(DATABASE).err().expect("a row is missing");
    let difference = storage.difference().expect("it is noted");
    assert!(
        difference.contains("1 rows, and 2 survived"),
        "{difference}"
    );
    assert!(error.to_string().contains(&difference));
}

#[tokio::test]
async fn whatever_is_in_a_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let storage = over(dir.path());
    let store = storage.open(DATABASE).unwrap();
    assert_eq!(storage.find(b"a stray secret"), None);
    fs::write(
        dir.path().join("log").join("stray"),
        b"here is a stray secret",
    )
    .unwrap();
    assert!(storage.find(b"a stray secret").unwrap().ends_with("stray"));
    drop(store);
}
