//! One database on the disk of a simulated machine.

use super::beneath::all_rows;
use super::disk::Disk;
use super::handle::Handle;
use super::images::{Begun, erase, settle, settled_later};
use super::receiver::{MemReceiver, ReceiverBeneath};
use super::storage::Cut;
use super::syncs::{Syncs, fail_if_broken, flush, sync_groups};
use crate::checkpoint::objection;
use crate::store::{Batch, Checkpoint, Done, Receiver, Row, Store, StoreError, Taken};
use parking_lot::Mutex;
use std::ops::Bound;
use std::sync::Arc;

pub(super) struct MemStore {
    handle: Handle,
    syncs: Arc<Mutex<Syncs>>,
    /// Whose checkpoint is completed next.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for MemStore {
    fn drop(&mut self) {
        self.syncs.lock().is_closed = true;
        // A handle of an earlier life closes nothing.
        let _ = self.handle.disk(|disk| {
            disk.is_open = false;
            Ok(())
        });
    }
}

impl MemStore {
    pub(super) fn new(handle: Handle) -> Self {
        Self {
            handle,
            syncs: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Changes something, unless the disk takes no writes (any more).
    fn change<T>(
        &self,
        with: impl FnOnce(&mut Disk) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        fail_if_broken(&self.handle, &self.syncs)?;
        self.handle.disk(with)
    }

    /// Tells what became of something that takes its time.
    fn answer_later(&self, result: Result<(), StoreError>, done: Done) {
        let sync_delay = self.handle.machine.state.lock().sync_delay;
        match sync_delay {
            // Not joined, as below.
            Some(sync) if result.is_ok() => drop(tokio::spawn(settled_later(
                self.handle.without_beneath(),
                Arc::clone(&self.syncs),
                sync,
                done,
            ))),
            Some(_) | None => done(result),
        }
    }

    fn installed(&self) -> Result<(), StoreError> {
        self.handle.machine.state.lock().note_install();
        self.handle.reach(Cut::AfterInstall);
        self.change(|_| Ok(()))
    }
}

impl Store for MemStore {
    fn read(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let here = self.handle.disk(|disk| {
            self.handle.check(disk, table, key)?;
            Ok(disk.visible.table(table).get(key).cloned())
        })?;
        self.handle
            .compare(table, here, |beneath| beneath.read(table, key))
    }

    fn scan(
        &self,
        table: &'static str,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let here = self.handle.disk(|disk| {
            let rows = disk.visible.table(table);
            if is_empty_range(from, to) {
                return Ok(Vec::new());
            }
            let range = rows.range::<[u8], _>((from, to)).take(limit);
            let found = range.map(|(key, value)| {
                self.handle.check(disk, table, key)?;
                Ok((key.clone(), value.clone()))
            });
            found.collect()
        })?;
        self.handle
            .compare(table, here, |beneath| beneath.scan(table, from, to, limit))
    }

