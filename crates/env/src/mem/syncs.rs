//! Whoever waits until writes to a simulated database are durable.

use super::beneath::now;
use super::handle::Handle;
use super::storage::Cut;
use crate::store::{Done, StoreError};
use parking_lot::Mutex;
use std::sync::Arc;

/// Callers of `sync` that wait, and whether a task works for them.
#[derive(Default)]
pub(super) struct Syncs {
    pub(super) waiting: Vec<Done>,
    pub(super) is_running: bool,
    pub(super) done: u64,
    /// The handle is gone, and nothing more is completed for it.
    pub(super) is_closed: bool,
    /// The error that ended this handle's life as a writer.
    failed: Option<StoreError>,
}

pub(super) fn fail_if_broken(handle: &Handle, syncs: &Mutex<Syncs>) -> Result<(), StoreError> {
    let failing = handle.machine.state.lock().failing.clone();
    let mut syncs = syncs.lock();
    if syncs.failed.is_none() {
        syncs.failed = failing;
    }
    syncs.failed.clone().map_or(Ok(()), Err)
}

/// Makes the batches up to `number` durable.
pub(super) fn flush(handle: &Handle, syncs: &Mutex<Syncs>, number: u64) -> Result<(), StoreError> {
    fail_if_broken(handle, syncs)?;
    handle.reach(Cut::Change(1));
    handle.disk(|disk| {
        disk.sync_through(number);
        Ok(())
    })?;
    syncs.lock().done += 1;
    let Some((store, underside)) = handle.beneath() else {
        return Ok(());
    };
    underside.passes(now(|done| store.sync(done)))?;
    handle.synced_beneath(underside)
}

/// Works for those that wait in `sync`, one group after the other, until none waits.
pub(super) async fn sync_groups(handle: Handle, syncs: Arc<Mutex<Syncs>>) {
    loop {
        let group = {
            let mut syncs = syncs.lock();
            let group = std::mem::take(&mut syncs.waiting);
            syncs.is_running = !group.is_empty();
            group
        };
        if group.is_empty() {
            return;
        }
        let written = handle.disk(|disk| Ok(disk.written));
        let delay = handle.machine.state.lock().sync_delay;
        tokio::time::sleep(delay.unwrap_or_default()).await;
        let result = written.and_then(|number| flush(&handle, &syncs, number));
        for done in group {
            done(result.clone());
        }
    }
}
