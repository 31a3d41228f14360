//! A real disk beneath a simulated one: what the simulated one says is done there too, and compared.

use crate::store::{Database, Row, Storage, Store, StoreError};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

/// How far the newest write-ahead log of a database reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Its file; empty if there is none.
    pub log: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// A real disk that can be made to look as after a power failure. Its stores do everything before they return, syncs
/// included.
pub trait Beneath: Storage {
    /// How far a database's log reaches now.
    ///
    /// # Errors
    /// As the disk has them.
    fn tail(&self, database: &'static str) -> Result<Tail, StoreError>;

    /// Of a database that is closed: what was logged behind `tail`, which may be in the midst of a record, is gone.
    ///
    /// # Errors
    /// As the disk has them.
    fn cut(&self, tail: &Tail) -> Result<(), StoreError>;

    /// A file that holds these bytes.
    ///
    /// # Errors
    /// As the disk has them.
    fn find(&self, needle: &[u8]) -> Result<Option<String>, StoreError>;
}

/// What is known of the disk beneath.
#[derive(Clone)]
pub(super) struct Underside {
    disk: Arc<dyn Beneath>,
    databases: Arc<Mutex<BTreeMap<&'static str, Reach>>>,
    difference: Arc<Mutex<Option<String>>>,
}

/// How far a database's log reached.
#[derive(Default)]
struct Reach {
    /// When all that was written was durable.
    durable: Tail,
    /// After each batch since then.
    batches: VecDeque<Tail>,
    /// Where the last power failure ended it, until it is opened.
    cut: Option<Tail>,
}

impl Underside {
    pub(super) fn new(disk: Arc<dyn Beneath>) -> Self {
        Self {
            disk,
            databases: Arc::default(),
            difference: Arc::default(),
        }
    }

    /// The first thing that was not as the simulated disk has it.
    pub(super) fn difference(&self) -> Option<String> {
        self.difference.lock().clone()
    }

    pub(super) fn differs(&self, detail: &str) -> StoreError {
        self.difference
            .lock()
            .get_or_insert_with(|| detail.to_owned());
        StoreError::Corrupt {
            path: self.disk.location(),
            detail: detail.to_owned(),
        }
    }

    /// Passes on what the disk beneath answered; a failure there is a difference, since nothing makes it fail.
    pub(super) fn passes<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        answer.inspect_err(|error| {
            if !matches!(
                error,
                StoreError::NoCheckpoint { .. } | StoreError::InUse { .. }
            ) {
                self.differs(&format!("the disk beneath fails: {error}"));
            }
        })
    }

    /// Opens a database as the last power failure left it.
    pub(super) fn open(&self, database: Database) -> Result<Arc<dyn Store>, StoreError> {
        let mut databases = self.databases.lock();
        let reach = databases.entry(database.name).or_default();
        if let Some(tail) = reach.cut.take() {
            self.passes(self.disk.cut(&tail))?;
        }
        let store = self.passes(self.disk.open(database))?;
        reach.batches.clear();
        reach.durable = self.passes(self.disk.tail(database.name))?;
        Ok(store)
    }

    /// Notes how far the log reaches with one batch more.
    pub(super) fn written(&self, database: Database) -> Result<(), StoreError> {
        let tail = self.passes(self.disk.tail(database.name))?;
        let mut databases = self.databases.lock();
        databases
            .entry(database.name)
            .or_default()
            .batches
            .push_back(tail);
        Ok(())
    }

    /// Notes that all that was written is durable.
    pub(super) fn synced(&self, database: Database) -> Result<(), StoreError> {
        let tail = self.passes(self.disk.tail(database.name))?;
        let mut databases = self.databases.lock();
        let reach = databases.entry(database.name).or_default();
        reach.batches.clear();
        reach.durable = tail;
        Ok(())
    }

    /// The power failed, and of the batches that were not synced the first `kept` are there; `torn` draws how much of
    /// the next one is.
    pub(super) fn crash(&self, database: &'static str, kept: u64, torn: u64) {
        let mut databases = self.databases.lock();
        let Some(reach) = databases.get_mut(database) else {
            return;
        };
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        if let Some(next) = reach.batches.get(kept) {
            let last = kept
                .checked_sub(1)
                .and_then(|place| reach.batches.get(place));
            let mut tail = last.unwrap_or(&reach.durable).clone();
            let is_same = next.log == tail.log;
            let record = next.bytes.saturating_sub(tail.bytes);
            tail.bytes += torn
                .checked_rem(record)
                .filter(|_| is_same)
                .unwrap_or_default();
            reach.cut = Some(tail);
        }
        reach.batches.clear();
    }

    pub(super) fn find(&self, needle: &[u8]) -> Option<String> {
        match self.disk.find(needle) {
            Ok(found) => found,
            Err(error) => Some(format!("a file that cannot be read: {error}")),
        }
    }
}

/// What a store beneath answers, which it does before the call returns.
pub(super) fn now<T: Send + 'static>(call: impl FnOnce(Answering<T>)) -> Result<T, StoreError> {
    let answer = Arc::new(Mutex::new(None));
    let given = Arc::clone(&answer);
    call(Box::new(move |result| *given.lock() = Some(result)));
    let answer = answer.lock().take();
    answer.expect("a store beneath answers before it returns")
}

type Answering<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// All rows of a database, by table.
pub(super) fn all_rows(
    store: &dyn Store,
    database: Database,
) -> Result<Vec<(&'static str, Vec<Row>)>, StoreError> {
    let rows = |table: &&'static str| {
        let rows = store.scan(table, Bound::Unbounded, Bound::Unbounded, usize::MAX)?;
        Ok((*table, rows))
    };
    database.tables.iter().map(rows).collect()
}
