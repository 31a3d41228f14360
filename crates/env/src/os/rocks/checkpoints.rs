//! The directory of checkpoints. What bears a valid name in it is complete and durable.

use super::error::{corrupt, io_error};
use super::files;
use crate::checkpoint::{is_checkpoint_name, is_file_name, sha256};
use crate::store::{Checkpoint, CheckpointFile, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The first byte of a manifest; the SHA-256 of the rest follows, then the checkpoint by postcard.
const FORMAT: u8 = 1;
const MANIFEST: &str = "MANIFEST";
const UNFINISHED: &str = ".new-";
const REPLACED: &str = ".old-";

/// Files and what is known of them, by name.
pub(super) type Described = BTreeMap<String, CheckpointFile>;

/// Whether a file is one of RocksDB's tables.
pub(super) fn is_table(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "sst")
}

/// Known files whose turn it is to be read again, so that what a disk has lost is found although nobody reads it: those
/// behind `last`, then those from the first one on, up to so many bytes. The last one of them is the next `last`.
pub(super) fn next_turns(known: &Described, last: &mut String, bytes: u64) -> BTreeSet<String> {
    let behind = known.range::<str, _>((Bound::Excluded(last.as_str()), Bound::Unbounded));
    let before = known.range::<str, _>((Bound::Unbounded, Bound::Included(last.as_str())));
    let mut left = bytes;
    let turns: Vec<String> = behind
        .chain(before)
        .take_while(|(_, file)| {
            let is_left = left > 0;
            left = left.saturating_sub(file.size);
            is_left
        })
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(name) = turns.last() {
        last.clone_from(name);
    }
    turns.into_iter().collect()
}

pub(super) struct Checkpoints {
    dir: PathBuf,
    unfinished: AtomicU64,
}

/// The files of a checkpoint's directory.
pub(super) fn files_dir(checkpoint_dir: &Path) -> PathBuf {
    checkpoint_dir.join("db")
}

impl Checkpoints {
    /// Removes what crashes left behind.
    pub(super) fn open(dir: PathBuf) -> Result<Self, StoreError> {
        let clean = || -> io::Result<()> {
            fs::create_dir_all(&dir)?;
            for (name, path) in files::names(&dir)? {
                if name.starts_with(UNFINISHED) {
                    files::remove_dir_if_there(&path)?;
                } else if let Some(original) = name.strip_prefix(REPLACED) {
                    let original = dir.join(original);
                    if original.exists() {
                        files::remove_dir_if_there(&path)?;
                    } else {
                        fs::rename(&path, &original)?;
                    }
                }
            }
            files::sync_dir(&dir)
        };
        clean().map_err(|error| io_error(&dir, &error))?;
        Ok(Self {
            dir,
            unfinished: AtomicU64::new(0),
        })
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        io_error(&self.dir, error)
    }

    /// A checkpoint's directory if there is one of that name.
    pub(super) fn find(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.dir.join(name);
        if is_checkpoint_name(name) && path.is_dir() {
            Ok(path)
        } else {
            Err(StoreError::NoCheckpoint {
                name: name.to_owned(),
            })
        }
    }

    /// Makes an empty directory to build a checkpoint in.
    pub(super) fn begin(&self) -> Result<PathBuf, StoreError> {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{UNFINISHED}{number}"));
        let made = files::remove_dir_if_there(&path).and_then(|()| fs::create_dir(&path));
        made.map_err(|error| self.failed(&error))?;
        Ok(path)
    }

    /// Makes durable what was built, and lets it be seen under its name.
    pub(super) fn publish(&self, built: &Path, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let publish = || -> io::Result<()> {
            files::sync_files(&files_dir(built))?;
            files::write_synced(&built.join(MANIFEST), &encode(checkpoint))?;
            files::sync_dir(built)?;
            let target = self.dir.join(&checkpoint.name);
            let replaced = self.dir.join(format!("{REPLACED}{}", checkpoint.name));
            if target.exists() {
                files::remove_dir_if_there(&replaced)?;
                fs::rename(&target, &replaced)?;
            }
            fs::rename(built, &target)?;
            files::sync_dir(&self.dir)?;
            files::remove_dir_if_there(&replaced)
        };
        publish().map_err(|error| self.failed(&error))
    }

    /// What earlier checkpoints say of tables that this one shares with them: the same files, which RocksDB never changes.
    pub(super) fn shared(&self, built: &Path) -> Result<Described, StoreError> {
        let shared = || -> io::Result<Described> {
            let mut shared = Described::new();
            for (name, path) in files::names(&self.dir)? {
                if !is_checkpoint_name(&name) {
                    continue;
                }
                // One that cannot be read vouches for nothing.
                let Ok(checkpoint) = read_manifest(&path) else {
                    continue;
                };
                for file in checkpoint.files {
                    let (earlier, now) = (
                        files_dir(&path).join(&file.name),
                        files_dir(built).join(&file.name),
                    );
                    if is_table(&file.name) && files::are_one(&earlier, &now)? {
                        shared.insert(file.name.clone(), file);
                    }
                }
            }
            Ok(shared)
        };
        shared().map_err(|error| self.failed(&error))
    }

    /// Describes files by size and digest: reads all but those that are described already.
    ///
    /// # Errors
    /// As the disk has them, and when `stop` is set.
    pub(super) fn describe(
        &self,
        built: &Path,
        known: &Described,
        stop: &AtomicBool,
    ) -> Result<Vec<CheckpointFile>, StoreError> {
        let describe = || -> io::Result<_> {
            let mut described = Vec::new();
            for (name, path) in files::names(&files_dir(built))? {
                if let Some(file) = known.get(&name) {
                    described.push(file.clone());
                    continue;
                }
                let (size, sha256) = files::digest(&path, stop)?;
                described.push(CheckpointFile { name, size, sha256 });
            }
            Ok(described)
        };
        describe().map_err(|error| self.failed(&error))
    }

