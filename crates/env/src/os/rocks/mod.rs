//! Databases on a real disk, by RocksDB.
//!
//! ```text
//! <data>/<name>/LOCK               held while open
//! <data>/<name>/CURRENT_DB         names the live generation
//! <data>/<name>/db-<n>/            RocksDB's own files
//! <data>/<name>/watermark          the last sequence number and MANIFEST known durable
//! <data>/<name>/checkpoints/<c>/   MANIFEST and db/
//! ```

mod checkpoints;
mod error;
mod files;
mod finisher;
mod generation;
mod manifest;
mod options;
mod power;
mod receiver;
mod store;
mod syncer;
mod watermark;

use crate::limits::PROBE_BYTES;
use crate::store::{Database, Storage, Store, StoreError};
use error::io_error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// A node's data directory.
pub struct RocksStorage {
    data_dir: PathBuf,
    cache: rocksdb::Cache,
    work: Work,
}

/// Who does what takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Threads, while callers go on.
    Threads,
    /// The caller, so that the same calls leave the same database.
    Inline,
}

impl RocksStorage {
    /// Databases below this directory, which is made if it is not there.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self::build(data_dir.into(), Work::Threads)
    }

    /// The same for a simulation, in which nothing happens by itself: a sync has been done when it returns, and
    /// RocksDB merges tables only after a checkpoint, while its caller waits.
    pub fn inline(data_dir: impl Into<PathBuf>) -> Self {
        Self::build(data_dir.into(), Work::Inline)
    }

    fn build(data_dir: PathBuf, work: Work) -> Self {
        let cache = rocksdb::Cache::new_lru_cache(crate::limits::BLOCK_CACHE_BYTES);
        Self {
            data_dir,
            cache,
            work,
        }
    }

    fn write_probe(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.data_dir)?;
        let path = self.data_dir.join(".probe");
        // Not zeros, which some file systems store as nothing.
        let block = vec![0xA5; 1 << 16];
        let written = std::fs::File::create(&path).and_then(|mut file| {
            for _ in 0..PROBE_BYTES / block.len() {
                file.write_all(&block)?;
            }
            file.sync_all()
        });
        let removed = std::fs::remove_file(&path);
        written.and(removed)
    }
}

impl Storage for RocksStorage {
    fn open(&self, database: Database) -> Result<Arc<dyn Store>, StoreError> {
        let dir = self.data_dir.join(database.name);
        Ok(Arc::new(store::RocksStore::open(
            &dir,
            database,
            &self.cache,
            self.work,
        )?))
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.write_probe()
            .map_err(|error| io_error(&self.data_dir, &error))
    }

    fn location(&self) -> String {
        self.data_dir.display().to_string()
    }
}
