//! The stand-ins keep the contracts, and lose what a power failure loses.

#![allow(clippy::unwrap_used, reason = "tests")]

use conclave_env::contract::{
    checkpoint, checkpoint_contract, erasure_contract, hsm_contract, store_contract, sync,
};
use conclave_env::hsm::SignatureScheme;
use conclave_env::mem::{Cut, MemHsm, MemStorage};
use conclave_env::{Batch, Database, Hsm, HsmError, HsmKeyKind, Storage, Store, StoreError};
use proptest::prelude::*;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

const DATABASE: Database = Database {
    name: "log",
    tables: &["rows"],
};

#[tokio::test]
async fn the_store_keeps_the_contract() {
    store_contract(&|| Arc::new(MemStorage::new())).await;
    checkpoint_contract(&|| Arc::new(MemStorage::new())).await;
}

#[tokio::test]
async fn erasure_keeps_the_contract() {
    for delay in [None, Some(Duration::from_millis(1))] {
        // The one that was made last is the one that is searched.
        let last = parking_lot::Mutex::new(MemStorage::new());
        let make = || -> Arc<dyn Storage> {
            let storage = delay.map_or_else(MemStorage::new, MemStorage::with_sync_delay);
            *last.lock() = storage.clone();
            Arc::new(storage)
        };
        erasure_contract(&make, &|_, needle| last.lock().find(needle)).await;
    }
}

#[tokio::test]
async fn the_slow_store_keeps_the_contract() {
    let make = || Arc::new(MemStorage::with_sync_delay(Duration::from_millis(1))) as _;
    store_contract(&make).await;
    checkpoint_contract(&make).await;
}

#[tokio::test]
async fn the_module_keeps_the_contract() {
    hsm_contract(Arc::new(MemHsm::seeded(1)), Arc::new(MemHsm::seeded(2))).await;
}

#[tokio::test]
async fn keys_do_not_outlive_the_session() {
    let hsm = MemHsm::seeded(1);
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    hsm.lose();
    assert_eq!(hsm.check(root).await, Err(HsmError::KeyGone));
    assert_eq!(hsm.ping().await, Ok(()));
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    hsm.set_connected(false);
    assert!(matches!(hsm.ping().await, Err(HsmError::Lost { .. })));
    assert!(matches!(hsm.check(root).await, Err(HsmError::Lost { .. })));
    hsm.set_connected(true);
    assert_eq!(hsm.check(root).await, Err(HsmError::KeyGone));
}

#[tokio::test]
async fn pairs_repeat_with_the_seed_and_do_not_outlive_the_session() {
    let start = async |seed| {
        let hsm = MemHsm::seeded(seed);
        let root = hsm.import_root("root", &[1; 32]).await.unwrap();
        let pair = hsm.generate_pair_wrapped(root, HsmKeyKind::Ed25519).await;
        (hsm, root, pair.unwrap())
    };
    let (hsm, root, pair) = start(1).await;
    assert_eq!(pair, start(1).await.2);
    assert_ne!(pair, start(2).await.2);
    let key = hsm.unwrap(root, &pair.private, HsmKeyKind::Ed25519).await;
    let key = key.unwrap();
    let sign = || hsm.sign(key, SignatureScheme::Ed25519, b"message");
    assert_eq!(sign().await, sign().await);
    hsm.fail(Some(HsmError::Busy));
    assert_eq!(sign().await, Err(HsmError::Busy));
    hsm.fail(None);
    sign().await.unwrap();
    hsm.lose();
    assert_eq!(sign().await, Err(HsmError::KeyGone));
    let made = hsm.generate_pair_wrapped(root, HsmKeyKind::Ed25519).await;
    assert_eq!(made, Err(HsmError::KeyGone));
}

fn numbered(number: u32) -> Batch {
    let mut batch = Batch::new();
    // Two rows a batch, so that a torn one would show.
    batch.put("rows", [&b"a"[..], &number.to_be_bytes()].concat(), *b"");
    batch.put("rows", [&b"b"[..], &number.to_be_bytes()].concat(), *b"");
    batch
}

