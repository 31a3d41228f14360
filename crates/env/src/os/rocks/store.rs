//! One open database.

mod erasure;
mod images;

use super::Work;
use super::checkpoints::Checkpoints;
use super::error::{corrupt, io_error, rocks_error};
use super::finisher::Finisher;
use super::generation;
use super::manifest::{self, Manifest};
use super::receiver::RocksReceiver;
use super::syncer::Syncer;
use super::watermark::{Mark, Watermark};
use crate::checkpoint::{is_checkpoint_name, objection};
use crate::store::{
    Batch, Checkpoint, Database, Done, Receiver, Row, Store, StoreError, Taken, Write,
};
use parking_lot::{Mutex, RwLock};
use rocksdb::{Cache, ColumnFamily, DB, Direction, IteratorMode, ReadOptions, WriteBatch};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) struct RocksStore {
    // Dropped first: they answer who waits, then let go of the database. `None`: whoever calls works.
    syncer: Option<Syncer>,
    finisher: Option<Finisher>,
    inner: Arc<Inner>,
}

/// What the store and its thread share.
struct Inner {
    dir: PathBuf,
    database: Database,
    cache: Cache,
    work: Work,
    live: RwLock<Live>,
    /// Writers hold it shared, so that a checkpoint is taken between two batches.
    gate: RwLock<()>,
    watermark: Mutex<Watermark>,
    checkpoints: Arc<Checkpoints>,
    /// Groups of callers for which the log was synced.
    syncs: AtomicU64,
    /// The last file of a checkpoint that was read again.
    scrubbed: Mutex<String>,
    /// Set when the database is about to be closed.
    is_closing: AtomicBool,
    /// The first failure to write, which is final: after a failed fsync nobody knows what is on the disk.
    failed: Mutex<Option<StoreError>>,
    /// Held while the database is open.
    _lock: File,
}

struct Live {
    db: DB,
    generation: u64,
}

impl Live {
    fn table(&self, name: &str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .unwrap_or_else(|| panic!("no table {name} in this database"))
    }

    fn mark(&self) -> Mark {
        Mark {
            generation: self.generation,
            sequence: self.db.latest_sequence_number(),
        }
    }
}

