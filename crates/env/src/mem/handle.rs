//! A database of a simulated machine, as whoever works on it holds it.

use super::beneath::Underside;
use super::disk::Disk;
use super::storage::{Cut, Machine};
use crate::store::{Database, Store, StoreError};
use std::sync::Arc;

pub(super) fn path_of(database: Database) -> String {
    format!("memory/{}", database.name)
}

/// One database in one life of the machine.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) machine: Arc<Machine>,
    pub(super) life: u64,
    pub(super) database: Database,
    /// The database on the real disk, if there is one.
    beneath: Option<Arc<dyn Store>>,
}

impl Handle {
    pub(super) fn new(
        machine: Arc<Machine>,
        life: u64,
        database: Database,
        beneath: Option<Arc<dyn Store>>,
    ) -> Self {
        Self {
            machine,
            life,
            database,
            beneath,
        }
    }

    /// The same for work that goes on when the database is closed, which closes the one on the real disk too.
    pub(super) fn without_beneath(&self) -> Self {
        Self {
            machine: Arc::clone(&self.machine),
            beneath: None,
            ..*self
        }
    }

    /// The database on the real disk, and what is known of that, if there is one.
    pub(super) fn beneath(&self) -> Option<(&dyn Store, &Underside)> {
        self.beneath.as_deref().zip(self.machine.underside.as_ref())
    }

    /// What the real disk answers to a read, if there is one: it must be this.
    pub(super) fn compare<T: PartialEq>(
        &self,
        what: &str,
        here: T,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some((store, underside)) = self.beneath() else {
            return Ok(here);
        };
        let there = underside.passes(read(store))?;
        if there == here {
            Ok(there)
        } else {
            Err(underside.differs(&format!("{}/{what} reads otherwise", self.database.name)))
        }
    }

    /// Whatever was written is durable beneath, and so here.
    pub(super) fn synced_beneath(&self, underside: &Underside) -> Result<(), StoreError> {
        underside.synced(self.database)?;
        self.disk(|disk| {
            disk.sync_through(disk.written);
            Ok(())
        })
    }

    /// Where the power may be made to fail.
    pub(super) fn reach(&self, point: Cut) {
        let mut state = self.machine.state.lock();
        if state.life == self.life {
            state.reach(point);
        }
    }

    pub(super) fn disk<T>(
        &self,
        with: impl FnOnce(&mut Disk) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.machine.state.lock();
        if state.life != self.life {
            return Err(StoreError::Io {
                path: path_of(self.database),
                detail: "the power failed: open the database again".to_owned(),
            });
        }
        let disk = state
            .disks
            .get_mut(self.database.name)
            .expect("opened, and never removed");
        with(disk)
    }

    /// Whoever reads a damaged row is told by its checksum.
    pub(super) fn check(&self, disk: &Disk, table: &str, key: &[u8]) -> Result<(), StoreError> {
        if disk.is_damaged(table, key) {
            Err(self.corrupt(format!("a row of {table}: the checksum differs")))
        } else {
            Ok(())
        }
    }

    pub(super) fn corrupt(&self, detail: String) -> StoreError {
        StoreError::Corrupt {
            path: path_of(self.database),
            detail,
        }
    }

    pub(super) fn closed(&self) -> StoreError {
        StoreError::Io {
            path: path_of(self.database),
            detail: "the database was closed".to_owned(),
        }
    }
}
