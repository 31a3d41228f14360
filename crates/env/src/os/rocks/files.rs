//! Files and directories that are there after a power failure.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes the entries of a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes all files of a directory and their entries durable.
pub(super) fn sync_files(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    sync_dir(dir)
}

/// Writes a new file durably; its entry is not durable yet.
pub(super) fn write_synced(path: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(data)?;
    file.sync_all()
}

/// Replaces a file: after a crash either the old contents or the new are there.
pub(super) fn replace(path: &Path, data: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    write_synced(&temporary, data)?;
    fs::rename(&temporary, path)?;
    sync_dir(path.parent().expect("a file is in a directory"))
}

/// A file's contents, or `None` if there is no such file.
pub(super) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(data) => Ok(Some(data)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a directory with all that is in it. No error if it is not there.
pub(super) fn remove_dir_if_there(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether two names are of one file.
pub(super) fn are_one(one: &Path, other: &Path) -> io::Result<bool> {
    let found = |path: &Path| match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    Ok(match (found(one)?, found(other)?) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    })
}

/// Whoever reads for long was told to stop.
pub(super) fn stopped() -> io::Error {
    io::Error::other("the database was closed")
}

/// Size and SHA-256 of a file, in constant memory; an error when `stop` is set meanwhile.
pub(super) fn digest(path: &Path, stop: &AtomicBool) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(path)?;
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        let count = file.read(&mut buffer)?;
        if count == 0 {
            let digest = hash.finish();
            return Ok((
                size,
                digest.as_ref().try_into().expect("SHA-256 has 32 bytes"),
            ));
        }
        hash.update(&buffer[..count]);
        size += u64::try_from(count).expect("a length fits 64 bits");
    }
}

/// The names in a directory, sorted.
pub(super) fn names(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("strange file name {}", name.display()),
            )
        })?;
        names.push((name, entry.path()));
    }
    names.sort();
    Ok(names)
}
