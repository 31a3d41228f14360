//! What RocksDB and the file system say, in the words of [`StoreError`].

use crate::StoreError;
use rocksdb::ErrorKind;
use std::io;
use std::path::Path;

pub(super) fn io_error(path: &Path, error: &io::Error) -> StoreError {
    let (path, detail) = (path.display().to_string(), error.to_string());
    let kind = error.kind();
    if matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        StoreError::NoSpace { path }
    } else if matches!(
        kind,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    ) {
        StoreError::ReadOnly { path, detail }
    } else {
        StoreError::Io { path, detail }
    }
}

/// RocksDB hands out the operating system's error as text only.
pub(super) fn rocks_error(path: &Path, error: rocksdb::Error) -> StoreError {
    let (path, kind, detail) = (
        path.display().to_string(),
        error.kind(),
        error.into_string(),
    );
    let says = |text: &str| detail.contains(text);
    if says("No space left on device") || says("Disk quota exceeded") {
        StoreError::NoSpace { path }
    } else if says("Read-only file system") || says("Permission denied") {
        StoreError::ReadOnly { path, detail }
    } else if says("lock hold by current process") || says("While lock file") {
        StoreError::InUse { path }
    } else if kind == ErrorKind::Corruption {
        StoreError::Corrupt { path, detail }
    } else {
        StoreError::Io { path, detail }
    }
}

pub(super) fn corrupt(path: &Path, detail: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        path: path.display().to_string(),
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_read_only_one() {
        let path = Path::new("/data/log");
        let of = |code| io_error(path, &io::Error::from_raw_os_error(code));
        let [full, quota, read_only, denied, other] = [28, 122, 30, 13, 5].map(of);
        assert!(matches!(full, StoreError::NoSpace { .. }));
        assert!(matches!(quota, StoreError::NoSpace { .. }));
        assert!(matches!(read_only, StoreError::ReadOnly { .. }));
        assert!(matches!(denied, StoreError::ReadOnly { .. }));
        assert!(matches!(other, StoreError::Io { .. }));
    }
}