    pub(super) fn list(&self) -> Result<Vec<Checkpoint>, StoreError> {
        let names = files::names(&self.dir).map_err(|error| self.failed(&error))?;
        let names = names
            .into_iter()
            .filter(|(name, _)| is_checkpoint_name(name));
        names.map(|(_, path)| read_manifest(&path)).collect()
    }

    /// Takes a checkpoint out of sight, whole: a crash leaves no half of one. What is left of it is for
    /// [`Checkpoints::remove`]; `None` if there is no such checkpoint.
    pub(super) fn hide(&self, name: &str) -> Result<Option<PathBuf>, StoreError> {
        let Ok(path) = self.find(name) else {
            return Ok(None);
        };
        let hidden = self.begin()?;
        let moved = fs::rename(&path, hidden.join("removed"));
        moved.map_err(|error| self.failed(&error))?;
        Ok(Some(hidden))
    }

    /// Removes what was hidden, when it is sure to be so.
    pub(super) fn remove(&self, hidden: &Path) -> Result<(), StoreError> {
        let removed = files::sync_dir(&self.dir).and_then(|()| files::remove_dir_if_there(hidden));
        removed.map_err(|error| self.failed(&error))
    }

    pub(super) fn read(
        &self,
        name: &str,
        file: &str,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let path = files_dir(&self.find(name)?).join(file);
        if !is_file_name(file) || !path.is_file() {
            return Err(StoreError::NoCheckpoint {
                name: format!("{name}/{file}"),
            });
        }
        let read = || -> io::Result<Vec<u8>> {
            let file = fs::File::open(&path)?;
            let left = file.metadata()?.len().saturating_sub(offset);
            let mut data = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(len)];
            file.read_exact_at(&mut data, offset)?;
            Ok(data)
        };
        read().map_err(|error| io_error(&path, &error))
    }

    /// Compares every file of a checkpoint with its manifest.
    pub(super) fn verify(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.find(name)?;
        let manifest = read_manifest(&path)?;
        let found = self.describe(&path, &Described::new(), &AtomicBool::new(false))?;
        let key = |file: &CheckpointFile| (file.name.clone(), file.size, file.sha256);
        let mut expected: Vec<_> = manifest.files.iter().map(key).collect();
        expected.sort();
        if found.iter().map(key).eq(expected) {
            Ok(files_dir(&path))
        } else {
            Err(corrupt(&path, "its files are not those of its manifest"))
        }
    }
}

fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let body = postcard::to_stdvec(checkpoint).expect("a checkpoint is plain data");
    let mut manifest = vec![FORMAT];
    manifest.extend_from_slice(&sha256(&body));
    manifest.extend_from_slice(&body);
    manifest
}

fn decode(manifest: &[u8]) -> Option<Checkpoint> {
    let (&format, rest) = manifest.split_first()?;
    let (digest, body) = rest.split_first_chunk::<32>()?;
    if format != FORMAT || sha256(body) != *digest {
        return None;
    }
    postcard::from_bytes(body).ok()
}

fn read_manifest(checkpoint_dir: &Path) -> Result<Checkpoint, StoreError> {
    let path = checkpoint_dir.join(MANIFEST);
    let data = files::read_if_there(&path).map_err(|error| io_error(&path, &error))?;
    data.and_then(|data| decode(&data))
        .ok_or_else(|| corrupt(&path, "it is unreadable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_file_has_its_turn() {
        let file = |number: u64| CheckpointFile {
            name: format!("{number:06}.sst"),
            size: 10,
            sha256: [0; 32],
        };
        let mut known: Described = (0..7).map(|n| (file(n).name.clone(), file(n))).collect();
        let mut last = String::new();
        let mut turns = |known: &Described, bytes| -> Vec<u64> {
            let turns = next_turns(known, &mut last, bytes);
            let number = |name: String| name.trim_end_matches(".sst").parse().unwrap();
            turns.into_iter().map(number).collect()
        };
        assert_eq!(turns(&known, 30), [0, 1, 2]);
        assert_eq!(turns(&known, 25), [3, 4, 5], "the last one whole");
        known.remove("000005.sst");
        assert_eq!(turns(&known, 30), [0, 1, 6]);
        known.insert(file(9).name, file(9));
        assert_eq!(turns(&known, 1_000), [0, 1, 2, 3, 4, 6, 9], "each once");
        assert_eq!(turns(&known, 0), [0; 0]);
        assert_eq!(turns(&Described::new(), 30), [0; 0]);
    }

    #[test]
    fn the_manifests_format_stays() {
        let file = CheckpointFile {
            name: "000012.sst".to_owned(),
            size: 300,
            sha256: [1; 32],
        };
        let checkpoint = Checkpoint {
            name: "snap-1".to_owned(),
            meta: vec![7],
            files: vec![file],
        };
        let manifest = encode(&checkpoint);
        assert_eq!(decode(&manifest), Some(checkpoint));
        let golden = format!(
            "06 {} 01 07 01 0a {} ac02 {}",
            hex::encode("snap-1"),
            hex::encode("000012.sst"),
            "01".repeat(32)
        );
        assert_eq!(manifest[0], FORMAT);
        assert_eq!(hex::encode(&manifest[33..]), golden.replace(' ', ""));
        for at in 0..manifest.len() {
            let mut damaged = manifest.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), None, "byte {at}");
            assert_eq!(decode(&manifest[..at]), None, "{at} bytes");
        }
    }
}
