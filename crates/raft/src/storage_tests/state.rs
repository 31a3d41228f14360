//! The state machine under power failures.

use super::{Draw, entry, log_id, open};
use crate::fault::Fault;
use crate::machine::{STATE, StateMachine};
use crate::slot::StoreSlot;
use crate::types::Payload;
use conclave_core::{Body, ClusterId, Command, NodeId, State, TimeMs};
use conclave_env::Store;
use conclave_env::mem::MemStorage;
use futures::stream;
use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;
use std::time::Duration;

fn command(number: u64) -> Vec<u8> {
    let node = NodeId(1);
    let body = match number {
        0 => Body::Form {
            cluster: ClusterId([7; 16]),
            admins: Vec::new(),
        },
        _ => Body::Tick,
    };
    Command {
        node,
        time: TimeMs(1000 + number),
        body,
    }
    .encode()
}

fn replayed(upto: Option<u64>) -> State {
    let mut state = State::new();
    for index in 0..upto.map_or(0, |index| index + 1) {
        // Every seventh entry is one of openraft's own.
        if index % 7 != 6 {
            let command = Command::decode(&command(index)).unwrap();
            state.apply(conclave_core::LogIndex(index), command);
        }
    }
    state.take_changes();
    state
}

async fn apply(machine: &mut StateMachine, from: u64, count: u64) {
    let entries = (from..from + count).map(|index| {
        let mut entry = entry(1, index, command(index));
        if index % 7 == 6 {
            entry.payload = Payload::Blank;
        }
        Ok((entry, None))
    });
    machine
        .apply(stream::iter(entries.collect::<Vec<_>>()))
        .await
        .unwrap();
}

/// Rows and applied index belong together after any power failure, and a snapshot of our own brings back what a
/// crash took from the rows.
#[tokio::test(start_paused = true)]
async fn state_after_power_failures_is_that_of_its_applied_index() {
    for seed in 0..100 {
        let storage = MemStorage::with_sync_delay(Duration::from_micros(100));
        let mut draw = Draw(seed);
        for life in 0..3 {
            let slot = StoreSlot::open(&storage, STATE, Fault::none()).unwrap();
            let mut machine = StateMachine::load(slot.clone()).unwrap();
            let (applied, _) = machine.applied_state().await.unwrap();
            let is_equal = machine.with_state(|s| *s == replayed(applied.map(|id| id.index)));
            assert!(
                is_equal,
                "seed {seed}, life {life}: rows are not those of {applied:?}"
            );
            if let Some(snapshot) = machine.get_current_snapshot().await.unwrap() {
                let meta = snapshot.meta;
                machine
                    .install_snapshot(&meta, snapshot.snapshot)
                    .await
                    .unwrap();
                let index = meta.last_log_id.map(|id| id.index);
                assert!(machine.with_state(|state| *state == replayed(index)));
            }
            let mut next = machine
                .applied_state()
                .await
                .unwrap()
                .0
                .map_or(0, |id| id.index + 1);
            for _ in 0..=draw.below(8) {
                let count = 1 + draw.below(20);
                apply(&mut machine, next, count).await;
                next += count;
                match draw.below(4) {
                    0 => slot.sync().await.unwrap(),
                    1 => {
                        let mut builder = machine.get_snapshot_builder().await;
                        // It is of one instant of those at which they are applied.
                        let meanwhile = async {
                            for index in next..next + 8 {
                                tokio::time::sleep(Duration::from_micros(500)).await;
                                apply(&mut machine, index, 1).await;
                            }
                        };
                        let (snapshot, ()) = tokio::join!(builder.build_snapshot(), meanwhile);
                        let snapshot = snapshot.unwrap();
                        let of = snapshot.meta.last_log_id.unwrap().index;
                        // Some entries are applied while it settles, and some while it is completed.
                        assert!((next..next + 7).contains(&of), "{of} of {next} and 8 more");
                        let (_, mut other) = open(&MemStorage::new());
                        let installed = other.install_snapshot(&snapshot.meta, snapshot.snapshot);
                        installed.await.unwrap();
                        assert!(other.with_state(|state| *state == replayed(Some(of))));
                        next += 8;
                    }
                    _ => {}
                }
            }
            storage.crash(seed ^ life);
        }
    }
}

/// To pass over an entry that other nodes apply would part this node from them.
#[tokio::test]
async fn an_entry_that_cannot_be_read_stops_the_node_and_changes_nothing() {
    let (_, mut machine) = open(&MemStorage::new());
    apply(&mut machine, 0, 3).await;
    let before = machine.with_state(State::clone);
    let mut newer = command(4);
    newer[0] += 1;
    for bytes in [newer, vec![1, 0xff], Vec::new()] {
        let good = Ok((entry(1, 3, command(3)), None));
        let bad = Ok((entry(1, 4, bytes), None));
        let error = machine.apply(stream::iter([good, bad])).await.unwrap_err();
        assert!(error.to_string().contains("entry 4"), "{error}");
        assert_eq!(machine.with_state(State::clone), before);
        assert_eq!(machine.applied_state().await.unwrap().0, Some(log_id(1, 2)));
    }
}