impl RocksStore {
    pub(super) fn open(
        dir: &Path,
        database: Database,
        cache: &Cache,
        work: Work,
    ) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| io_error(dir, &error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = lock(dir)?;
        let current = generation::read_current(dir)?;
        if current.is_none() {
            must_be_new(dir)?;
        }
        generation::remove_others(dir, current).map_err(failed)?;
        let checkpoints = Checkpoints::open(dir.join("checkpoints"))?;
        let (live, watermark) = match current {
            Some(current) => open_existing(dir, current, database, cache, work)?,
            None => create(dir, database, cache, work)?,
        };
        let inner = Arc::new(Inner {
            dir: dir.to_owned(),
            database,
            cache: cache.clone(),
            work,
            live: RwLock::new(live),
            gate: RwLock::new(()),
            watermark: Mutex::new(watermark),
            checkpoints: Arc::new(checkpoints),
            syncs: AtomicU64::new(0),
            scrubbed: Mutex::default(),
            is_closing: AtomicBool::new(false),
            failed: Mutex::new(None),
            _lock: lock,
        });
        let of_thread = Arc::clone(&inner);
        let (syncer, finisher) = match work {
            Work::Threads => {
                let started = Syncer::start(database.name, move || of_thread.flush());
                (Some(started.map_err(failed)?), Some(Finisher::default()))
            }
            Work::Inline => (None, None),
        };
        Ok(Self {
            syncer,
            finisher,
            inner,
        })
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("LOCK");
    let file = File::create(&path).map_err(|error| io_error(&path, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse {
            path: dir.display().to_string(),
        }),
        Err(error) => Err(io_error(&path, &error.into())),
    }
}

/// Refuses a directory that names no generation and yet had one: what is in it is not to be removed.
fn must_be_new(dir: &Path) -> Result<(), StoreError> {
    match Watermark::open(&dir.join("watermark")) {
        Ok(watermark) if watermark.mark().sequence > 0 => {
            Err(corrupt(&dir.join("CURRENT_DB"), "it is missing"))
        }
        // A crash came before the first write.
        Ok(_) | Err(StoreError::Corrupt { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn create(
    dir: &Path,
    database: Database,
    cache: &Cache,
    work: Work,
) -> Result<(Live, Watermark), StoreError> {
    let live = Live {
        db: generation::open(dir, 1, database, cache, work)?,
        generation: 1,
    };
    let mut watermark = Watermark::create(&dir.join("watermark"), live.mark())?;
    let manifest = Manifest::open(&generation::generation_dir(dir, live.generation))?;
    watermark.follow(live.mark(), manifest)?;
    generation::write_current(dir, live.generation)?;
    if let Some(data_dir) = dir.parent() {
        super::files::sync_dir(data_dir).map_err(|error| io_error(data_dir, &error))?;
    }
    Ok((live, watermark))
}

fn open_existing(
    dir: &Path,
    generation: u64,
    database: Database,
    cache: &Cache,
    work: Work,
) -> Result<(Live, Watermark), StoreError> {
    if !generation::generation_dir(dir, generation)
        .join("CURRENT")
        .exists()
    {
        return Err(corrupt(dir, format!("db-{generation} is missing")));
    }
    let mut watermark = Watermark::open(&dir.join("watermark"))?;
    let db_dir = generation::generation_dir(dir, generation);
    if watermark.mark().generation == generation {
        manifest::verify(&db_dir, watermark.manifest())?;
    }
    let live = Live {
        db: generation::open(dir, generation, database, cache, work)?,
        generation,
    };
    let (found, durable) = (live.mark(), watermark.mark());
    // A generation older than the watermark's was live before; a newer one has just been installed.
    if found < durable {
        let detail = format!(
            "it ends at {} of generation {}, and {} of generation {} was durable",
            found.sequence, found.generation, durable.sequence, durable.generation
        );
        return Err(corrupt(dir, detail));
    }
    // Recovery has flushed what it found.
    watermark.follow(found, Manifest::open(&db_dir)?)?;
    Ok((live, watermark))
}

impl Inner {
    fn error(&self, error: rocksdb::Error) -> StoreError {
        rocks_error(&self.dir, error)
    }

    /// Runs something that writes, unless something has failed before; keeps its failure.
    fn writing<T>(&self, write: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(error) = &*self.failed.lock() {
            return Err(error.clone());
        }
        write().inspect_err(|error| {
            let is_final = !matches!(error, StoreError::NoCheckpoint { .. });
            let mut failed = self.failed.lock();
            if is_final && failed.is_none() {
                *failed = Some(error.clone());
            }
        })
    }

    /// Makes all that was written before durable.
    fn flush(&self) -> Result<(), StoreError> {
        self.writing(|| {
            let live = self.live.read();
            // Read before the fsync: what is written meanwhile is not covered by it.
            let mark = live.mark();
            live.db.flush_wal(true).map_err(|error| self.error(error))?;
            self.syncs.fetch_add(1, Ordering::Relaxed);
            self.watermark.lock().advance(mark)
        })
    }

    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        let _gate = self.gate.read();
        let live = self.live.read();
        let mut writes = WriteBatch::default();
        for write in batch.writes {
            match write {
                Write::Put { table, key, value } => writes.put_cf(live.table(table), key, value),
                Write::Delete { table, key } => writes.delete_cf(live.table(table), key),
                // RocksDB calls a range that ends before it begins an error.
                Write::DeleteRange { from, to, .. } if from >= to => {}
                Write::DeleteRange { table, from, to } => {
                    writes.delete_range_cf(live.table(table), from, to);
                }
            }
        }
        live.db.write(writes).map_err(|error| self.error(error))?;
        // Tables may have been flushed meanwhile. Whoever holds the watermark looks itself.
        match self.watermark.try_lock() {
            Some(mut watermark) => watermark.look(),
            None => Ok(()),
        }
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        self.inner.is_closing.store(true, Ordering::Relaxed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.watermark.lock().sync() {
            tracing::warn!(%error, "the watermark was not synced at close");
        }
    }
}

/// The bound as RocksDB wants it: the first key not before it. `None` has no bound.
fn first_key(bound: Bound<&[u8]>, is_upper: bool) -> Option<Vec<u8>> {
    let (key, is_after) = match bound {
        Bound::Unbounded => return None,
        Bound::Included(key) => (key, is_upper),
        Bound::Excluded(key) => (key, !is_upper),
    };
    // The key directly after another is that one with a zero byte.
    let mut key = key.to_vec();
    key.extend_from_slice(if is_after { &[0] } else { &[] });
    Some(key)
}

impl RocksStore {
    /// Does what takes long and is waited for by nobody who has other things to do.
    fn later(&self, job: impl FnOnce() + Send + 'static) {
        match &self.finisher {
            Some(finisher) => finisher.run(Box::new(job)),
            None => job(),
        }
    }
}

impl Store for RocksStore {
    fn read(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let live = self.inner.live.read();
        live.db
            .get_cf(live.table(table), key)
            .map_err(|error| self.inner.error(error))
    }

    fn scan(
        &self,
        table: &'static str,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (from, to) = (first_key(from, false), first_key(to, true));
        if let (Some(from), Some(to)) = (&from, &to)
            && from >= to
        {
            return Ok(Vec::new());
        }
        let live = self.inner.live.read();
        let mut options = ReadOptions::default();
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        let mode = from.as_deref().map_or(IteratorMode::Start, |from| {
            IteratorMode::From(from, Direction::Forward)
        });
        live.db
            .iterator_cf_opt(live.table(table), options, mode)
            .take(limit)
            .map(|row| row.map(|(key, value)| (key.into_vec(), value.into_vec())))
            .collect::<Result<_, _>>()
            .map_err(|error| self.inner.error(error))
    }

    fn last(&self, table: &'static str) -> Result<Option<Row>, StoreError> {
        let live = self.inner.live.read();
        let mut rows = live.db.iterator_cf(live.table(table), IteratorMode::End);
        let row = rows
            .next()
            .transpose()
            .map_err(|error| self.inner.error(error))?;
        Ok(row.map(|(key, value)| (key.into_vec(), value.into_vec())))
    }

    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.inner.writing(|| self.inner.write(batch))
    }

    fn sync(&self, done: Done) {
        let Some(syncer) = &self.syncer else {
            return done(self.inner.flush());
        };
        if let Err(done) = syncer.push(done) {
            let path = self.inner.dir.display().to_string();
            done(Err(StoreError::Io {
                path,
                detail: "too many calls wait for the disk".to_owned(),
            }));
        }
    }

    fn syncs(&self) -> u64 {
        self.inner.syncs.load(Ordering::Relaxed)
    }

    fn settle(&self, done: Done) {
        let inner = Arc::clone(&self.inner);
        self.later(move || {
            let settled = inner.writing(|| inner.settle());
            // Whoever waits may close the database next.
            drop(inner);
            done(settled);
        });
    }

    fn erase(&self, table: &'static str, done: Done) {
        let inner = Arc::clone(&self.inner);
        self.later(move || {
            let erased = inner.writing(|| inner.erase(table));
            drop(inner);
            done(erased);
        });
    }

    fn checkpoint(&self, name: &str, meta: &[u8], taken: Taken) {
        assert!(
            is_checkpoint_name(name),
            "a checkpoint's name is chosen by our own code"
        );
        let built = match self.inner.writing(|| self.inner.begin_checkpoint()) {
            Ok(built) => built,
            Err(error) => return taken(Err(error)),
        };
        let inner = Arc::clone(&self.inner);
        let (name, meta) = (name.to_owned(), meta.to_vec());
        self.later(move || {
            let finished = inner.writing(|| inner.finish_checkpoint(&built, &name, &meta));
            drop(inner);
            taken(finished);
        });
    }

    fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        self.inner.checkpoints.list()
    }

    fn remove_checkpoint(&self, name: &str) -> Result<(), StoreError> {
        let hidden = self.inner.writing(|| self.inner.checkpoints.hide(name))?;
        if let Some(hidden) = hidden {
            let inner = Arc::clone(&self.inner);
            self.later(move || {
                // A failure is kept, and met by whoever writes next.
                let _ = inner.writing(|| inner.checkpoints.remove(&hidden));
            });
        }
        Ok(())
    }

    fn read_checkpoint(
        &self,
        name: &str,
        file: &str,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, StoreError> {
        self.inner.checkpoints.read(name, file, offset, len)
    }

    fn receive(&self, checkpoint: Checkpoint) -> Result<Box<dyn Receiver>, StoreError> {
        if let Some(objection) = objection(&checkpoint) {
            return Err(corrupt(&self.inner.dir, objection));
        }
        let checkpoints = Arc::clone(&self.inner.checkpoints);
        Ok(Box::new(RocksReceiver::new(checkpoints, checkpoint)?))
    }

    fn install(&self, name: &str) -> Result<(), StoreError> {
        self.inner.writing(|| self.inner.install(name))
    }
}
