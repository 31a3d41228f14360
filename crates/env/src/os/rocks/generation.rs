//! Which of the directories `db-<n>` is the live one, and how another takes its place.

use super::Work;
use super::error::{corrupt, io_error, rocks_error};
use super::files;
use super::options::{database_options, table_options};
use crate::store::{Database, StoreError};
use rocksdb::{Cache, ColumnFamilyDescriptor, DB};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Of [`read_all`], which reads nothing twice.
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

/// Reads every row of a checkpoint's files, with their checksums, from the disk and not from a cache.
pub(super) fn read_all(path: &Path, database: Database) -> Result<(), StoreError> {
    let failed = |error| rocks_error(path, error);
    let mut options = database_options(Work::Inline);
    // RocksDB leaves a log even where it only reads.
    let logs = path.with_file_name("read-log");
    options.set_db_log_dir(&logs);
    let cache = Cache::new_lru_cache(READ_CACHE_BYTES);
    let tables = DB::list_cf(&options, path).map_err(failed)?;
    let tables = tables
        .into_iter()
        .map(|table| ColumnFamilyDescriptor::new(table, table_options(&cache, Work::Inline)));
    let db = DB::open_cf_descriptors_read_only(&options, path, tables, false).map_err(failed)?;
    for name in database.tables {
        let Some(table) = db.cf_handle(name) else {
            continue;
        };
        let mut rows = db.raw_iterator_cf(table);
        rows.seek_to_first();
        while rows.valid() {
            rows.next();
        }
        rows.status().map_err(failed)?;
    }
    drop(db);
    files::remove_dir_if_there(&logs).map_err(|error| io_error(&logs, &error))
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