#[tokio::test]
async fn only_the_newest_two_snapshots_are_kept() {
    let storage = MemStorage::new();
    let (_, mut machine) = open(&storage);
    for index in 0..6 {
        apply(&mut machine, index, 1).await;
        machine
            .get_snapshot_builder()
            .await
            .build_snapshot()
            .await
            .unwrap();
    }
    let kept = machine.slot().with(Store::checkpoints).unwrap();
    assert_eq!(
        kept.into_iter().map(|c| c.name).collect::<Vec<_>>(),
        ["t1-i4", "t1-i5"]
    );
}

/// While a node takes a snapshot, a leader can give it a newer one.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_was_overtaken_is_not_handed_out() {
    let (_, mut leader) = open(&MemStorage::new());
    apply(&mut leader, 0, 30).await;
    let newer = leader
        .get_snapshot_builder()
        .await
        .build_snapshot()
        .await
        .unwrap();
    let (_, mut machine) = open(&MemStorage::with_sync_delay(Duration::from_micros(100)));
    apply(&mut machine, 0, 3).await;
    let mut builder = machine.get_snapshot_builder().await;
    let overtaking = async {
        // The image is taken, and not complete.
        tokio::time::sleep(Duration::from_millis(3)).await;
        machine
            .install_snapshot(&newer.meta, newer.snapshot)
            .await
            .unwrap();
    };
    let (older, ()) = tokio::join!(builder.build_snapshot(), overtaking);
    assert_eq!(older.unwrap().meta.last_log_id, Some(log_id(1, 2)));
    let current = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta.last_log_id, Some(log_id(1, 29)));
    assert!(machine.with_state(|state| *state == replayed(Some(29))));
}

/// Nothing is left of a snapshot that the power failed under, and the next one is as good as any.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_the_power_failed_under_is_not_there() {
    let storage = MemStorage::with_sync_delay(Duration::from_micros(100));
    let (_, mut machine) = open(&storage);
    apply(&mut machine, 0, 3).await;
    machine.slot().sync().await.unwrap();
    let mut builder = machine.get_snapshot_builder().await;
    let failing = async {
        tokio::time::sleep(Duration::from_millis(3)).await;
        storage.crash(1);
    };
    let (snapshot, ()) = tokio::join!(builder.build_snapshot(), failing);
    assert!(snapshot.is_err());
    let (_, mut machine) = open(&storage);
    assert!(machine.get_current_snapshot().await.unwrap().is_none());
    assert!(machine.with_state(|state| *state == replayed(Some(2))));
    let again = machine.get_snapshot_builder().await.build_snapshot().await;
    assert_eq!(again.unwrap().meta.last_log_id, Some(log_id(1, 2)));
}

/// A snapshot that arrived whole but was not installed before a crash is not ours to begin with.
#[tokio::test]
async fn a_snapshot_that_was_not_installed_is_forgotten_at_the_next_start() {
    let (_, mut leader) = open(&MemStorage::new());
    apply(&mut leader, 0, 30).await;
    let snapshot = leader
        .get_snapshot_builder()
        .await
        .build_snapshot()
        .await
        .unwrap();
    let storage = MemStorage::new();
    {
        let (_, machine) = open(&storage);
        let mut checkpoint = snapshot.snapshot.checkpoint.clone();
        checkpoint.name = crate::machine::received_name(&log_id(1, 29));
        let mut receiver = machine
            .slot()
            .with(|store| store.receive(checkpoint))
            .unwrap();
        for piece in snapshot.snapshot.clone().pieces() {
            let piece = piece.unwrap();
            receiver
                .write(&piece.file, piece.offset, &piece.data)
                .unwrap();
        }
        receiver.finish().unwrap();
    }
    storage.crash(1);
    let (_, mut machine) = open(&storage);
    assert!(machine.get_current_snapshot().await.unwrap().is_none());
    assert!(machine.slot().with(Store::checkpoints).unwrap().is_empty());
    // Sent again, it is installed, and stays.
    machine
        .install_snapshot(&snapshot.meta, snapshot.snapshot)
        .await
        .unwrap();
    drop(machine);
    storage.crash(2);
    let (_, mut machine) = open(&storage);
    assert_eq!(
        machine.applied_state().await.unwrap().0,
        Some(log_id(1, 29))
    );
    assert!(machine.with_state(|state| *state == replayed(Some(29))));
    assert!(machine.get_current_snapshot().await.unwrap().is_some());
}

/// A snapshot may be on its way when a newer one is there already: what was destroyed in between must go with it.
#[tokio::test(start_paused = true)]
async fn a_snapshot_under_way_does_not_outlive_an_erasure() {
    let storage = MemStorage::with_sync_delay(Duration::from_millis(5));
    let (_log, mut machine) = open(&storage);
    apply(&mut machine, 0, 10).await;
    let mut builder = machine.get_snapshot_builder().await;
    let building = tokio::spawn(async move { builder.build_snapshot().await.map(drop) });
    // It is begun, and takes its time.
    tokio::time::sleep(Duration::from_millis(120)).await;
    apply(&mut machine, 10, 20).await;
    machine.erase(conclave_core::LogIndex(25)).await.unwrap();
    drop(building.await.unwrap());
    let left = machine.slot().with(Store::checkpoints).unwrap();
    assert_eq!(left, []);
}
