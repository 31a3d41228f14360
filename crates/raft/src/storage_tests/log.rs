//! The log under power failures.

use super::{Draw, entry};
use crate::fault::Fault;
use crate::log::{LOG, LogStore};
use crate::slot::StoreSlot;
use crate::types::{Entry, LogId, Types, Vote};
use conclave_env::StoreError;
use conclave_env::mem::MemStorage;
use futures::FutureExt;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;

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
    /// To be written with the next append.
    committed: Option<LogId>,
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
                self.committed = model.last().or(self.committed);
                log.save_committed(self.committed).await.unwrap();
                return;
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
        self.history.push(model);
        if cut {
            drop(work.now_or_never());
        } else {
            work.await.unwrap();
            self.acknowledged = self.history.len() - 1;
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
        model.committed = self.committed.take().or(model.committed);
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
            committed: None,
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
