//! Erasing: what was overwritten or removed leaves the files of the database.

use super::super::error::io_error;
use super::super::{files, generation};
use super::{Inner, Live};
use crate::limits::{ERASURE_MAX, ERASURE_PAUSE};
use crate::store::StoreError;
use rocksdb::{BottommostLevelCompaction, CompactOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Inner {
    /// Rewrites a table into new files, and waits until the old ones and the logs before are gone.
    pub(super) fn erase(&self, table: &'static str) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| io_error(&self.dir, &error);
        let live = self.live.read();
        let db_dir = generation::generation_dir(&self.dir, live.generation);
        // Of an install whose files could not be removed then.
        generation::remove_others(&self.dir, Some(live.generation)).map_err(failed)?;
        let mut old = self.files_of(&live, table, &db_dir)?;
        // A log goes when all tables that it wrote to have been flushed.
        old.extend(logs(&db_dir).map_err(failed)?);
        self.flush_tables(&live)?;
        let mut options = CompactOptions::default();
        // By itself RocksDB leaves alone what it holds for merged.
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        live.db
            .compact_range_cf_opt::<&[u8], &[u8]>(live.table(table), None, None, &options);
        // That call says nothing of an error: the files do.
        self.wait_until_gone(&old)?;
        files::sync_dir(&db_dir).map_err(failed)?;
        drop(live);
        self.watermark.lock().look()
    }

    fn files_of(
        &self,
        live: &Live,
        table: &str,
        db_dir: &Path,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let files = live.db.live_files().map_err(|error| self.error(error))?;
        let of_table = files.iter().filter(|it| it.column_family_name == table);
        Ok(of_table
            .map(|file| db_dir.join(file.name.trim_start_matches('/')))
            .collect())
    }

    fn wait_until_gone(&self, old: &[PathBuf]) -> Result<(), StoreError> {
        let start = Instant::now();
        while let Some(path) = old.iter().find(|path| path.exists()) {
            let problem = if self.is_closing.load(Ordering::Relaxed) {
                files::stopped()
            } else if start.elapsed() > ERASURE_MAX {
                std::io::Error::other("it is no longer needed, and was not removed")
            } else {
                std::thread::sleep(ERASURE_PAUSE);
                continue;
            };
            return Err(io_error(path, &problem));
        }
        Ok(())
    }
}

/// The write-ahead logs in which something is. An empty one is the next to be written, and stays.
fn logs(db_dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for (_, path) in files::names(db_dir)? {
        if path.extension().is_none_or(|it| it != "log") {
            continue;
        }
        match path.metadata() {
            Ok(metadata) if metadata.len() > 0 => logs.push(path),
            Ok(_) => {}
            // RocksDB has just removed it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(logs)
}
