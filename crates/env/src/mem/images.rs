//! Checkpoints of a simulated database: the image is of the instant of the call, and complete a while later.

use super::beneath::now;
use super::disk::Image;
use super::handle::Handle;
use super::storage::Cut;
use super::syncs::{Syncs, fail_if_broken};
use crate::checkpoint::is_checkpoint_name;
use crate::store::{Checkpoint, Done, StoreError, Taken};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// A checkpoint takes as long as so many syncs, and so does settling before it: long enough that entries, elections and
/// other snapshots come in between.
const SYNCS_LONG: u32 = 20;

/// Moves what was written to tables, of which only a disk beneath has any.
pub(super) fn settle(handle: &Handle, syncs: &Mutex<Syncs>) -> Result<(), StoreError> {
    fail_if_broken(handle, syncs)?;
    handle.disk(|_| Ok(()))?;
    let Some((store, underside)) = handle.beneath() else {
        return Ok(());
    };
    underside.passes(now(|done| store.settle(done)))?;
    // Tables are durable.
    handle.synced_beneath(underside)
}

/// Erases what is not there any more, of which only a disk beneath has any.
pub(super) fn erase(
    handle: &Handle,
    syncs: &Mutex<Syncs>,
    table: &'static str,
) -> Result<(), StoreError> {
    fail_if_broken(handle, syncs)?;
    let Some((store, underside)) = handle.beneath() else {
        // What is in tables is durable.
        return handle.disk(|disk| {
            disk.sync_through(disk.written);
            Ok(())
        });
    };
    handle.disk(|_| Ok(()))?;
    underside.passes(now(|done| store.erase(table, done)))?;
    handle.synced_beneath(underside)
}

/// Answers when settling has taken its time.
pub(super) async fn settled_later(
    handle: Handle,
    syncs: Arc<Mutex<Syncs>>,
    sync: Duration,
    done: Done,
) {
    tokio::time::sleep(sync * SYNCS_LONG).await;
    let is_closed = syncs.lock().is_closed;
    done(if is_closed {
        Err(handle.closed())
    } else {
        handle.disk(|_| Ok(()))
    });
}

/// A checkpoint that nobody sees yet.
pub(super) struct Begun {
    handle: Handle,
    syncs: Arc<Mutex<Syncs>>,
    image: Image,
}

impl Begun {
    /// Takes the image of this instant.
    pub(super) fn new(
        handle: &Handle,
        syncs: &Arc<Mutex<Syncs>>,
        name: &str,
        meta: &[u8],
    ) -> Result<Self, StoreError> {
        assert!(
            is_checkpoint_name(name),
            "a checkpoint's name is chosen by our own code"
        );
        handle.reach(Cut::BeforeCheckpoint);
        fail_if_broken(handle, syncs)?;
        let mut image = handle.disk(|disk| match disk.damaged() {
            None => Ok(disk.image(name, meta)),
            Some(row) => Err(handle.corrupt(format!("{row}: the checksum differs"))),
        })?;
        if let Some((store, underside)) = handle.beneath() {
            // Complete there at once, since nothing beneath takes its own time; answered later all the same.
            image.checkpoint =
                underside.passes(now(|taken| store.checkpoint(name, meta, taken)))?;
        }
        Ok(Self {
            handle: handle.without_beneath(),
            syncs: Arc::clone(syncs),
            image,
        })
    }

    /// Completes it, unless the database was closed or the power failed meanwhile.
    pub(super) fn finish(self) -> Result<Checkpoint, StoreError> {
        let Self {
            handle,
            syncs,
            image,
        } = self;
        if syncs.lock().is_closed {
            return Err(handle.closed());
        }
        fail_if_broken(&handle, &syncs)?;
        let checkpoint = image.checkpoint.clone();
        handle.disk(|disk| {
            disk.images.insert(checkpoint.name.clone(), image);
            Ok(())
        })?;
        handle.reach(Cut::AfterCheckpoint);
        handle.disk(|_| Ok(()))?;
        Ok(checkpoint)
    }

    /// Completes it when its time is over, and not before those that were begun before it.
    pub(super) async fn finish_later(
        self,
        turn: Arc<tokio::sync::Mutex<()>>,
        sync: Duration,
        taken: Taken,
    ) {
        let turn = turn.lock_owned().await;
        tokio::time::sleep(sync * SYNCS_LONG).await;
        let finished = self.finish();
        drop(turn);
        taken(finished);
    }
}
