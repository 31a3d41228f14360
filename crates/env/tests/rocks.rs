//! RocksDB keeps the contracts, and notices what a broken disk took.

#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(feature = "rocksdb")]

use conclave_env::contract::{
    checkpoint, checkpoint_contract, erasure_contract, store_contract, sync,
};
use conclave_env::os::RocksStorage;
use conclave_env::{Batch, Database, Storage, StoreError};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DATABASE: Database = Database {
    name: "log",
    tables: &["rows"],
};

fn fresh(dir: &Path) -> impl Fn() -> Arc<dyn Storage> {
    let (dir, count) = (dir.to_owned(), Cell::new(0));
    move || {
        count.set(count.get() + 1);
        Arc::new(RocksStorage::new(dir.join(count.get().to_string())))
    }
}

#[tokio::test]
async fn the_store_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    store_contract(&fresh(dir.path())).await;
}

#[tokio::test]
async fn checkpoints_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    checkpoint_contract(&fresh(dir.path())).await;
}

/// The first file below a directory that holds these bytes.
fn find(dir: &Path, needle: &[u8]) -> Option<String> {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|it| it.unwrap()).collect();
    entries.sort_by_key(fs::DirEntry::path);
    entries.iter().find_map(|entry| {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            return find(&path, needle);
        }
        let bytes = fs::read(&path).unwrap();
        let found = memchr::memmem::find(&bytes, needle).is_some();
        found.then(|| path.display().to_string())
    })
}

#[tokio::test]
async fn erasure_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let search = |storage: &dyn Storage, needle: &[u8]| find(storage.location().as_ref(), needle);
    erasure_contract(&fresh(dir.path()), &search).await;
    let (inline, count) = (tempfile::tempdir().unwrap(), Cell::new(0));
    let make = || -> Arc<dyn Storage> {
        count.set(count.get() + 1);
        Arc::new(RocksStorage::inline(
            inline.path().join(count.get().to_string()),
        ))
    };
    erasure_contract(&make, &search).await;
}

fn batch(number: u8) -> Batch {
    let mut batch = Batch::new();
    batch.put("rows", [number], vec![number; 1_000]);
    batch
}

/// A database with ten synced rows, closed.
async fn written(data_dir: &Path) -> PathBuf {
    let store = RocksStorage::new(data_dir).open(DATABASE).unwrap();
    for number in 0..10 {
        store.write(batch(number)).unwrap();
        sync(&*store).await.unwrap();
    }
    data_dir.join("log")
}

fn wal(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir.join("db-1"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .max()
        .unwrap()
}

fn open_error(data_dir: &Path) -> StoreError {
    RocksStorage::new(data_dir)
        .open(DATABASE)
        .err()
        .expect("it must not open")
}

#[tokio::test]
async fn a_lost_tail_of_what_was_synced_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let wal = wal(&written(dir.path()).await);
    let file = fs::OpenOptions::new().write(true).open(&wal).unwrap();
    file.set_len(file.metadata().unwrap().len() - 500).unwrap();
    assert!(matches!(open_error(dir.path()), StoreError::Corrupt { .. }));
}

#[tokio::test]
async fn a_torn_tail_of_what_was_not_synced_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let database = written(dir.path()).await;
    let before = fs::metadata(wal(&database)).unwrap().len();
    let store = RocksStorage::new(dir.path()).open(DATABASE).unwrap();
    store.write(batch(10)).unwrap();
    store.write(batch(11)).unwrap();
    drop(store);
    let wal = wal(&database);
    let after = fs::metadata(&wal).unwrap().len();
    assert!(before > 0 && after > 0);
    fs::OpenOptions::new()
        .write(true)
        .open(&wal)
        .unwrap()
        .set_len(after - 500)
        .unwrap();
    let store = RocksStorage::new(dir.path()).open(DATABASE).unwrap();
    assert!(store.read("rows", &[9]).unwrap().is_some());
    assert!(store.read("rows", &[10]).unwrap().is_some());
    assert!(
        store.read("rows", &[11]).unwrap().is_none(),
        "dropped whole"
    );
}

#[tokio::test]
async fn damage_in_the_middle_of_the_log_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let wal = wal(&written(dir.path()).await);
    let mut data = fs::read(&wal).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    fs::write(&wal, data).unwrap();
    assert!(matches!(open_error(dir.path()), StoreError::Corrupt { .. }));
}