/// The batches that are there, which must be whole and without a hole.
fn surviving(store: &dyn Store) -> u32 {
    let rows = store
        .scan("rows", Bound::Unbounded, Bound::Unbounded, usize::MAX)
        .unwrap();
    let keys: Vec<Vec<u8>> = rows.into_iter().map(|(key, _)| key).collect();
    let count = u32::try_from(keys.len() / 2).unwrap();
    let expected: Vec<Vec<u8>> = [b"a", b"b"]
        .iter()
        .flat_map(|side| (0..count).map(|number| [&side[..], &number.to_be_bytes()].concat()))
        .collect();
    assert_eq!(keys, expected);
    count
}

proptest! {
    #[test]
    fn a_crash_leaves_a_prefix_that_holds_all_that_was_synced(
        synced in 0_u32..8,
        unsynced in 0_u32..8,
        seed: u64,
    ) {
        let storage = MemStorage::new();
        let store = storage.open(DATABASE).unwrap();
        for number in 0..synced {
            store.write(numbered(number)).unwrap();
        }
        store.sync(Box::new(|result| result.unwrap()));
        for number in synced..synced + unsynced {
            store.write(numbered(number)).unwrap();
        }
        storage.crash(seed);
        prop_assert!(store.read("rows", b"a").is_err(), "the old handle is dead");
        prop_assert!(store.write(numbered(0)).is_err());
        let again = storage.open(DATABASE).unwrap();
        drop(store);
        let count = surviving(&*again);
        prop_assert!((synced..=synced + unsynced).contains(&count));
        // What survived is durable: it survives the next failure, too.
        storage.crash(seed ^ 1);
        prop_assert_eq!(surviving(&*storage.open(DATABASE).unwrap()), count);
    }
}

#[test]
fn a_crash_keeps_none_some_or_all() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let storage = MemStorage::new();
        let store = storage.open(DATABASE).unwrap();
        for number in 0..3 {
            store.write(numbered(number)).unwrap();
        }
        storage.crash(seed);
        seen.insert(surviving(&*storage.open(DATABASE).unwrap()));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_slow_sync_covers_what_was_written_before_it_began() {
    let delay = Duration::from_millis(5);
    let storage = MemStorage::with_sync_delay(delay);
    let store = storage.open(DATABASE).unwrap();
    store.write(numbered(0)).unwrap();
    let began = tokio::time::Instant::now();
    sync(&*store).await.unwrap();
    assert!(began.elapsed() >= delay);
    store.write(numbered(1)).unwrap();
    let (done, wait) = tokio::sync::oneshot::channel();
    store.sync(Box::new(move |result| done.send(result).unwrap()));
    storage.crash(3);
    let lost = wait.await.unwrap();
    assert!(
        matches!(lost, Err(StoreError::Io { .. })),
        "not acknowledged: {lost:?}"
    );
    assert!(surviving(&*storage.open(DATABASE).unwrap()) >= 1);
}

#[tokio::test]
async fn a_full_disk_ends_the_handle_and_recovers_by_reopening() {
    let storage = MemStorage::new();
    let store = storage.open(DATABASE).unwrap();
    store.write(numbered(0)).unwrap();
    let full = StoreError::NoSpace {
        path: "memory/log".to_owned(),
    };
    storage.fail_writes(Some(full.clone()));
    assert_eq!(storage.probe(), Err(full.clone()));
    assert_eq!(store.write(numbered(1)), Err(full.clone()));
    assert_eq!(sync(&*store).await, Err(full.clone()));
    assert_eq!(
        surviving(&*store),
        1,
        "nothing of the failed batch is visible"
    );
    storage.fail_writes(None);
    assert_eq!(storage.probe(), Ok(()));
    assert_eq!(store.write(numbered(1)), Err(full), "final for this handle");
    drop(store);
    let store = storage.open(DATABASE).unwrap();
    store.write(numbered(1)).unwrap();
    assert_eq!(surviving(&*store), 2);
}

