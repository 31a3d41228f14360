//! The promises of [`Store`] about checkpoints.

use super::store::{DATABASE, checkpoint, open, put, rows, settle, sync};
use crate::store::{Checkpoint, CheckpointFile, Storage, Store, StoreError};
use std::sync::Arc;

/// Bytes carried at a time; small, so that files come in several pieces.
const PIECE_BYTES: usize = 1_000;

/// Runs the suite; `make` gives a new and empty storage each time.
pub async fn checkpoint_contract(make: &dyn Fn() -> Arc<dyn Storage>) {
    a_checkpoint_is_exact_and_never_changes(make()).await;
    one_of_the_same_name_is_replaced(make()).await;
    a_checkpoint_survives_a_reopen(make()).await;
    checkpoints_begun_together_are_each_of_their_own_instant(make()).await;
    one_that_is_not_complete_is_not_taken(make()).await;
    a_received_checkpoint_is_installed(make(), make()).await;
    what_was_installed_survives_and_takes_writes(make()).await;
    damaged_transfers_are_refused(make(), make()).await;
    bad_names_are_refused(make());
    what_is_not_there_is_not_found(make()).await;
}

fn fill(store: &dyn Store, count: u32) {
    for number in 0..count {
        put(store, "one", &number.to_be_bytes(), &[7; 50]);
        put(store, "two", &number.to_be_bytes(), b"");
    }
}

/// Carries a checkpoint from one store to another.
fn carry(from: &dyn Store, to: &dyn Store, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let mut receiver = to.receive(checkpoint.clone())?;
    for file in &checkpoint.files {
        let mut offset = 0;
        loop {
            let data = from.read_checkpoint(&checkpoint.name, &file.name, offset, PIECE_BYTES)?;
            if data.is_empty() {
                break;
            }
            receiver.write(&file.name, offset, &data)?;
            offset += u64::try_from(data.len()).unwrap();
        }
    }
    receiver.finish()
}

async fn a_checkpoint_is_exact_and_never_changes(storage: Arc<dyn Storage>) {
    let (_storage, store) = open(storage);
    fill(&*store, 50);
    settle(&*store).await.unwrap();
    // Part of it is settled, and part is not.
    fill(&*store, 100);
    let before = (rows(&*store, "one"), rows(&*store, "two"));
    let (answer, wait) = tokio::sync::oneshot::channel();
    let taken = Box::new(move |taken| answer.send(taken).unwrap());
    store.checkpoint("snap-1", b"meta", taken);
    put(&*store, "one", b"meanwhile", b"x");
    let taken = wait.await.unwrap().unwrap();
    assert_eq!(
        (taken.name.as_str(), &taken.meta[..]),
        ("snap-1", &b"meta"[..])
    );
    put(&*store, "one", b"later", b"x");
    assert_eq!(store.checkpoints().unwrap(), std::slice::from_ref(&taken));
    for file in &taken.files {
        let all = store
            .read_checkpoint("snap-1", &file.name, 0, usize::MAX >> 1)
            .unwrap();
        assert_eq!(u64::try_from(all.len()).unwrap(), file.size);
        assert_eq!(crate::checkpoint::sha256(&all), file.sha256);
        assert_eq!(
            store
                .read_checkpoint("snap-1", &file.name, file.size, 9)
                .unwrap(),
            b""
        );
        assert_eq!(
            store
                .read_checkpoint("snap-1", &file.name, u64::MAX, 9)
                .unwrap(),
            b""
        );
    }
    store.install("snap-1").unwrap();
    assert_eq!((rows(&*store, "one"), rows(&*store, "two")), before);
    assert_eq!(store.checkpoints().unwrap(), [taken], "it stays");
}

async fn one_of_the_same_name_is_replaced(storage: Arc<dyn Storage>) {
    let (_storage, store) = open(storage);
    checkpoint(&*store, "b", b"1").await.unwrap();
    checkpoint(&*store, "a", b"2").await.unwrap();
    put(&*store, "one", b"a", b"1");
    checkpoint(&*store, "b", b"3").await.unwrap();
    let metas: Vec<Vec<u8>> = store
        .checkpoints()
        .unwrap()
        .into_iter()
        .map(|checkpoint| checkpoint.meta)
        .collect();
    assert_eq!(metas, [b"2", b"3"], "in the order of their names");
    store.install("b").unwrap();
    assert_eq!(rows(&*store, "one").len(), 1);
    store.remove_checkpoint("b").unwrap();
    store.remove_checkpoint("b").unwrap();
    assert_eq!(store.checkpoints().unwrap().len(), 1);
}