    fn last(&self, table: &'static str) -> Result<Option<Row>, StoreError> {
        let here = self.handle.disk(|disk| {
            let Some((key, value)) = disk.visible.table(table).last_key_value() else {
                return Ok(None);
            };
            self.handle.check(disk, table, key)?;
            Ok(Some((key.clone(), value.clone())))
        })?;
        self.handle
            .compare(table, here, |beneath| beneath.last(table))
    }

    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        fail_if_broken(&self.handle, &self.syncs)?;
        self.handle.reach(Cut::Change(1));
        let database = self.handle.database;
        if let Some((store, underside)) = self.handle.beneath() {
            self.handle.disk(|_| Ok(()))?;
            underside.passes(store.write(batch.clone()))?;
            underside.written(database)?;
        }
        let mut state = self.handle.machine.state.lock();
        if state.life == self.handle.life {
            state.note(database.name, &batch);
        }
        drop(state);
        self.handle.disk(|disk| {
            disk.write(batch);
            Ok(())
        })
    }

    fn sync(&self, done: Done) {
        if self.handle.machine.state.lock().sync_delay.is_none() {
            let written = self.handle.disk(|disk| Ok(disk.written));
            return done(written.and_then(|number| flush(&self.handle, &self.syncs, number)));
        }
        let starts = {
            let mut syncs = self.syncs.lock();
            syncs.waiting.push(done);
            !std::mem::replace(&mut syncs.is_running, true)
        };
        if starts {
            // Not joined: it ends by itself when nobody waits, and dies with the runtime as a disk does with
            // its machine.
            tokio::spawn(sync_groups(self.handle.clone(), Arc::clone(&self.syncs)));
        }
    }

    fn syncs(&self) -> u64 {
        self.syncs.lock().done
    }

    fn settle(&self, done: Done) {
        self.answer_later(settle(&self.handle, &self.syncs), done);
    }

    fn erase(&self, table: &'static str, done: Done) {
        self.answer_later(erase(&self.handle, &self.syncs, table), done);
    }

    fn checkpoint(&self, name: &str, meta: &[u8], taken: Taken) {
        let begun = match Begun::new(&self.handle, &self.syncs, name, meta) {
            Ok(begun) => begun,
            Err(error) => return taken(Err(error)),
        };
        let sync_delay = self.handle.machine.state.lock().sync_delay;
        match sync_delay {
            None => taken(begun.finish()),
            // Not joined, as above.
            Some(sync) => drop(tokio::spawn(begun.finish_later(
                Arc::clone(&self.turn),
                sync,
                taken,
            ))),
        }
    }

    fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        let here = self.handle.disk(|disk| {
            Ok(disk
                .images
                .values()
                .map(|image| image.checkpoint.clone())
                .collect())
        })?;
        match self.handle.beneath() {
            Some((store, underside)) => underside.passes(store.checkpoints()),
            None => Ok(here),
        }
    }

    fn remove_checkpoint(&self, name: &str) -> Result<(), StoreError> {
        self.change(|disk| {
            disk.images.remove(name);
            Ok(())
        })?;
        match self.handle.beneath() {
            Some((store, underside)) => underside.passes(store.remove_checkpoint(name)),
            None => Ok(()),
        }
    }

    fn read_checkpoint(
        &self,
        name: &str,
        file: &str,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, StoreError> {
        if let Some((store, underside)) = self.handle.beneath() {
            self.handle.disk(|_| Ok(()))?;
            return underside.passes(store.read_checkpoint(name, file, offset, len));
        }
        self.handle.disk(|disk| {
            let data = disk
                .images
                .get(name)
                .and_then(|image| image.contents.get(file));
            let data = data.ok_or_else(|| StoreError::NoCheckpoint {
                name: name.to_owned(),
            })?;
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(data.len());
            let end = start.saturating_add(len).min(data.len());
            Ok(data[start..end].to_vec())
        })
    }

    fn receive(&self, checkpoint: Checkpoint) -> Result<Box<dyn Receiver>, StoreError> {
        if let Some(objection) = objection(&checkpoint) {
            return Err(self.handle.corrupt(objection));
        }
        self.change(|_| Ok(()))?;
        if let Some((store, underside)) = self.handle.beneath() {
            return Ok(Box::new(ReceiverBeneath {
                receiver: underside.passes(store.receive(checkpoint))?,
                handle: self.handle.clone(),
                syncs: Arc::clone(&self.syncs),
            }));
        }
        let (handle, syncs) = (self.handle.clone(), Arc::clone(&self.syncs));
        Ok(Box::new(MemReceiver::new(checkpoint, handle, syncs)))
    }

    fn install(&self, name: &str) -> Result<(), StoreError> {
        let database = self.handle.database;
        self.handle.reach(Cut::BeforeInstall);
        if let Some((store, underside)) = self.handle.beneath() {
            self.change(|_| Ok(()))?;
            underside.passes(store.install(name))?;
            let rows = underside.passes(all_rows(store, database))?;
            self.change(|disk| {
                disk.replace(rows);
                Ok(())
            })?;
            underside.synced(database)?;
            return self.installed();
        }
        let installed = self.change(|disk| {
            let image = disk.images.get(name).cloned();
            let image = image.ok_or_else(|| StoreError::NoCheckpoint {
                name: name.to_owned(),
            })?;
            Ok(disk.install(&image, database))
        })?;
        if installed {
            self.installed()
        } else {
            Err(self
                .handle
                .corrupt(format!("checkpoint {name} holds something else than rows")))
        }
    }
}

/// `BTreeMap::range` panics on such bounds, where a scan finds nothing.
fn is_empty_range(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
    }
}
