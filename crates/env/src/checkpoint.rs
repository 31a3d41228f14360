//! What a checkpoint may be called, and its receiving side's bookkeeping; shared by all stores.

use crate::limits::{
    CHECKPOINT_FILES_MAX, CHECKPOINT_META_BYTES_MAX, CHECKPOINT_NAME_BYTES_MAX, FILE_NAME_BYTES_MAX,
};
use crate::store::{Checkpoint, CheckpointFile};
use ring::digest::{Context, SHA256, digest};
use std::collections::BTreeSet;

/// The reason why a checkpoint that another node announces is not taken, if there is one.
pub(crate) fn objection(checkpoint: &Checkpoint) -> Option<String> {
    if !is_checkpoint_name(&checkpoint.name) {
        return Some("a checkpoint's name is made of a-z, 0-9 and '-', 1 to 64 bytes".to_owned());
    }
    if checkpoint.meta.len() > CHECKPOINT_META_BYTES_MAX {
        return Some(format!(
            "{} bytes of meta data are too many",
            checkpoint.meta.len()
        ));
    }
    if checkpoint.files.len() > CHECKPOINT_FILES_MAX {
        return Some(format!("{} files are too many", checkpoint.files.len()));
    }
    let mut seen = BTreeSet::new();
    for file in &checkpoint.files {
        if !is_file_name(&file.name) {
            return Some("a file's name is not allowed".to_owned());
        }
        if !seen.insert(file.name.as_str()) {
            return Some(format!("file {} is listed twice", file.name));
        }
    }
    None
}

/// `[a-z0-9-]{1,64}`.
pub(crate) fn is_checkpoint_name(name: &str) -> bool {
    (1..=CHECKPOINT_NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `[A-Za-z0-9._-]{1,128}`, and not a name of the directory itself or of the one above.
pub(crate) fn is_file_name(name: &str) -> bool {
    (1..=FILE_NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && name != "."
        && name != ".."
}

/// SHA-256 of a whole file.
pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    to_array(digest(&SHA256, data))
}

fn to_array(digest: ring::digest::Digest) -> [u8; 32] {
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Follows one file as it arrives.
pub(crate) struct Progress {
    file: CheckpointFile,
    received: u64,
    hash: Context,
}

impl Progress {
    pub(crate) fn new(file: CheckpointFile) -> Self {
        Self {
            file,
            received: 0,
            hash: Context::new(&SHA256),
        }
    }

    /// Takes the next bytes of the file, or says why not.
    pub(crate) fn take(&mut self, offset: u64, data: &[u8]) -> Result<(), String> {
        let name = &self.file.name;
        if offset != self.received {
            return Err(format!(
                "{name}: bytes from {offset} on, expected {}",
                self.received
            ));
        }
        let length = u64::try_from(data.len()).map_err(|_| format!("{name}: too long"))?;
        if length > self.file.size - self.received {
            return Err(format!(
                "{name}: longer than the {} bytes announced",
                self.file.size
            ));
        }
        self.received += length;
        self.hash.update(data);
        Ok(())
    }

    /// Says what is wrong with the file, now that no more bytes come.
    pub(crate) fn finish(self) -> Result<CheckpointFile, String> {
        let Self {
            file,
            received,
            hash,
        } = self;
        if received != file.size {
            return Err(format!(
                "{}: {received} bytes of {} came",
                file.name, file.size
            ));
        }
        if to_array(hash.finish()) != file.sha256 {
            return Err(format!("{}: the checksum differs", file.name));
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/a",
            "a\\b",
            "a\0",
            "ä",
            &"x".repeat(129),
        ] {
            assert!(!is_file_name(name), "{name:?}");
        }
        for name in ["", "..", "a/b", "A", "a.b", "a_b", &"x".repeat(65)] {
            assert!(!is_checkpoint_name(name), "{name:?}");
        }
        assert!(is_file_name("MANIFEST-000005") && is_file_name("000012.sst"));
        assert!(is_checkpoint_name("snap-2-17"));
    }
}
