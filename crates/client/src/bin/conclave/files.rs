//! Small files: read with a bound, written for their owner's eyes only.

use crate::error::CliError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Reads a file of at most `max` bytes; the copy is wiped when it is dropped.
pub(crate) fn read(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let file = File::open(path).map_err(CliError::file("read", path))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(max + 1));
    let bound = u64::try_from(max).unwrap_or(u64::MAX);
    file.take(bound + 1)
        .read_to_end(&mut bytes)
        .map_err(CliError::file("read", path))?;
    if bytes.len() > max {
        return Err(CliError::TooLarge {
            path: path.to_owned(),
            max: bound,
        });
    }
    Ok(bytes)
}

/// Writes a new file, mode 0600, and sees it on the disk. Never overwrites.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut file = create_new(path)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(CliError::file("write", path))
}

/// Makes a new, empty file, mode 0600. Never overwrites.
pub(crate) fn create_new(path: &Path) -> Result<File, CliError> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    opened.map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            return CliError::Exists {
                path: path.to_owned(),
            };
        }
        CliError::file("create", path)(error)
    })
}

/// Makes a directory and those above it, mode 0700, unless it is there.
pub(crate) fn create_dir(path: &Path) -> Result<(), CliError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(CliError::file("create", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn new_files_are_private_and_never_overwrite() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        create_dir(path.parent().unwrap()).unwrap();
        write_new(&path, b"one").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(
            write_new(&path, b"two"),
            Err(CliError::Exists { .. })
        ));
        assert_eq!(read(&path, 3).unwrap().as_slice(), b"one");
        assert!(matches!(read(&path, 2), Err(CliError::TooLarge { .. })));
    }
}
