//! The log and the state machine against openraft's own suite, and against power failures.

use crate::fault::Fault;
use crate::log::{LOG, LogStore};
use crate::machine::{STATE, StateMachine};
use crate::slot::StoreSlot;
use crate::types::{Entry, LogId, Opaque, Payload, Proposal, Runtime, Types, Vote};
use conclave_core::{Body, ClusterId, Command, NodeId, State, TimeMs};
use conclave_env::mem::MemStorage;
use conclave_env::{Storage, Store, StoreError};
use futures::FutureExt;
use futures::stream;
use openraft::RaftSnapshotBuilder;
use openraft::StorageError;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftLeaderId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;

type Leader = openraft::type_config::alias::LeaderIdOf<Types>;

fn open(storage: &dyn Storage) -> (LogStore, StateMachine) {
    let fault = Fault::none();
    let log = StoreSlot::open(storage, LOG, fault.clone()).unwrap();
    let state = StoreSlot::open(storage, STATE, fault).unwrap();
    (
        LogStore::load(log).unwrap(),
        StateMachine::load(state).unwrap(),
    )
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(Leader::new(term, 1).to_committed(), index)
}

fn entry(term: u64, index: u64, bytes: Vec<u8>) -> Entry {
    let payload = Payload::Normal(Proposal(Opaque::from(bytes)));
    Entry {
        log_id: log_id(term, index),
        payload,
    }
}

struct OnMemory;

impl StoreBuilder<Types, LogStore, StateMachine> for OnMemory {
    async fn build(&self) -> Result<((), LogStore, StateMachine), StorageError<Types>> {
        let (log, machine) = open(&MemStorage::new());
        Ok(((), log, machine))
    }
}

#[tokio::test]
async fn openrafts_suite_on_memory() {
    let suite = Suite::<Types, LogStore, StateMachine, _, ()>::test_all(OnMemory);
    Runtime::scope(1, Box::pin(suite)).await.unwrap();
}

#[cfg(feature = "rocksdb")]
mod on_rocksdb {
    use super::*;
    use conclave_env::os::RocksStorage;

    struct OnRocksDb;

    impl StoreBuilder<Types, LogStore, StateMachine, tempfile::TempDir> for OnRocksDb {
        async fn build(
            &self,
        ) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<Types>> {
            let directory = tempfile::tempdir().unwrap();
            let (log, machine) = open(&RocksStorage::new(directory.path()));
            Ok((directory, log, machine))
        }
    }

    #[tokio::test]
    async fn openrafts_suite_on_rocksdb() {
        let suite =
            Suite::<Types, LogStore, StateMachine, _, tempfile::TempDir>::test_all(OnRocksDb);
        Runtime::scope(1, Box::pin(suite)).await.unwrap();
    }
}

/// A stream of numbers that repeats with its seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What a log should hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries
            .values()
            .next_back()
            .map(|entry| entry.log_id)
            .or(self.purged)
    }

    async fn read(log: &mut LogStore) -> Self {
        let state = log.get_log_state().await.unwrap();
        let entries = log.try_get_log_entries(..).await.unwrap();
        let model = Self {
            vote: log.read_vote().await.unwrap(),
            committed: log.read_committed().await.unwrap(),
            purged: state.last_purged_log_id,
            entries: entries
                .into_iter()
                .map(|entry| (entry.log_id.index, entry))
                .collect(),
        };
        assert_eq!(model.last(), state.last_log_id);
        model
    }
}

/// A log under test, what it held after each write, and how many of those writes were acknowledged.
struct Run {
    log: LogStore,
    draw: Draw,
    history: Vec<Model>,
    acknowledged: usize,
    appends: Vec<(usize, oneshot::Receiver<Result<(), std::io::Error>>)>,
    term: u64,
}

impl Run {
    fn now(&self) -> Model {
        self.history.last().unwrap().clone()
    }

    /// One random write; with `cut`, the power fails before its answer is waited for.
    async fn step(&mut self, cut: bool) {
        let mut model = self.now();
        let mut log = self.log.clone();
        let first = model.purged.map_or(0, |id| id.index + 1);
        let next = model.last().map_or(0, |id| id.index + 1);
        let work = match self.draw.below(10) {
            0..5 => return self.append(model, next).await,
            5 | 6 => {
                self.term += 1;
                let vote = Vote::new(self.term, 1);
                model.vote = Some(vote);
                async move { log.save_vote(&vote).await }.boxed()
            }
            7 => {
                let committed = model.last();
                model.committed = committed;
                async move { log.save_committed(committed).await }.boxed()
            }
            8 => {
                let after = first + self.draw.below(next - first + 1);
                let after = after.checked_sub(1).and_then(|index| {
                    model
                        .entries
                        .get(&index)
                        .map(|entry| entry.log_id)
                        .or(model.purged)
                });
                model.entries.split_off(&after.map_or(0, |id| id.index + 1));
                async move { log.truncate_after(after).await }.boxed()
            }
            _ => {
                let Some(upto) = model.entries.get(&(first + self.draw.below(3))) else {
                    return;
                };
                let upto = upto.log_id;
                model.purged = Some(upto);
                model.entries = model.entries.split_off(&(upto.index + 1));
                async move { log.purge(upto).await }.boxed()
            }
        };
        let is_buffered = model.committed != self.now().committed;
        self.history.push(model);
        if cut {
            drop(work.now_or_never());
        } else {
            work.await.unwrap();
            if !is_buffered {
                self.acknowledged = self.history.len() - 1;
            }
        }
    }

