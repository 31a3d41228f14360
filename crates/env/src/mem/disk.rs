//! One simulated database on a simulated disk: what was synced, and what was written since.

use crate::checkpoint::sha256;
use crate::store::{Batch, Checkpoint, CheckpointFile, Database, Row, Write};
use memchr::memmem;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The first byte of a checkpoint's file.
const ROWS_FORMAT: u8 = 1;

pub(super) type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// The tables of a database at one instant.
#[derive(Clone, Default)]
pub(super) struct Tables(BTreeMap<String, Table>);

/// A checkpoint and the contents of its files, by name.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) checkpoint: Checkpoint,
    pub(super) contents: BTreeMap<String, Vec<u8>>,
}

/// A database: `durable` is what a power failure leaves at least, `visible` what readers see.
#[derive(Default)]
pub(super) struct Disk {
    durable: Tables,
    pub(super) visible: Tables,
    unsynced: VecDeque<(u64, Batch)>,
    /// Number of the last batch written.
    pub(super) written: u64,
    pub(super) images: BTreeMap<String, Image>,
    pub(super) is_open: bool,
    /// Rows whose checksums are wrong, by table and key.
    damaged: BTreeSet<(String, Vec<u8>)>,
}

impl Tables {
    pub(super) fn make(&mut self, database: Database) {
        for table in database.tables {
            self.0.entry((*table).to_owned()).or_default();
        }
    }

    /// # Panics
    /// If the database was opened without that table: only a bug does so.
    pub(super) fn table(&self, name: &str) -> &Table {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("no table {name} in this database"))
    }

    fn table_mut(&mut self, name: &str) -> &mut Table {
        self.0
            .get_mut(name)
            .unwrap_or_else(|| panic!("no table {name} in this database"))
    }

    fn apply(&mut self, batch: &Batch) {
        for write in &batch.writes {
            match write {
                Write::Put { table, key, value } => {
                    self.table_mut(table).insert(key.clone(), value.clone());
                }
                Write::Delete { table, key } => {
                    self.table_mut(table).remove(key);
                }
                Write::DeleteRange { table, from, to } => {
                    self.table_mut(table)
                        .retain(|key, _| key < from || key >= to);
                }
            }
        }
    }

    /// One file per half of the tables, so that receivers meet more than one file.
    fn encode(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (number, (name, rows)) in self.0.iter().enumerate() {
            let file = files
                .entry(format!("rows-{}", number % 2))
                .or_insert_with(|| vec![ROWS_FORMAT]);
            for (key, value) in rows {
                for part in [name.as_bytes(), key, value] {
                    let length = u32::try_from(part.len()).expect("a row has less than 4 GiB");
                    file.extend_from_slice(&length.to_be_bytes());
                    file.extend_from_slice(part);
                }
            }
        }
        files
    }

    /// The reverse of `encode`; `None` if the bytes are not its output.
    fn decode(files: &BTreeMap<String, Vec<u8>>) -> Option<Self> {
        let mut tables = Self::default();
        for file in files.values() {
            let (&format, mut rest) = file.split_first()?;
            if format != ROWS_FORMAT {
                return None;
            }
            while !rest.is_empty() {
                let name = String::from_utf8(take_part(&mut rest)?.to_vec()).ok()?;
                let key = take_part(&mut rest)?.to_vec();
                let value = take_part(&mut rest)?.to_vec();
                tables.0.entry(name).or_default().insert(key, value);
            }
        }
        Some(tables)
    }
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (part, tail) = tail.split_at_checked(length)?;
    *rest = tail;
    Some(part)
}

impl Disk {
    pub(super) fn make_tables(&mut self, database: Database) {
        self.durable.make(database);
        self.visible.make(database);
    }

    pub(super) fn write(&mut self, batch: Batch) {
        if !self.damaged.is_empty() {
            self.mend(&batch);
        }
        self.visible.apply(&batch);
        self.written += 1;
        self.unsynced.push_back((self.written, batch));
    }

    /// Makes the batches up to this number durable.
    pub(super) fn sync_through(&mut self, number: u64) {
        while self.unsynced.front().is_some_and(|(of, _)| *of <= number) {
            let (_, batch) = self.unsynced.pop_front().expect("there is a first one");
            self.durable.apply(&batch);
        }
    }

    pub(super) fn unsynced(&self) -> u64 {
        u64::try_from(self.unsynced.len()).expect("a count fits 64 bits")
    }

