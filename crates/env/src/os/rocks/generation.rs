//! Which of the directories `db-<n>` is the live one, and how another takes its place.

use super::Work;
use super::checkpoints::Described;
use super::error::{corrupt, io_error, rocks_error};
use super::files;
use super::options::{database_options, table_options};
use crate::store::{Database, StoreError};
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, DBRecoveryMode, LiveFile};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Of [`read_tables`], which reads nothing twice.
const READ_CACHE_BYTES: usize = 1 << 20;

/// Tables every RocksDB database has, wanted or not.
const DEFAULT_TABLE: &str = "default";

pub(super) fn generation_dir(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("db-{generation}"))
}

fn pointer(dir: &Path) -> PathBuf {
    dir.join("CURRENT_DB")
}

/// The live generation, `None` in a new directory.
pub(super) fn read_current(dir: &Path) -> Result<Option<u64>, StoreError> {
    let path = pointer(dir);
    let Some(text) = files::read_if_there(&path).map_err(|error| io_error(&path, &error))? else {
        return Ok(None);
    };
    let parse = || {
        let digits = std::str::from_utf8(&text)
            .ok()?
            .strip_prefix("1 db-")?
            .strip_suffix('\n')?;
        digits.parse().ok()
    };
    parse()
        .map(Some)
        .ok_or_else(|| corrupt(&path, "it names no generation"))
}

/// Makes a generation the live one. The first number is the file's format version.
pub(super) fn write_current(dir: &Path, generation: u64) -> Result<(), StoreError> {
    let path = pointer(dir);
    let text = format!("1 db-{generation}\n");
    files::replace(&path, text.as_bytes()).map_err(|error| io_error(&path, &error))
}

/// Removes what crashes left behind: generations that are not the live one.
pub(super) fn remove_others(dir: &Path, live: Option<u64>) -> io::Result<()> {
    let live = live.map(|generation| generation_dir(dir, generation));
    for (name, path) in files::names(dir)? {
        if name.starts_with("db-") && Some(&path) != live.as_ref() {
            files::remove_dir_if_there(&path)?;
        }
    }
    Ok(())
}

/// Opens a generation with these tables and all others that it has.
pub(super) fn open(
    dir: &Path,
    generation: u64,
    database: Database,
    cache: &Cache,
    work: Work,
) -> Result<DB, StoreError> {
    let path = generation_dir(dir, generation);
    let options = database_options(work);
    let mut tables: BTreeSet<String> = database
        .tables
        .iter()
        .map(|table| (*table).to_owned())
        .collect();
    tables.insert(DEFAULT_TABLE.to_owned());
    let failed = |error| rocks_error(&path, error);
    let exists = path.join("CURRENT").exists();
    if exists {
        let there = DB::list_cf(&options, &path).map_err(failed);
        tables.extend(there.map_err(what_is_gone)?);
    }
    let tables = tables
        .into_iter()
        .map(|table| ColumnFamilyDescriptor::new(table, table_options(cache, work)));
    let opened = DB::open_cf_descriptors(&options, &path, tables).map_err(failed);
    if exists {
        opened.map_err(what_is_gone)
    } else {
        opened
    }
}

/// Reads a checkpoint's log, and the rows of its tables that are not `known`, with their checksums, from the disk and not from a
/// cache: all rows between the first and the last of such a table, so those of others too where tables overlap.
///
/// # Errors
/// As the disk has them, and when `stop` is set.
pub(super) fn read_tables(
    path: &Path,
    known: &Described,
    stop: &AtomicBool,
) -> Result<(), StoreError> {
    let failed = |error| rocks_error(path, error);
    let mut options = database_options(Work::Inline);
    // A log whose end is torn is no log of an image that was whole.
    options.set_wal_recovery_mode(DBRecoveryMode::AbsoluteConsistency);
    // RocksDB leaves a log of its own doings even where it only reads.
    let logs = path.with_file_name("read-log");
    options.set_db_log_dir(&logs);
    let cache = Cache::new_lru_cache(READ_CACHE_BYTES);
    let tables = DB::list_cf(&options, path).map_err(failed)?;
    let tables = tables
        .into_iter()
        .map(|table| ColumnFamilyDescriptor::new(table, table_options(&cache, Work::Inline)));
    let db = DB::open_cf_descriptors_read_only(&options, path, tables, false).map_err(failed)?;
    for (table, ranges) in ranges_of_new(&db.live_files().map_err(failed)?, known) {
        let Some(handle) = db.cf_handle(&table) else {
            continue;
        };
        for (first, last) in ranges {
            let mut rows = db.raw_iterator_cf(handle);
            rows.seek(first);
            while rows.key().is_some_and(|key| *key <= *last) {
                if stop.load(Ordering::Relaxed) {
                    return Err(io_error(path, &files::stopped()));
                }
                rows.next();
            }
            rows.status().map_err(failed)?;
        }
    }
    drop(db);
    files::remove_dir_if_there(&logs).map_err(|error| io_error(&logs, &error))
}