/// The table of contents of the live generation.
fn manifest(database: &Path) -> PathBuf {
    let name = fs::read_to_string(database.join("db-1/CURRENT")).unwrap();
    database.join("db-1").join(name.trim_end())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn missing_parts_are_found() {
    for part in [
        "watermark",
        "db-1",
        "CURRENT_DB",
        "db-1/CURRENT",
        "MANIFEST",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let database = written(dir.path()).await;
        let path = match part {
            "MANIFEST" => manifest(&database),
            _ => database.join(part),
        };
        fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        let error = open_error(dir.path());
        assert!(
            matches!(error, StoreError::Corrupt { .. }),
            "{part}: {error}"
        );
        if part == "CURRENT_DB" {
            // It was not taken for an empty directory either.
            fs::rename(dir.path().join("elsewhere"), path).unwrap();
            let store = RocksStorage::new(dir.path()).open(DATABASE).unwrap();
            assert!(store.read("rows", &[9]).unwrap().is_some());
        }
    }
}

/// RocksDB takes a table of contents that is cut short for one whose end was never written, and forgets the tables that
/// the end names; what was written after them hides the gap from a look at the last sequence number.
#[tokio::test]
async fn a_damaged_table_of_contents_loses_nothing_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    written(&whole).await;
    let store = RocksStorage::new(&whole).open(DATABASE).unwrap();
    // The ten rows are in a table now, and the log that held them is gone.
    store.write(batch(10)).unwrap();
    sync(&*store).await.unwrap();
    drop(store);
    let bytes = fs::read(manifest(&whole.join("log"))).unwrap();
    let cuts = (0..bytes.len()).step_by(5).map(|len| bytes[..len].to_vec());
    let flips = (0..bytes.len()).step_by(3).map(|at| {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        damaged
    });
    for (number, damaged) in cuts.chain(flips).enumerate() {
        let data_dir = dir.path().join(number.to_string());
        copy(&whole, &data_dir);
        fs::write(manifest(&data_dir.join("log")), damaged).unwrap();
        match RocksStorage::new(&data_dir).open(DATABASE) {
            Ok(store) => {
                for row in 0..=10 {
                    let found = store.read("rows", &[row]).unwrap();
                    assert!(found.is_some(), "damage {number} lost row {row} in silence");
                }
            }
            Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{error}"),
        }
        fs::remove_dir_all(data_dir).unwrap();
    }
}

#[tokio::test]
async fn what_a_crash_left_behind_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let database = written(dir.path()).await;
    let store = RocksStorage::new(dir.path()).open(DATABASE).unwrap();
    checkpoint(&*store, "kept", b"").await.unwrap();
    drop(store);
    let checkpoints = database.join("checkpoints");
    fs::create_dir(database.join("db-2")).unwrap();
    fs::create_dir(checkpoints.join(".new-7")).unwrap();
    fs::rename(checkpoints.join("kept"), checkpoints.join(".old-kept")).unwrap();
    let store = RocksStorage::new(dir.path()).open(DATABASE).unwrap();
    assert!(!database.join("db-2").exists());
    assert!(!checkpoints.join(".new-7").exists());
    assert_eq!(
        store.checkpoints().unwrap().len(),
        1,
        "the replaced one came back"
    );
    store.install("kept").unwrap();
    assert!(!database.join("db-1").exists());
    assert_eq!(
        store.read("rows", &[9]).unwrap().map(|value| value.len()),
        Some(1_000)
    );
}

#[tokio::test]
async fn a_damaged_checkpoint_is_not_installed() {
    let dir = tempfile::tempdir().unwrap();
    let database = written(dir.path()).await;
    let store = RocksStorage::new(dir.path()).open(DATABASE).unwrap();
    let taken = checkpoint(&*store, "snap", b"").await.unwrap();
    let table = taken
        .files
        .iter()
        .find(|file| file.name.contains(".sst"))
        .unwrap();
    let path = database.join("checkpoints/snap/db").join(&table.name);
    let mut data = fs::read(&path).unwrap();
    data[10] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, data).unwrap();
    assert!(matches!(
        store.install("snap"),
        Err(StoreError::Corrupt { .. })
    ));
    assert!(
        store.read("rows", &[9]).unwrap().is_some(),
        "the old contents are there"
    );
}

