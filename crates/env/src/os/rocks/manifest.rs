//! How much of RocksDB's table of contents, its MANIFEST, is durable.
//!
//! RocksDB takes a MANIFEST that is cut short, or one whose last records have a wrong length, for one whose end was never
//! written: it goes on without the tables and logs that the end names, and says nothing. So the watermark notes how long
//! the MANIFEST was and what it said, and a database whose MANIFEST does not begin so is not opened.

use super::error::{corrupt, io_error};
use crate::StoreError;
use ring::digest::{Context, SHA256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const PREFIX: &str = "MANIFEST-";

/// What a MANIFEST began with at some time. All zero: nobody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    /// Which one: RocksDB numbers them, and begins another at each open.
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// The first bytes of the SHA-256 of so many bytes.
    pub(super) digest: [u8; 8],
}

/// The MANIFEST of an open database, which grows now and then.
pub(super) struct Manifest {
    db_dir: PathBuf,
    path: PathBuf,
    file: File,
    number: u64,
    bytes: u64,
    hash: Context,
}

impl Manifest {
    /// The live one, as far as it reaches now.
    pub(super) fn open(db_dir: &Path) -> Result<Self, StoreError> {
        let failed = |error: io::Error| io_error(db_dir, &error);
        let (path, number) = current(db_dir).map_err(failed)?;
        let mut manifest = Self {
            db_dir: db_dir.to_owned(),
            file: File::open(&path).map_err(failed)?,
            path,
            number,
            bytes: 0,
            hash: Context::new(&SHA256),
        };
        manifest.read_on().map_err(failed)?;
        Ok(manifest)
    }

    /// Looks whether there is more of it, and makes that durable.
    pub(super) fn grows(&mut self) -> Result<bool, StoreError> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() == self.bytes => Ok(false),
            Ok(_) => {
                let read = self.read_on();
                read.map_err(|error| io_error(&self.path, &error))?;
                Ok(true)
            }
            // RocksDB has begun another.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *self = Self::open(&self.db_dir)?;
                Ok(true)
            }
            Err(error) => Err(io_error(&self.path, &error)),
        }
    }

    pub(super) fn extent(&self) -> Extent {
        let digest = self.hash.clone().finish();
        Extent {
            number: self.number,
            bytes: self.bytes,
            digest: *digest.as_ref().first_chunk().expect("32 bytes"),
        }
    }

    fn read_on(&mut self) -> io::Result<()> {
        let mut more = Vec::new();
        self.file.read_to_end(&mut more)?;
        // What RocksDB has written it need not have synced yet.
        self.file.sync_data()?;
        self.hash.update(&more);
        self.bytes += u64::try_from(more.len()).expect("a length fits 64 bits");
        Ok(())
    }
}

/// Refuses a database whose MANIFEST does not begin as it once did.
pub(super) fn verify(db_dir: &Path, durable: Extent) -> Result<(), StoreError> {
    if durable == Extent::default() {
        return Ok(());
    }
    let (path, number) = current(db_dir).map_err(|error| corrupt(db_dir, error.to_string()))?;
    // One that was begun since is RocksDB's own to read.
    if number > durable.number {
        return Ok(());
    }
    if number < durable.number {
        let detail = format!("it names {PREFIX}{number:06}, and a later one was durable");
        return Err(corrupt(&db_dir.join("CURRENT"), detail));
    }
    let begins = begins_as(&path, durable).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            corrupt(&path, "it is missing")
        } else {
            io_error(&path, &error)
        }
    })?;
    if begins {
        return Ok(());
    }
    let detail = format!(
        "its first {} bytes are not those that were durable",
        durable.bytes
    );
    Err(corrupt(&path, detail))
}

fn begins_as(path: &Path, durable: Extent) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.seek(SeekFrom::End(0))? < durable.bytes {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut begin = file.take(durable.bytes);
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match begin.read(&mut buffer)? {
            0 => return Ok(hash.finish().as_ref().starts_with(&durable.digest)),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// The path and number of the MANIFEST that a database's CURRENT names.
fn current(db_dir: &Path) -> io::Result<(PathBuf, u64)> {
    let text = fs::read(db_dir.join("CURRENT"))?;
    let parse = || {
        let name = std::str::from_utf8(&text).ok()?.strip_suffix('\n')?;
        let number = name.strip_prefix(PREFIX)?.parse().ok()?;
        Some((db_dir.join(name), number))
    };
    parse().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "CURRENT names no MANIFEST"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_may_grow_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("MANIFEST-000005");
        fs::write(dir.path().join("CURRENT"), "MANIFEST-000005\n").unwrap();
        fs::write(&path, b"one").unwrap();
        let mut manifest = Manifest::open(dir.path()).unwrap();
        assert!(!manifest.grows().unwrap());
        fs::write(&path, b"one two").unwrap();
        assert!(manifest.grows().unwrap());
        let extent = manifest.extent();
        let check = || verify(dir.path(), extent);
        fs::write(&path, b"one two three").unwrap();
        assert_eq!(check(), Ok(()));
        for damaged in [b"one tw".as_slice(), b"one twO three", b""] {
            fs::write(&path, damaged).unwrap();
            assert!(matches!(check(), Err(StoreError::Corrupt { .. })));
        }
        fs::rename(&path, dir.path().join("MANIFEST-000004")).unwrap();
        assert!(matches!(check(), Err(StoreError::Corrupt { .. })));
        for (name, is_well) in [
            ("MANIFEST-000004", false),
            ("MANIFEST-000006", true),
            ("x", false),
        ] {
            fs::write(dir.path().join("CURRENT"), format!("{name}\n")).unwrap();
            assert_eq!(check().is_ok(), is_well, "{name}");
        }
    }

    #[test]
    fn another_manifest_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("CURRENT", "MANIFEST-000005\n");
        write("MANIFEST-000005", "one");
        let mut manifest = Manifest::open(dir.path()).unwrap();
        write("MANIFEST-000009", "another");
        write("CURRENT", "MANIFEST-000009\n");
        fs::remove_file(dir.path().join("MANIFEST-000005")).unwrap();
        assert!(manifest.grows().unwrap());
        assert_eq!((manifest.extent().number, manifest.extent().bytes), (9, 7));
    }
}
