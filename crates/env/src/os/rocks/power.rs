//! A power failure, as a simulation has it happen to files that no power failure has met: it cuts the tail of the
//! write-ahead log, which is all that is ever written without being synced.

use super::RocksStorage;
use super::error::io_error;
use super::{files, generation};
use crate::mem::{Beneath, Tail};
use crate::store::StoreError;
use memchr::memmem;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The write-ahead logs of a generation, in their order.
fn logs(db_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|it| it == "log");
    let paths = files::names(db_dir)?.into_iter().map(|(_, path)| path);
    let mut logs: Vec<PathBuf> = paths.filter(is_log).collect();
    // Their names are numbers of six digits.
    logs.sort_unstable();
    Ok(logs)
}

fn find_below(dir: &Path, finder: &memmem::Finder<'_>) -> io::Result<Option<PathBuf>> {
    for (_, path) in files::names(dir)? {
        let found = if path.is_dir() {
            find_below(&path, finder)?
        } else {
            finder.find(&fs::read(&path)?).map(|_| path)
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

impl Beneath for RocksStorage {
    fn tail(&self, database: &'static str) -> Result<Tail, StoreError> {
        let dir = self.data_dir.join(database);
        let failed = |error: io::Error| io_error(&dir, &error);
        let Some(live) = generation::read_current(&dir)? else {
            return Ok(Tail::default());
        };
        let log = logs(&generation::generation_dir(&dir, live)).map_err(failed)?;
        let Some(log) = log.into_iter().next_back() else {
            return Ok(Tail::default());
        };
        let bytes = fs::metadata(&log).map_err(failed)?.len();
        Ok(Tail { log, bytes })
    }

    fn cut(&self, tail: &Tail) -> Result<(), StoreError> {
        let cut = || -> io::Result<()> {
            let Some(db_dir) = tail.log.parent() else {
                return Ok(());
            };
            for log in logs(db_dir)?.into_iter().filter(|log| *log > tail.log) {
                fs::remove_file(log)?;
            }
            let log = OpenOptions::new().write(true).open(&tail.log)?;
            log.set_len(tail.bytes)
        };
        cut().map_err(|error| io_error(&tail.log, &error))
    }

    fn find(&self, needle: &[u8]) -> Result<Option<String>, StoreError> {
        let found = find_below(&self.data_dir, &memmem::Finder::new(needle));
        found
            .map(|path| path.map(|path| path.display().to_string()))
            .map_err(|error| io_error(&self.data_dir, &error))
    }
}
