//! A checkpoint that arrives from another node.

use super::checkpoints::{Checkpoints, files_dir};
use super::error::{corrupt, io_error};
use super::files;
use crate::checkpoint::Progress;
use crate::store::{Checkpoint, Receiver, StoreError};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

pub(super) struct RocksReceiver {
    checkpoints: Arc<Checkpoints>,
    checkpoint: Checkpoint,
    progress: BTreeMap<String, Progress>,
    /// Removed when dropped; `finish` has moved it away by then.
    dir: PathBuf,
}

impl RocksReceiver {
    /// The names in `checkpoint` were checked.
    pub(super) fn new(
        checkpoints: Arc<Checkpoints>,
        checkpoint: Checkpoint,
    ) -> Result<Self, StoreError> {
        let dir = checkpoints.begin()?;
        let progress = checkpoint
            .files
            .iter()
            .map(|file| (file.name.clone(), Progress::new(file.clone())))
            .collect();
        let receiver = Self {
            checkpoints,
            checkpoint,
            progress,
            dir,
        };
        let prepare =
            || -> io::Result<()> {
                let files_dir = files_dir(&receiver.dir);
                fs::create_dir(&files_dir)?;
                receiver.checkpoint.files.iter().try_for_each(|file| {
                    fs::File::create_new(files_dir.join(&file.name)).map(|_| ())
                })
            };
        prepare().map_err(|error| io_error(&receiver.dir, &error))?;
        Ok(receiver)
    }
}

impl Receiver for RocksReceiver {
    fn write(&mut self, file: &str, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        let Some(progress) = self.progress.get_mut(file) else {
            return Err(corrupt(&self.dir, "a file that is not of this checkpoint"));
        };
        progress
            .take(offset, data)
            .map_err(|detail| corrupt(&self.dir, detail))?;
        let path = files_dir(&self.dir).join(file);
        let appended = fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut opened| opened.write_all(data));
        appended.map_err(|error| io_error(&path, &error))
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        for progress in std::mem::take(&mut self.progress).into_values() {
            progress
                .finish()
                .map_err(|detail| corrupt(&self.dir, detail))?;
        }
        self.checkpoints.publish(&self.dir, &self.checkpoint)
    }
}

impl Drop for RocksReceiver {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next open.
        let _ = files::remove_dir_if_there(&self.dir);
    }
}