/// The first and the last row of a range.
type Range = (Vec<u8>, Vec<u8>);

/// By table, the ranges of its files that are not known; those that overlap are one.
fn ranges_of_new(files: &[LiveFile], known: &Described) -> BTreeMap<String, Vec<Range>> {
    let mut all: BTreeMap<String, Vec<Range>> = BTreeMap::new();
    for file in files {
        let (Some(first), Some(last)) = (&file.start_key, &file.end_key) else {
            continue;
        };
        if !known.contains_key(file.name.trim_start_matches('/')) {
            let ranges = all.entry(file.column_family_name.clone()).or_default();
            ranges.push((first.clone(), last.clone()));
        }
    }
    for ranges in all.values_mut() {
        ranges.sort();
        let mut merged: Vec<Range> = Vec::new();
        for (first, last) in ranges.drain(..) {
            match merged.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(std::mem::take(end)),
                _ => merged.push((first, last)),
            }
        }
        *ranges = merged;
    }
    all
}

/// A file that a database names and that is not there was taken from it.
fn what_is_gone(error: StoreError) -> StoreError {
    if let StoreError::Io { path, detail } = &error
        && detail.contains("No such file or directory")
    {
        return StoreError::Corrupt {
            path: path.clone(),
            detail: detail.clone(),
        };
    }
    error
}

/// Builds a generation from a checkpoint's files, durably. Tables are immutable and shared by hard links; the
/// rest RocksDB goes on writing, so it is copied.
pub(super) fn build(from: &Path, to: &Path) -> io::Result<()> {
    files::remove_dir_if_there(to)?;
    fs::create_dir(to)?;
    for (name, path) in files::names(from)? {
        let target = to.join(&name);
        if !(path.extension().is_some_and(|extension| extension == "sst")
            && fs::hard_link(&path, &target).is_ok())
        {
            fs::copy(&path, &target)?;
        }
    }
    files::sync_files(to)?;
    files::sync_dir(to.parent().expect("a generation is in a directory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::CheckpointFile;

    #[test]
    fn ranges_that_overlap_are_read_once() {
        let file = |name: &str, table: &str, range: &[u8; 2]| LiveFile {
            column_family_name: table.to_owned(),
            name: format!("/{name}"),
            size: 1,
            level: 0,
            start_key: Some(vec![range[0]]),
            end_key: Some(vec![range[1]]),
            num_entries: 1,
            num_deletions: 0,
        };
        let files = [
            file("4.sst", "rows", b"hz"),
            file("1.sst", "rows", b"ac"),
            file("3.sst", "rows", b"ef"),
            file("2.sst", "rows", b"bd"),
            file("5.sst", "rows", b"ij"),
            file("6.sst", "more", b"aa"),
        ];
        let sst = CheckpointFile {
            name: "3.sst".to_owned(),
            size: 1,
            sha256: [0; 32],
        };
        let known = Described::from([(sst.name.clone(), sst)]);
        let range = |range: &[u8; 2]| (vec![range[0]], vec![range[1]]);
        let expected = BTreeMap::from([
            ("rows".to_owned(), vec![range(b"ad"), range(b"hz")]),
            ("more".to_owned(), vec![range(b"aa")]),
        ]);
        assert_eq!(ranges_of_new(&files, &known), expected);
    }
}
