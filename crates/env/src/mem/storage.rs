//! The disk of a simulated machine, and all that can befall it.

use super::beneath::{Beneath, Underside, all_rows};
use super::disk::Disk;
use super::entropy::MemEntropy;
use super::handle::{Handle, path_of};
use super::store::MemStore;
use crate::Entropy;
use crate::store::{Batch, Database, Storage, Store, StoreError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The disk of a simulated machine. Clones are the same disk: keep one outside the node, so that it outlives it.
#[derive(Clone)]
pub struct MemStorage {
    machine: Arc<Machine>,
}

pub(super) struct Machine {
    pub(super) state: Mutex<State>,
    pub(super) underside: Option<Underside>,
}

#[derive(Default)]
pub(super) struct State {
    /// Counts power failures; handles of an earlier life answer errors.
    pub(super) life: u64,
    pub(super) failing: Option<StoreError>,
    /// `None`: a sync takes no time.
    pub(super) sync_delay: Option<Duration>,
    pub(super) disks: BTreeMap<&'static str, Disk>,
    cut: Option<Cut>,
    /// Whether the power failed at a cut, and nobody has taken note of it yet.
    has_cut: bool,
    journal: Option<Vec<Written>>,
    installs: u64,
}

/// At which change of the disk the power is to fail: an instant between two writes at which no task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the n-th batch or sync from now, counted from 1.
    Change(u64),
    /// Before the next checkpoint is taken.
    BeforeCheckpoint,
    /// When the next checkpoint has been taken, and nobody knows yet.
    AfterCheckpoint,
    /// Before the next checkpoint is installed.
    BeforeInstall,
    /// When the next checkpoint has been installed, and nobody knows yet.
    AfterInstall,
}

/// A batch that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The database's name.
    pub database: &'static str,
    /// What was written.
    pub batch: Batch,
}

impl State {
    /// The power fails here if it was to.
    pub(super) fn reach(&mut self, point: Cut) {
        match (&mut self.cut, point) {
            (Some(Cut::Change(left)), Cut::Change(_)) if *left > 1 => *left -= 1,
            (Some(Cut::Change(_)), Cut::Change(_)) => self.cut_now(),
            (Some(cut), point) if *cut == point => self.cut_now(),
            _ => {}
        }
    }

    fn cut_now(&mut self) {
        self.cut = None;
        self.has_cut = true;
        self.life += 1;
    }

    pub(super) fn note(&mut self, database: &'static str, batch: &Batch) {
        if let Some(journal) = &mut self.journal {
            let batch = batch.clone();
            journal.push(Written { database, batch });
        }
    }

    pub(super) fn note_install(&mut self) {
        self.installs += 1;
    }
}

impl Default for MemStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl MemStorage {
    /// An empty disk, on which a sync takes no time.
    pub fn new() -> Self {
        Self::build(None, None)
    }

    /// An empty disk, on which a sync takes so long; what is written meanwhile waits for the next one. A checkpoint,
    /// of the instant at which it is asked for, is complete after twenty times as long. Tasks do both, which the
    /// runtime of the caller drives.
    pub fn with_sync_delay(delay: Duration) -> Self {
        Self::build(Some(delay), None)
    }

    /// The same over a real disk, which is empty too. Everything is done on both and compared, and what the real one
    /// answers is passed on. A power failure befalls the real one before it is opened again.
    pub fn over(beneath: Arc<dyn Beneath>, delay: Duration) -> Self {
        Self::build(Some(delay), Some(Underside::new(beneath)))
    }

    fn build(sync_delay: Option<Duration>, underside: Option<Underside>) -> Self {
        let state = State {
            sync_delay,
            ..State::default()
        };
        Self {
            machine: Arc::new(Machine {
                state: Mutex::new(state),
                underside,
            }),
        }
    }

    /// From the next sync on, a sync takes so long. Only for a disk that was made with a delay: one without has
    /// nobody to wait for it.
    ///
    /// # Panics
    /// If it was made without.
    pub fn set_sync_delay(&self, delay: Duration) {
        let mut state = self.machine.state.lock();
        assert!(state.sync_delay.is_some(), "made without a delay");
        state.sync_delay = Some(delay);
    }

    /// The process that had the databases open is gone, and the machine is not: nothing written is lost, and nothing more
    /// than before is durable. Handles opened before answer errors from now on.
    pub fn kill(&self) {
        let mut state = self.machine.state.lock();
        state.life += 1;
        state.cut = None;
        state.has_cut = false;
        for disk in state.disks.values_mut() {
            disk.is_open = false;
        }
    }

    /// The power fails. Of each database's batches that were not synced a prefix survives, drawn by `seed`: none,
    /// some or all; one that was torn is dropped whole. Handles opened before answer errors from now on. Says how many
    /// batches were lost.
    pub fn crash(&self, seed: u64) -> u64 {
        let draw = MemEntropy::new(seed);
        let mut state = self.machine.state.lock();
        state.life += 1;
        state.cut = None;
        state.has_cut = false;
        let mut lost = 0;
        for (name, disk) in &mut state.disks {
            let mut bytes = [0; 8];
            draw.fill(&mut bytes);
            let drawn = u64::from_be_bytes(bytes);
            let unsynced = disk.unsynced();
            let kept = drawn % (unsynced + 1);
            lost += unsynced - kept;
            disk.crash(kept);
            if let Some(underside) = &self.machine.underside {
                underside.crash(name, kept, drawn / (unsynced + 1));
            }
        }
        lost
    }

