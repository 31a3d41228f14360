//! Checkpoints of an open database, and the contents of one in place of its own.

use super::super::Work;
use super::super::checkpoints::{files_dir, next_turns};
use super::super::error::{corrupt, io_error};
use super::super::files;
use super::super::generation;
use super::super::manifest::Manifest;
use super::{Inner, Live};
use crate::limits::SCRUB_BYTES;
use crate::store::{Checkpoint, CheckpointFile, StoreError};
use rocksdb::FlushOptions;
use std::path::{Path, PathBuf};

/// A checkpoint copies the log of what is not in tables yet, however much that is: to write tables takes longer, and
/// nobody writes meanwhile.
const WITH_LOG: u64 = u64::MAX;
/// The files of a table that checkpoints and recoveries left.
const FILES_PROPERTY: &str = "rocksdb.num-files-at-level0";
/// How many of them are merged into one; RocksDB's own default.
const FILES_MERGED: u64 = 4;

impl Inner {
    /// Takes the image of this instant, in a directory that nobody sees yet.
    pub(super) fn begin_checkpoint(&self) -> Result<PathBuf, StoreError> {
        let built = self.checkpoints.begin()?;
        let _gate = self.gate.write();
        let live = self.live.read();
        rocksdb::checkpoint::Checkpoint::new(&live.db)
            .and_then(|checkpoint| {
                checkpoint.create_checkpoint_with_log_size(files_dir(&built), WITH_LOG)
            })
            .map_err(|error| self.error(error))?;
        Ok(built)
    }

    /// Moves what was written to tables.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        self.flush_tables(&self.live.read())?;
        if self.work == Work::Inline {
            self.merge()?;
        }
        self.watermark.lock().look()
    }

    pub(super) fn flush_tables(&self, live: &Live) -> Result<(), StoreError> {
        let tables = self.database.tables.iter().map(|name| live.table(name));
        live.db
            .flush_cfs_opt(&tables.collect::<Vec<_>>(), &FlushOptions::default())
            .map_err(|error| self.error(error))
    }

    /// Reads back what no earlier checkpoint holds and some of what one does, and lets the checkpoint be seen.
    pub(super) fn finish_checkpoint(
        &self,
        built: &Path,
        name: &str,
        meta: &[u8],
    ) -> Result<Checkpoint, StoreError> {
        let stop = &self.is_closing;
        let known = self.checkpoints.shared(built)?;
        // Else a digest would vouch for what nobody can read, and another node would install it.
        generation::read_tables(&files_dir(built), &known, stop)?;
        let mut trusted = known.clone();
        for turn in next_turns(&known, &mut self.scrubbed.lock(), SCRUB_BYTES) {
            trusted.remove(&turn);
        }
        let files = self.checkpoints.describe(built, &trusted, stop)?;
        let changed = |file: &&CheckpointFile| known.get(&file.name).is_some_and(|it| it != *file);
        if let Some(file) = files.iter().find(changed) {
            let path = files_dir(built).join(&file.name);
            return Err(corrupt(&path, "it has changed since it was written"));
        }
        let checkpoint = Checkpoint {
            name: name.to_owned(),
            meta: meta.to_vec(),
            files,
        };
        self.checkpoints.publish(built, &checkpoint)?;
        Ok(checkpoint)
    }

    /// Merges the files of tables that have many, as RocksDB otherwise does when it likes.
    fn merge(&self) -> Result<(), StoreError> {
        let live = self.live.read();
        for name in self.database.tables {
            let table = live.table(name);
            let files = live.db.property_int_value_cf(table, FILES_PROPERTY);
            let files = files.map_err(|error| self.error(error))?;
            if files.is_some_and(|files| files >= FILES_MERGED) {
                live.db.compact_range_cf::<&[u8], &[u8]>(table, None, None);
            }
        }
        Ok(())
    }

    pub(super) fn install(&self, name: &str) -> Result<(), StoreError> {
        let files = self.checkpoints.verify(name)?;
        let _gate = self.gate.write();
        let next = self.live.read().generation + 1;
        let next_dir = generation::generation_dir(&self.dir, next);
        generation::build(&files, &next_dir).map_err(|error| io_error(&next_dir, &error))?;
        let db = generation::open(&self.dir, next, self.database, &self.cache, self.work)?;
        generation::write_current(&self.dir, next)?;
        let mut live = self.live.write();
        let old = std::mem::replace(
            &mut *live,
            Live {
                db,
                generation: next,
            },
        );
        let old_dir = generation::generation_dir(&self.dir, old.generation);
        drop(old);
        let mut watermark = self.watermark.lock();
        watermark.follow(live.mark(), Manifest::open(&next_dir)?)?;
        // What cannot be removed now is removed at the next open.
        let _ = files::remove_dir_if_there(&old_dir);
        Ok(())
    }
}
