//! The last sequence number known durable: a database that ends below it has lost what was acknowledged.
//!
//! RocksDB cannot tell a log whose tail was never written from one whose tail has vanished; this file can. It has
//! two slots, written in turn, so that a torn write leaves the other.

use super::error::{corrupt, io_error};
use crate::StoreError;
use crate::limits::WATERMARK_SYNC_INTERVAL;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

const MAGIC: &[u8; 8] = b"cwaterm\x01";
/// Slots are apart by a page, so that no torn sector hits both.
const SLOT_BYTES: u64 = 4096;
const RECORD_BYTES: usize = 8 + 8 + 8 + 8;

/// What was durable: a generation of the database, and a sequence number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) generation: u64,
    pub(super) sequence: u64,
}

pub(super) struct Watermark {
    path: PathBuf,
    file: File,
    mark: Mark,
    next_slot: u64,
    synced: Option<Instant>,
    is_dirty: bool,
}

impl Mark {
    fn encode(self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[..8].copy_from_slice(MAGIC);
        record[8..16].copy_from_slice(&self.generation.to_be_bytes());
        record[16..24].copy_from_slice(&self.sequence.to_be_bytes());
        let check = crate::checkpoint::sha256(&record[..24]);
        record[24..].copy_from_slice(&check[..8]);
        record
    }

    fn decode(record: &[u8; RECORD_BYTES]) -> Option<Self> {
        let number = |from: usize| {
            let bytes = record[from..from + 8].try_into().expect("eight bytes");
            u64::from_be_bytes(bytes)
        };
        let mark = Self {
            generation: number(8),
            sequence: number(16),
        };
        (mark.encode() == *record).then_some(mark)
    }
}

impl Watermark {
    /// Begins the watermark of a new database.
    pub(super) fn create(path: &Path, mark: Mark) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path);
        let file = file.map_err(|error| io_error(path, &error))?;
        let mut watermark = Self {
            path: path.to_owned(),
            file,
            mark,
            next_slot: 0,
            synced: None,
            is_dirty: true,
        };
        watermark.write(mark)?;
        watermark.sync()?;
        Ok(watermark)
    }

    /// Reads it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| io_error(path, &error);
        if !path.try_exists().map_err(failed)? {
            return Err(corrupt(path, "the watermark file is missing"));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed)?;
        let read_slot = |slot: u64| {
            let mut record = [0; RECORD_BYTES];
            // A slot that is cut short is as good as none.
            file.read_exact_at(&mut record, slot * SLOT_BYTES).ok()?;
            Mark::decode(&record).map(|mark| (mark, slot))
        };
        let (mark, slot) = (0..2)
            .filter_map(read_slot)
            .max()
            .ok_or_else(|| corrupt(path, "the watermark file is unreadable"))?;
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            mark,
            next_slot: 1 - slot,
            synced: None,
            is_dirty: false,
        })
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// Notes that all up to `mark` is durable; the note itself is durable within a second or so.
    pub(super) fn advance(&mut self, mark: Mark) -> Result<(), StoreError> {
        if mark <= self.mark {
            return Ok(());
        }
        self.write(mark)?;
        if self
            .synced
            .is_none_or(|at| at.elapsed() >= WATERMARK_SYNC_INTERVAL)
        {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes the note durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if self.is_dirty {
            self.file
                .sync_data()
                .map_err(|error| io_error(&self.path, &error))?;
            self.is_dirty = false;
        }
        self.synced = Some(Instant::now());
        Ok(())
    }

    fn write(&mut self, mark: Mark) -> Result<(), StoreError> {
        let written = self
            .file
            .write_all_at(&mark.encode(), self.next_slot * SLOT_BYTES);
        written.map_err(|error| io_error(&self.path, &error))?;
        self.mark = mark;
        self.next_slot = 1 - self.next_slot;
        self.is_dirty = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mark(generation: u64, sequence: u64) -> Mark {
        Mark {
            generation,
            sequence,
        }
    }

    #[test]
    fn a_torn_write_leaves_the_mark_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watermark");
        let mut watermark = Watermark::create(&path, mark(1, 0)).unwrap();
        for sequence in 1..=5 {
            watermark.advance(mark(1, sequence)).unwrap();
        }
        watermark.advance(mark(1, 2)).unwrap();
        let last_slot = 1 - watermark.next_slot;
        drop(watermark);
        assert_eq!(Watermark::open(&path).unwrap().mark(), mark(1, 5));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"torn", last_slot * SLOT_BYTES + 20)
            .unwrap();
        let mut watermark = Watermark::open(&path).unwrap();
        assert_eq!(watermark.mark(), mark(1, 4));
        watermark.advance(mark(2, 1)).unwrap();
        drop(watermark);
        assert_eq!(Watermark::open(&path).unwrap().mark(), mark(2, 1));
        file.set_len(0).unwrap();
        assert!(matches!(
            Watermark::open(&path),
            Err(StoreError::Corrupt { .. })
        ));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            Watermark::open(&path),
            Err(StoreError::Corrupt { .. })
        ));
    }

    #[test]
    fn the_format_stays() {
        let golden = "637761746572 6d01 0000000000000002 0000000000000007 183783821354b84b";
        assert_eq!(hex::encode(mark(2, 7).encode()), golden.replace(' ', ""));
    }
}