    /// The power fails, and of what was not synced the first `kept` batches reached the disk whole.
    pub(super) fn crash(&mut self, kept: u64) {
        let first = self.written - self.unsynced();
        self.sync_through(first + kept);
        self.unsynced.clear();
        self.visible = self.durable.clone();
        self.is_open = false;
    }

    /// An image of what a reader sees now.
    pub(super) fn image(&self, name: &str, meta: &[u8]) -> Image {
        let contents = self.visible.encode();
        let files = contents
            .iter()
            .map(|(name, data)| CheckpointFile {
                name: name.clone(),
                size: u64::try_from(data.len()).expect("a length fits 64 bits"),
                sha256: sha256(data),
            })
            .collect();
        let checkpoint = Checkpoint {
            name: name.to_owned(),
            meta: meta.to_vec(),
            files,
        };
        Image {
            checkpoint,
            contents,
        }
    }

    /// Replaces all tables by the image's, durably. False if the image holds something else than rows.
    pub(super) fn install(&mut self, image: &Image, database: Database) -> bool {
        let Some(mut tables) = Tables::decode(&image.contents) else {
            return false;
        };
        tables.make(database);
        self.unsynced.clear();
        self.damaged.clear();
        self.durable = tables.clone();
        self.visible = tables;
        true
    }

    /// Replaces all tables by these rows, durably.
    pub(super) fn replace(&mut self, rows: Vec<(&'static str, Vec<Row>)>) {
        let mut tables = Tables::default();
        for (table, rows) in rows {
            tables
                .0
                .insert(table.to_owned(), rows.into_iter().collect());
        }
        self.unsynced.clear();
        self.damaged.clear();
        self.durable = tables.clone();
        self.visible = tables;
    }

    /// Damages a row that `number` draws; says which.
    pub(super) fn damage(&mut self, number: &mut impl FnMut() -> u64) -> Option<String> {
        let tables = self.visible.0.iter().filter(|(_, rows)| !rows.is_empty());
        let (table, rows) = draw(tables, number)?;
        let (key, _) = draw(rows.iter(), number)?;
        let name = (table.clone(), key.clone());
        let shown = format!("{table}, a row of {} bytes", key.len());
        self.damaged.insert(name);
        Some(shown)
    }

    pub(super) fn is_damaged(&self, table: &str, key: &[u8]) -> bool {
        !self.damaged.is_empty() && self.damaged.contains(&(table.to_owned(), key.to_vec()))
    }

    /// A table with a damaged row, if there is one.
    pub(super) fn damaged(&self) -> Option<&str> {
        self.damaged.first().map(|(table, _)| table.as_str())
    }

    /// What is written anew is whole again.
    fn mend(&mut self, batch: &Batch) {
        for write in &batch.writes {
            match write {
                Write::Put { table, key, .. } | Write::Delete { table, key } => {
                    self.damaged.remove(&((*table).to_owned(), key.clone()));
                }
                Write::DeleteRange { table, from, to } => {
                    self.damaged
                        .retain(|(of, key)| of != table || key < from || key >= to);
                }
            }
        }
    }

    pub(super) fn durable_row(&self, table: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.durable.0.get(table)?.get(key).cloned()
    }

    pub(super) fn rows(&self, table: &str) -> Vec<Row> {
        let rows = self.visible.0.get(table).into_iter().flatten();
        rows.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Where these bytes are.
    pub(super) fn find(&self, needle: &[u8]) -> Option<String> {
        let finder = memmem::Finder::new(needle);
        let holds = |bytes: &[u8]| finder.find(bytes).is_some();
        let in_tables = |tables: &Tables| {
            tables.0.iter().find_map(|(table, rows)| {
                let found = rows.iter().any(|(key, value)| holds(key) || holds(value));
                found.then(|| table.clone())
            })
        };
        let in_images = || {
            self.images.iter().find_map(|(name, image)| {
                let found = image.contents.values().any(|bytes| holds(bytes));
                found.then(|| format!("checkpoint {name}"))
            })
        };
        in_tables(&self.visible)
            .or_else(|| in_tables(&self.durable))
            .or_else(in_images)
    }
}

/// One of some things.
fn draw<T>(
    mut things: impl Iterator<Item = T> + Clone,
    number: &mut impl FnMut() -> u64,
) -> Option<T> {
    let count = u64::try_from(things.clone().count()).ok()?;
    let place = number().checked_rem(count)?;
    things.nth(usize::try_from(place).ok()?)
}