async fn a_checkpoint_survives_a_reopen(storage: Arc<dyn Storage>) {
    let (storage, store) = open(storage);
    fill(&*store, 10);
    let taken = checkpoint(&*store, "kept", b"m").await.unwrap();
    drop(store);
    let store = storage.open(DATABASE).unwrap();
    assert_eq!(store.checkpoints().unwrap(), [taken]);
    store.install("kept").unwrap();
    assert_eq!(rows(&*store, "one").len(), 10);
}

async fn checkpoints_begun_together_are_each_of_their_own_instant(storage: Arc<dyn Storage>) {
    let (_storage, store) = open(storage);
    let (answer, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..3_u8 {
        put(&*store, "one", &[number], b"x");
        let answer = answer.clone();
        let taken = Box::new(move |taken| answer.send((number, taken)).unwrap());
        store.checkpoint(&format!("n{number}"), &[number], taken);
    }
    for number in 0..3_u8 {
        let (of, taken) = answers.recv().await.unwrap();
        assert_eq!((of, &taken.unwrap().meta[..]), (number, &[number][..]));
    }
    for number in (0..3_u8).rev() {
        store.install(&format!("n{number}")).unwrap();
        assert_eq!(rows(&*store, "one").len(), usize::from(number) + 1);
    }
}

/// Closed meanwhile, there is all of it or nothing, and whoever waits is answered.
async fn one_that_is_not_complete_is_not_taken(storage: Arc<dyn Storage>) {
    let (storage, store) = open(storage);
    fill(&*store, 10);
    let (answer, wait) = tokio::sync::oneshot::channel();
    let taken = Box::new(move |taken| answer.send(taken).unwrap());
    store.checkpoint("late", b"", taken);
    drop(store);
    let taken = wait.await.unwrap();
    let store = storage.open(DATABASE).unwrap();
    let there = store.checkpoints().unwrap();
    match taken {
        Ok(taken) => assert_eq!(there, [taken]),
        Err(StoreError::Io { .. }) => {}
        Err(other) => panic!("{other}"),
    }
    for checkpoint in there {
        store.install(&checkpoint.name).unwrap();
        assert_eq!(rows(&*store, "one").len(), 10);
    }
}

async fn a_received_checkpoint_is_installed(from: Arc<dyn Storage>, to: Arc<dyn Storage>) {
    let (_from, source) = open(from);
    fill(&*source, 500);
    let taken = checkpoint(&*source, "snap", b"at 500").await.unwrap();
    let (to, target) = open(to);
    put(&*target, "one", b"stale", b"x");
    put(&*target, "two", b"stale", b"x");
    sync(&*target).await.unwrap();
    drop(target.receive(taken.clone()).unwrap());
    assert_eq!(
        target.checkpoints().unwrap(),
        [],
        "an unfinished one is nowhere"
    );
    carry(&*source, &*target, &taken).unwrap();
    assert_eq!(target.checkpoints().unwrap(), std::slice::from_ref(&taken));
    assert_eq!(rows(&*target, "one").len(), 1, "received is not installed");
    target.install("snap").unwrap();
    assert_eq!(rows(&*target, "one"), rows(&*source, "one"));
    assert_eq!(rows(&*target, "two"), rows(&*source, "two"));
    drop(target);
    let target = to.open(DATABASE).unwrap();
    assert_eq!(rows(&*target, "one"), rows(&*source, "one"));
    assert_eq!(target.checkpoints().unwrap(), [taken]);
}

async fn what_was_installed_survives_and_takes_writes(storage: Arc<dyn Storage>) {
    let (storage, store) = open(storage);
    fill(&*store, 20);
    checkpoint(&*store, "one", b"").await.unwrap();
    fill(&*store, 40);
    store.install("one").unwrap();
    put(&*store, "one", b"after", b"x");
    sync(&*store).await.unwrap();
    drop(store);
    let store = storage.open(DATABASE).unwrap();
    assert_eq!(rows(&*store, "one").len(), 21);
    store.install("one").unwrap();
    store.install("one").unwrap();
    assert_eq!(rows(&*store, "one").len(), 20);
}

fn assert_corrupt<T>(result: Result<T, StoreError>, what: &str) {
    match result {
        Err(StoreError::Corrupt { .. }) => {}
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what} was accepted"),
    }
}