    async fn append(&mut self, mut model: Model, next: u64) {
        let count = 1 + self.draw.below(4);
        let new: Vec<_> = (next..next + count)
            .map(|index| {
                entry(
                    self.term,
                    index,
                    vec![7; usize::try_from(index % 50).unwrap()],
                )
            })
            .collect();
        model
            .entries
            .extend(new.iter().map(|entry| (entry.log_id.index, entry.clone())));
        let (done, flushed) = Types::oneshot();
        self.log.append(new, IOFlushed::signal(done)).await.unwrap();
        self.history.push(model);
        self.appends.push((self.history.len() - 1, flushed));
        // Readable at once, durable or not.
        assert_eq!(Model::read(&mut self.log.clone()).await, self.now());
    }

    fn collect_acknowledgements(&mut self) {
        for (number, flushed) in &mut self.appends {
            if let Ok(result) = flushed.try_recv() {
                result.unwrap();
                self.acknowledged = self.acknowledged.max(*number);
            }
        }
    }
}

/// Power failures at random moments, life after life on one disk: what is left is always what some prefix of the
/// writes made, and holds all that was acknowledged.
async fn lives(seed: u64) {
    let storage = MemStorage::with_sync_delay(Duration::from_micros(200));
    let mut draw = Draw(seed);
    let mut known = vec![Model::default()];
    let mut at_least = 0;
    let mut term = 1;
    for life in 0..4 {
        let log = StoreSlot::open(&storage, LOG, Fault::none()).unwrap();
        let mut log = LogStore::load(log).unwrap();
        let found = Model::read(&mut log).await;
        assert!(
            known[at_least..].contains(&found),
            "seed {seed}, life {life}: {found:?} is no prefix that holds all acknowledged writes"
        );
        let history = vec![found];
        let mut run = Run {
            log,
            draw,
            history,
            acknowledged: 0,
            appends: Vec::new(),
            term,
        };
        let steps = 1 + run.draw.below(25);
        for step in 0..steps {
            run.step(step + 1 == steps).await;
            if run.draw.below(3) == 0 {
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        }
        run.collect_acknowledgements();
        storage.crash(seed ^ life);
        Run {
            draw,
            history: known,
            acknowledged: at_least,
            term,
            ..
        } = run;
    }
}

#[tokio::test]
async fn acknowledged_log_writes_survive_power_failures() {
    for seed in 0..200 {
        lives(seed).await;
    }
}

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
        // Every seventh command is one that nobody can read.
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
        let bytes = if index % 7 == 6 {
            vec![0xff]
        } else {
            command(index)
        };
        Ok((entry(1, index, bytes), None))
    });
    machine
        .apply(stream::iter(entries.collect::<Vec<_>>()))
        .await
        .unwrap();
}

/// Rows and applied index belong together after any power failure, and a snapshot of our own brings back what a
/// crash took from the rows.
#[tokio::test]
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
                        // What is applied in between is not in the snapshot.
                        apply(&mut machine, next, 1).await;
                        let snapshot = builder.build_snapshot().await.unwrap();
                        assert_eq!(snapshot.meta.last_log_id, Some(log_id(1, next - 1)));
                        next += 1;
                    }
                    _ => {}
                }
            }
            storage.crash(seed ^ life);
        }
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

#[tokio::test]
async fn a_failed_sync_is_reported_and_ends_the_replica() {
    let storage = MemStorage::new();
    let fault = Fault::none();
    let slot = StoreSlot::open(&storage, LOG, fault.clone()).unwrap();
    let mut log = LogStore::load(slot).unwrap();
    storage.fail_writes(Some(StoreError::NoSpace { path: "log".into() }));
    assert!(log.save_vote(&Vote::new(1, 1)).await.is_err());
    assert!(fault.get().unwrap().contains("no space left"));
    assert_eq!(log.read_vote().await.unwrap(), None);
}