    /// From now on every write and sync fails with this error, until it is taken back. A handle that met the
    /// error goes on failing, as a real database does, until it is opened again.
    pub fn fail_writes(&self, error: Option<StoreError>) {
        self.machine.state.lock().failing = error;
    }

    /// The power will fail at that change of the disk: no change behind it takes place, and every handle answers
    /// errors. Whoever drives the machine then sees [`MemStorage::has_cut`] and calls [`MemStorage::crash`].
    pub fn cut_at(&self, cut: Cut) {
        self.machine.state.lock().cut = Some(cut);
    }

    /// The power will not fail at a [`Cut`] that it has not reached yet.
    pub fn disarm(&self) {
        self.machine.state.lock().cut = None;
    }

    /// Whether the power failed at a [`Cut`].
    pub fn has_cut(&self) -> bool {
        self.machine.state.lock().has_cut
    }

    /// Damages one row of one table, drawn by `seed`: whoever reads it is told so by its checksum, until it is
    /// written anew. Says which; `None` if there is no row.
    pub fn damage(&self, seed: u64) -> Option<String> {
        let draw = MemEntropy::new(seed);
        let mut number = || {
            let mut bytes = [0; 8];
            draw.fill(&mut bytes);
            u64::from_be_bytes(bytes)
        };
        let mut state = self.machine.state.lock();
        let count = u64::try_from(state.disks.len()).ok().filter(|it| *it > 0)?;
        let skip = usize::try_from(number() % count).ok()?;
        let (name, disk) = state.disks.iter_mut().nth(skip)?;
        disk.damage(&mut number).map(|row| format!("{name}/{row}"))
    }

    /// From now on, keeps every batch that is written for [`MemStorage::take_journal`].
    pub fn keep_journal(&self) {
        self.machine.state.lock().journal = Some(Vec::new());
    }

    /// The batches written since the last call, in their order.
    pub fn take_journal(&self) -> Vec<Written> {
        let mut state = self.machine.state.lock();
        state
            .journal
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// How many checkpoints were ever installed.
    pub fn installs(&self) -> u64 {
        self.machine.state.lock().installs
    }

    /// A row as a power failure would leave it.
    pub fn durable_row(&self, database: &str, table: &str, key: &[u8]) -> Option<Vec<u8>> {
        let state = self.machine.state.lock();
        state.disks.get(database)?.durable_row(table, key)
    }

    /// All rows of a table, as a reader sees them.
    pub fn rows(&self, database: &str, table: &str) -> Vec<crate::store::Row> {
        let state = self.machine.state.lock();
        let disk = state.disks.get(database);
        disk.map(|disk| disk.rows(table)).unwrap_or_default()
    }

    /// Where the disk holds these bytes in a row's name or value, or in a checkpoint, durably or not.
    pub fn find(&self, needle: &[u8]) -> Option<String> {
        let state = self.machine.state.lock();
        let mut disks = state.disks.iter();
        let found =
            disks.find_map(|(name, disk)| disk.find(needle).map(|place| format!("{name}/{place}")));
        found.or_else(|| self.machine.underside.as_ref()?.find(needle))
    }

    /// The first thing that the real disk beneath did otherwise than this one, if there is one beneath.
    pub fn difference(&self) -> Option<String> {
        self.machine.underside.as_ref()?.difference()
    }

    /// Opens the database beneath, which must hold what this one holds.
    fn open_beneath(
        underside: &Underside,
        disk: &mut Disk,
        database: Database,
    ) -> Result<Arc<dyn Store>, StoreError> {
        let store = underside.open(database)?;
        // Whoever opens a database has all that he finds.
        disk.sync_through(disk.written);
        let rows = underside.passes(all_rows(&*store, database))?;
        for (table, rows) in rows {
            if rows != disk.rows(table) {
                return Err(underside.differs(&format!(
                    "{}/{table} is opened with {} rows, and {} survived, or other ones",
                    database.name,
                    rows.len(),
                    disk.rows(table).len()
                )));
            }
        }
        Ok(store)
    }
}

impl Storage for MemStorage {
    fn open(&self, database: Database) -> Result<Arc<dyn Store>, StoreError> {
        let mut state = self.machine.state.lock();
        if let Some(error) = &state.failing {
            return Err(error.clone());
        }
        let life = state.life;
        let disk = state.disks.entry(database.name).or_default();
        if disk.is_open {
            return Err(StoreError::InUse {
                path: path_of(database),
            });
        }
        disk.make_tables(database);
        let beneath = match &self.machine.underside {
            Some(underside) => Some(Self::open_beneath(underside, disk, database)?),
            None => None,
        };
        disk.is_open = true;
        let handle = Handle::new(Arc::clone(&self.machine), life, database, beneath);
        Ok(Arc::new(MemStore::new(handle)))
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.machine
            .state
            .lock()
            .failing
            .clone()
            .map_or(Ok(()), Err)
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}