/// A digest over damaged rows would be right, and another node would install them.
#[tokio::test]
async fn damaged_rows_are_not_in_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let database = written(dir.path()).await;
    let store = RocksStorage::new(dir.path()).open(DATABASE).unwrap();
    checkpoint(&*store, "whole", b"").await.unwrap();
    let tables = fs::read_dir(database.join("db-1")).unwrap();
    let tables = tables.map(|entry| entry.unwrap().path());
    let table = tables
        .filter(|path| path.extension().is_some_and(|it| it == "sst"))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut data = fs::read(&table).unwrap();
    data[500] ^= 1;
    // In place, as a disk does it: the files of the first checkpoint are these.
    fs::write(&table, data).unwrap();
    let error = checkpoint(&*store, "next", b"").await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let names = store.checkpoints().unwrap();
    assert_eq!(names.len(), 1);
    assert!(store.write(batch(1)).is_err(), "the handle is at its end");
    assert!(store.install("whole").is_err());
}

/// What is not in tables is in a checkpoint's log, the end of which is as sure as the rest.
#[tokio::test]
async fn a_damaged_log_is_not_in_a_checkpoint() {
    for is_short in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let database = written(dir.path()).await;
        let store = RocksStorage::new(dir.path()).open(DATABASE).unwrap();
        store.write(batch(1)).unwrap();
        let log = wal(&database);
        let mut data = fs::read(&log).unwrap();
        let last = data.pop().unwrap();
        if !is_short {
            data.push(last ^ 1);
        }
        fs::write(&log, data).unwrap();
        assert!(checkpoint(&*store, "next", b"").await.is_err());
        assert_eq!(store.checkpoints().unwrap(), []);
    }
}

/// Tables that an earlier checkpoint holds are vouched for by it, and not described anew.
#[tokio::test]
async fn a_checkpoint_shares_what_an_earlier_one_holds() {
    let dir = tempfile::tempdir().unwrap();
    let database = written(dir.path()).await;
    let storage = RocksStorage::new(dir.path());
    let store = storage.open(DATABASE).unwrap();
    let first = checkpoint(&*store, "first", b"").await.unwrap();
    store.write(batch(200)).unwrap();
    drop(store);
    let store = storage.open(DATABASE).unwrap();
    let second = checkpoint(&*store, "second", b"").await.unwrap();
    let tables = |taken: &conclave_env::store::Checkpoint| -> Vec<_> {
        let tables = taken.files.iter().filter(|it| it.name.contains(".sst"));
        tables.cloned().collect()
    };
    let new: Vec<_> = tables(&second)
        .into_iter()
        .filter(|table| !tables(&first).contains(table))
        .collect();
    assert!(!new.is_empty() && new.len() < tables(&second).len());
    // What is new is read: damage to it is found.
    store.write(batch(201)).unwrap();
    let newest = database.join("db-1").join(&new[0].name);
    let mut data = fs::read(&newest).unwrap();
    data[10] ^= 1;
    fs::write(&newest, data).unwrap();
    let error = checkpoint(&*store, "third", b"").await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn closing_answers_whoever_waits_for_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path()).await);
    let storage = RocksStorage::new(dir.path());
    for _ in 0..20 {
        let store = storage.open(DATABASE).unwrap();
        let (answer, answers) = std::sync::mpsc::channel();
        for name in ["one", "two"] {
            let answer = answer.clone();
            let taken = Box::new(move |taken| answer.send(taken).unwrap());
            store.checkpoint(name, b"", taken);
        }
        drop((store, answer));
        assert_eq!(answers.iter().count(), 2);
        // It is closed: the lock is free, and what was not complete is gone.
        let store = storage.open(DATABASE).unwrap();
        assert!(store.read("rows", &[9]).unwrap().is_some());
        for taken in store.checkpoints().unwrap() {
            store.install(&taken.name).unwrap();
            store.remove_checkpoint(&taken.name).unwrap();
        }
    }
}

#[tokio::test]
async fn writes_and_syncs_from_many_tasks_are_all_durable() {
    let dir = tempfile::tempdir().unwrap();
    let storage = RocksStorage::new(dir.path());
    let store = storage.open(DATABASE).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            store.write(batch(number)).unwrap();
            sync(&*store).await.unwrap();
        });
    }
    tasks.join_all().await;
    drop(store);
    let store = storage.open(DATABASE).unwrap();
    assert!((0..200).all(|number| store.read("rows", &[number]).unwrap().is_some()));
}