#[tokio::test]
async fn a_failing_module_keeps_its_keys() {
    let hsm = MemHsm::seeded(1);
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    let error = HsmError::Busy;
    hsm.fail(Some(error.clone()));
    assert_eq!(hsm.ping().await, Err(error.clone()));
    assert_eq!(hsm.check(root).await, Err(error));
    hsm.fail(None);
    assert_eq!(hsm.check(root).await, Ok(()));
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote() {
    let storage = MemStorage::new();
    let store = storage.open(DATABASE).unwrap();
    for number in 0..3 {
        store.write(numbered(number)).unwrap();
    }
    storage.kill();
    assert!(store.write(numbered(3)).is_err(), "the old handle is dead");
    assert_eq!(surviving(&*storage.open(DATABASE).unwrap()), 3);
    // It is in the machine's memory, and may be nowhere else.
    let least = (0..20).map(|seed| {
        let storage = MemStorage::new();
        storage.open(DATABASE).unwrap().write(numbered(0)).unwrap();
        storage.kill();
        storage.crash(seed);
        surviving(&*storage.open(DATABASE).unwrap())
    });
    assert_eq!(least.min(), Some(0));
}

#[test]
fn the_power_fails_between_two_writes() {
    let storage = MemStorage::new();
    let store = storage.open(DATABASE).unwrap();
    store.write(numbered(0)).unwrap();
    storage.cut_at(Cut::Change(2));
    store.write(numbered(1)).unwrap();
    assert!(!storage.has_cut());
    assert!(store.write(numbered(2)).is_err());
    assert!(store.write(numbered(2)).is_err(), "nothing comes behind it");
    assert!(storage.has_cut());
    storage.kill();
    assert!(!storage.has_cut());
    assert_eq!(surviving(&*storage.open(DATABASE).unwrap()), 2);
}

#[tokio::test]
async fn the_power_fails_at_a_checkpoint() {
    for (cut, is_there) in [(Cut::BeforeCheckpoint, false), (Cut::AfterCheckpoint, true)] {
        let storage = MemStorage::new();
        let store = storage.open(DATABASE).unwrap();
        storage.cut_at(cut);
        assert!(
            checkpoint(&*store, "one", b"").await.is_err(),
            "nobody learns of it"
        );
        storage.crash(1);
        let store = storage.open(DATABASE).unwrap();
        assert_eq!(
            !store.checkpoints().unwrap().is_empty(),
            is_there,
            "{cut:?}"
        );
    }
}

#[tokio::test]
async fn the_machine_or_the_process_stops_while_a_checkpoint_is_taken() {
    for power_fails in [false, true] {
        let storage = MemStorage::with_sync_delay(Duration::from_millis(1));
        let store = storage.open(DATABASE).unwrap();
        let (answer, wait) = tokio::sync::oneshot::channel();
        let taken = Box::new(move |taken| answer.send(taken).unwrap());
        store.checkpoint("one", b"", taken);
        assert_eq!(store.checkpoints(), Ok(Vec::new()), "it takes its time");
        if power_fails {
            storage.crash(1);
        }
        drop(store);
        let store = storage.open(DATABASE).unwrap();
        let taken = wait.await.unwrap();
        assert!(matches!(taken, Err(StoreError::Io { .. })), "{taken:?}");
        assert_eq!(store.checkpoints(), Ok(Vec::new()));
    }
}

#[tokio::test]
async fn a_damaged_row_is_an_error_until_it_is_written_anew() {
    let storage = MemStorage::new();
    let store = storage.open(DATABASE).unwrap();
    assert_eq!(storage.damage(1), None, "no row to damage");
    store.write(numbered(0)).unwrap();
    assert!(storage.damage(1).is_some());
    let all = || store.scan("rows", Bound::Unbounded, Bound::Unbounded, 9);
    assert!(matches!(all(), Err(StoreError::Corrupt { .. })));
    assert!(matches!(
        checkpoint(&*store, "one", b"").await,
        Err(StoreError::Corrupt { .. })
    ));
    store.write(numbered(0)).unwrap();
    assert_eq!(all().unwrap().len(), 2);
}

#[test]
fn whoever_owns_the_disk_sees_what_is_written_and_finds_it() {
    let storage = MemStorage::new();
    storage.keep_journal();
    let store = storage.open(DATABASE).unwrap();
    let mut batch = Batch::new();
    batch.put("rows", *b"key", *b"a canary in a row");
    store.write(batch.clone()).unwrap();
    let journal = storage.take_journal();
    assert_eq!(journal.len(), 1);
    assert_eq!((journal[0].database, &journal[0].batch), ("log", &batch));
    assert!(storage.take_journal().is_empty());
    assert_eq!(
        storage.durable_row("log", "rows", b"key"),
        None,
        "not synced"
    );
    store.sync(Box::new(|result| result.unwrap()));
    assert!(storage.durable_row("log", "rows", b"key").is_some());
    assert_eq!(storage.find(b"canary").as_deref(), Some("log/rows"));
    assert_eq!(storage.find(b"parrot"), None);
}
