//! The last sequence number known durable, and the MANIFEST: a database that ends below it has lost what was
//! acknowledged.
//!
//! RocksDB cannot tell a log whose tail was never written from one whose tail has vanished; this file can. It has
//! two slots, written in turn, so that a torn write leaves the other.

use super::error::{corrupt, io_error};
use super::manifest::{Extent, Manifest};
use crate::StoreError;
use crate::limits::WATERMARK_SYNC_INTERVAL;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

const MAGIC: &[u8; 8] = b"cwaterm\x02";
/// Of a record without the MANIFEST.
const MAGIC_1: &[u8; 8] = b"cwaterm\x01";
/// Slots are apart by a page, so that no torn sector hits both.
const SLOT_BYTES: u64 = 4096;
const RECORD_BYTES: usize = 8 + 8 + 8 + 24 + 8;
const RECORD_1_BYTES: usize = 8 + 8 + 8 + 8;

/// What was durable: a generation of the database, and a sequence number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) generation: u64,
    pub(super) sequence: u64,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    mark: Mark,
    manifest: Extent,
}

pub(super) struct Watermark {
    path: PathBuf,
    file: File,
    record: Record,
    /// Of the open database.
    manifest: Option<Manifest>,
    next_slot: u64,
    synced: Option<Instant>,
    is_dirty: bool,
}

/// The first bytes of a SHA-256.
fn check_of(bytes: &[u8]) -> [u8; 8] {
    *crate::checkpoint::sha256(bytes)
        .first_chunk()
        .expect("32 bytes")
}

fn number_at(record: &[u8], from: usize) -> u64 {
    let bytes = record[from..from + 8].try_into().expect("eight bytes");
    u64::from_be_bytes(bytes)
}

impl Record {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[..8].copy_from_slice(MAGIC);
        record[8..16].copy_from_slice(&self.mark.generation.to_be_bytes());
        record[16..24].copy_from_slice(&self.mark.sequence.to_be_bytes());
        record[24..32].copy_from_slice(&self.manifest.number.to_be_bytes());
        record[32..40].copy_from_slice(&self.manifest.bytes.to_be_bytes());
        record[40..48].copy_from_slice(&self.manifest.digest);
        let check = check_of(&record[..48]);
        record[48..].copy_from_slice(&check);
        record
    }

    fn decode(record: &[u8; RECORD_BYTES]) -> Option<Self> {
        let mark = Mark {
            generation: number_at(record, 8),
            sequence: number_at(record, 16),
        };
        if record.starts_with(MAGIC_1) {
            let (body, check) = record[..RECORD_1_BYTES].split_at(RECORD_1_BYTES - 8);
            return (check_of(body) == *check).then_some(Self {
                mark,
                manifest: Extent::default(),
            });
        }
        let manifest = Extent {
            number: number_at(record, 24),
            bytes: number_at(record, 32),
            digest: record[40..48].try_into().expect("eight bytes"),
        };
        let found = Self { mark, manifest };
        (found.encode() == *record).then_some(found)
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
            record: Record {
                mark,
                manifest: Extent::default(),
            },
            manifest: None,
            next_slot: 0,
            synced: None,
            is_dirty: true,
        };
        watermark.write(watermark.record)?;
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
            // The second slot is the end of the file, and may be of an earlier, shorter format. A slot that is cut
            // short is as good as none.
            let least = &mut record[..RECORD_1_BYTES];
            file.read_exact_at(least, slot * SLOT_BYTES).ok()?;
            if record.starts_with(MAGIC) {
                file.read_exact_at(&mut record, slot * SLOT_BYTES).ok()?;
            }
            Record::decode(&record).map(|record| (record, slot))
        };
        let (record, slot) = (0..2)
            .filter_map(read_slot)
            .max()
            .ok_or_else(|| corrupt(path, "the watermark file is unreadable"))?;
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            record,
            manifest: None,
            next_slot: 1 - slot,
            synced: None,
            is_dirty: false,
        })
    }

    pub(super) fn mark(&self) -> Mark {
        self.record.mark
    }

    /// What is known of the MANIFEST of the mark's generation.
    pub(super) fn manifest(&self) -> Extent {
        self.record.manifest
    }

    /// Notes, durably, how far a database reaches that was opened just now, together with what its MANIFEST says;
    /// looks at that one from now on.
    pub(super) fn follow(&mut self, mark: Mark, manifest: Manifest) -> Result<(), StoreError> {
        let extent = manifest.extent();
        self.manifest = Some(manifest);
        self.write(Record {
            mark: self.record.mark.max(mark),
            manifest: extent,
        })?;
        self.sync()
    }

    /// Notes, durably, what the MANIFEST says more than before.
    pub(super) fn look(&mut self) -> Result<(), StoreError> {
        let Some(manifest) = &mut self.manifest else {
            return Ok(());
        };
        if !manifest.grows()? {
            return Ok(());
        }
        let extent = manifest.extent();
        self.write(Record {
            manifest: extent,
            ..self.record
        })?;
        self.sync()
    }

    /// Notes that all up to `mark` is durable; the note itself is durable within a second or so.
    pub(super) fn advance(&mut self, mark: Mark) -> Result<(), StoreError> {
        self.look()?;
        if mark <= self.record.mark {
            return Ok(());
        }
        self.write(Record {
            mark,
            ..self.record
        })?;
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

    fn write(&mut self, record: Record) -> Result<(), StoreError> {
        let written = self
            .file
            .write_all_at(&record.encode(), self.next_slot * SLOT_BYTES);
        written.map_err(|error| io_error(&self.path, &error))?;
        self.record = record;
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
        let record = Record {
            mark: mark(2, 7),
            manifest: Extent {
                number: 9,
                bytes: 300,
                digest: [5; 8],
            },
        };
        let golden = "637761746572 6d02 0000000000000002 0000000000000007 0000000000000009 000000000000012c \
                      0505050505050505 cbefe83a8d025e20";
        let encoded = record.encode();
        assert_eq!(hex::encode(encoded), golden.replace(' ', ""));
        assert_eq!(Record::decode(&encoded), Some(record));
        for at in 0..encoded.len() {
            let mut damaged = encoded;
            damaged[at] ^= 1;
            assert_eq!(Record::decode(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn the_format_before_is_read() {
        let golden = "637761746572 6d01 0000000000000002 0000000000000007 183783821354b84b";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watermark");
        // In the second slot, which is where the file ends.
        let mut file = vec![0; usize::try_from(SLOT_BYTES).unwrap()];
        file.extend(hex::decode(golden.replace(' ', "")).unwrap());
        std::fs::write(&path, file).unwrap();
        let watermark = Watermark::open(&path).unwrap();
        assert_eq!(
            (watermark.mark(), watermark.manifest()),
            (mark(2, 7), Extent::default())
        );
    }
}
