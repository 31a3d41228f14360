//! Checkpoints that arrive: in memory, and on the real disk beneath.

use super::disk::Image;
use super::handle::Handle;
use super::syncs::{Syncs, fail_if_broken};
use crate::checkpoint::Progress;
use crate::store::{Checkpoint, Receiver, StoreError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A checkpoint that arrives in memory.
pub(super) struct MemReceiver {
    checkpoint: Checkpoint,
    files: BTreeMap<String, (Progress, Vec<u8>)>,
    handle: Handle,
    syncs: Arc<Mutex<Syncs>>,
}

impl MemReceiver {
    pub(super) fn new(checkpoint: Checkpoint, handle: Handle, syncs: Arc<Mutex<Syncs>>) -> Self {
        let files = checkpoint
            .files
            .iter()
            .map(|file| (file.name.clone(), (Progress::new(file.clone()), Vec::new())))
            .collect();
        Self {
            checkpoint,
            files,
            handle,
            syncs,
        }
    }
}

impl Receiver for MemReceiver {
    fn write(&mut self, file: &str, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        fail_if_broken(&self.handle, &self.syncs)?;
        let Some((progress, contents)) = self.files.get_mut(file) else {
            return Err(self
                .handle
                .corrupt("a file that is not of this checkpoint".to_owned()));
        };
        progress
            .take(offset, data)
            .map_err(|detail| self.handle.corrupt(detail))?;
        contents.extend_from_slice(data);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let Self {
            checkpoint,
            files,
            handle,
            syncs,
        } = *self;
        fail_if_broken(&handle, &syncs)?;
        let mut contents = BTreeMap::new();
        for (name, (progress, data)) in files {
            progress.finish().map_err(|detail| handle.corrupt(detail))?;
            contents.insert(name, data);
        }
        handle.disk(|disk| {
            disk.images.insert(
                checkpoint.name.clone(),
                Image {
                    checkpoint,
                    contents,
                },
            );
            Ok(())
        })
    }
}

/// A checkpoint that arrives on the real disk.
pub(super) struct ReceiverBeneath {
    pub(super) receiver: Box<dyn Receiver>,
    pub(super) handle: Handle,
    pub(super) syncs: Arc<Mutex<Syncs>>,
}

impl Receiver for ReceiverBeneath {
    fn write(&mut self, file: &str, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        fail_if_broken(&self.handle, &self.syncs)?;
        self.handle.disk(|_| Ok(()))?;
        self.receiver.write(file, offset, data)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        fail_if_broken(&self.handle, &self.syncs)?;
        self.handle.disk(|_| Ok(()))?;
        self.receiver.finish()
    }
}