async fn damaged_transfers_are_refused(from: Arc<dyn Storage>, to: Arc<dyn Storage>) {
    let (_from, source) = open(from);
    fill(&*source, 50);
    let taken = checkpoint(&*source, "snap", b"").await.unwrap();
    let (_to, target) = open(to);
    fill(&*target, 1);
    let largest = (0..taken.files.len())
        .max_by_key(|at| taken.files[*at].size)
        .unwrap();
    let damage = |what: &str, change: &dyn Fn(&mut Checkpoint)| {
        let mut announced = taken.clone();
        change(&mut announced);
        assert_corrupt(carry(&*source, &*target, &announced), what);
    };
    damage("a wrong checksum", &|announced| {
        announced.files[largest].sha256[0] ^= 1;
    });
    damage("a file longer than announced", &|announced| {
        announced.files[largest].size -= 1;
    });
    damage("a file shorter than announced", &|announced| {
        announced.files[largest].size += 1;
    });

    let mut receiver = target.receive(taken.clone()).unwrap();
    assert_corrupt(receiver.write("extra", 0, b"x"), "a file that is not of it");
    assert_corrupt(receiver.write("../extra", 0, b"x"), "a file elsewhere");
    let file = &taken.files[largest];
    assert_corrupt(receiver.write(&file.name, 1, b"x"), "a hole");
    drop(receiver);
    assert_corrupt(
        target.receive(taken.clone()).unwrap().finish(),
        "one without its files",
    );
    assert_eq!(target.checkpoints().unwrap(), []);
    assert_eq!(rows(&*target, "one").len(), 1);
    let gone = target.install("snap").unwrap_err();
    assert!(matches!(gone, StoreError::NoCheckpoint { .. }), "{gone}");
    carry(&*source, &*target, &taken).unwrap();
    target.install("snap").unwrap();
    assert_eq!(
        rows(&*target, "one").len(),
        50,
        "a good one is taken after bad ones"
    );
}

fn bad_names_are_refused(storage: Arc<dyn Storage>) {
    let (_storage, store) = open(storage);
    let file = |name: &str| CheckpointFile {
        name: name.to_owned(),
        size: 0,
        sha256: [0; 32],
    };
    let announced = |name: &str, files: Vec<CheckpointFile>| Checkpoint {
        name: name.to_owned(),
        meta: Vec::new(),
        files,
    };
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "/etc",
        "../a",
        "A",
        "a\0",
        &"x".repeat(65),
    ] {
        assert_corrupt(store.receive(announced(name, vec![])), name);
    }
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "/etc/x",
        "a\\b",
        "a\0",
        "é",
        &"x".repeat(129),
    ] {
        assert_corrupt(store.receive(announced("good", vec![file(name)])), name);
    }
    assert_corrupt(
        store.receive(announced("good", vec![file("a"), file("a")])),
        "a twin",
    );
    assert_eq!(store.checkpoints().unwrap(), []);
}

async fn what_is_not_there_is_not_found(storage: Arc<dyn Storage>) {
    let (_storage, store) = open(storage);
    let taken = checkpoint(&*store, "here", b"").await.unwrap();
    let is_missing = |result: Result<Vec<u8>, StoreError>| {
        matches!(result, Err(StoreError::NoCheckpoint { .. }))
    };
    assert!(is_missing(store.read_checkpoint(
        "gone",
        &taken.files[0].name,
        0,
        1
    )));
    assert!(is_missing(store.read_checkpoint("here", "gone", 0, 1)));
    assert!(is_missing(store.read_checkpoint("here", "../here", 0, 1)));
    assert!(is_missing(store.read_checkpoint("../contract", "x", 0, 1)));
    assert!(matches!(
        store.install("gone"),
        Err(StoreError::NoCheckpoint { .. })
    ));
    assert!(matches!(
        store.install("../gone"),
        Err(StoreError::NoCheckpoint { .. })
    ));
    store.remove_checkpoint("../gone").unwrap();
}
