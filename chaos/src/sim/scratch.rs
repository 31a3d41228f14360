//! A directory for the real disks of a run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where files are in memory, on most machines: what is real of these disks is RocksDB, and not their speed.
const IN_MEMORY: &str = "/dev/shm";
const PREFIX: &str = "conclave-simulate-";

/// A directory of this process, removed when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new one; those of processes that were killed are removed.
    pub(crate) fn make() -> io::Result<Self> {
        let parent = match Path::new(IN_MEMORY) {
            memory if memory.is_dir() => memory.to_owned(),
            _ => std::env::temp_dir(),
        };
        for entry in fs::read_dir(&parent)?.flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let process = process.and_then(|it| it.parse::<u32>().ok());
            if process.is_some_and(|it| !Path::new("/proc").join(it.to_string()).exists()) {
                // Another process may be at it, too, or it is another user's.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        // Of the same length in each process, since RocksDB writes paths to files whose sizes are seen on the wire.
        let dir = parent.join(format!("{PREFIX}{:010}", std::process::id()));
        fs::create_dir(&dir)?;
        Ok(Self(dir))
    }

    /// Where a node's data are.
    pub(crate) fn node(&self, id: u64) -> PathBuf {
        self.0.join(format!("node-{id}"))
    }
}

/// The first file below a directory that holds these bytes. One that goes meanwhile holds nothing.
pub(crate) fn find(dir: &Path, needle: &[u8]) -> Option<String> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    entries.into_iter().find_map(|path| {
        if path.is_dir() {
            return find(&path, needle);
        }
        let bytes = fs::read(&path).ok()?;
        let found = memchr::memmem::find(&bytes, needle).is_some();
        found.then(|| path.display().to_string())
    })
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run removes what is left.
        let _ = fs::remove_dir_all(&self.0);
    }
}
