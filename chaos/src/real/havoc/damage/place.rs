//! Where and how a data directory is damaged.

use crate::real::havoc::draws::Draws;
use anyhow::{Context as _, Result, ensure};
use rand::seq::IndexedRandom as _;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// How much rather a file is drawn on which something hangs.
const USE_WEIGHT: u32 = 5;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// One bit is another.
    Flip { offset: u64, bit: u32 },
    /// It ends early.
    Cut { bytes: u64 },
    /// It is gone.
    Remove,
}

/// One harm to one file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Below the data directory.
    file: PathBuf,
    bytes: u64,
    harm: Harm,
    /// As [`kind_of`] says.
    pub(super) kind: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, bytes) = (self.file.display(), self.bytes);
        match self.harm {
            Harm::Flip { offset, bit } => {
                write!(
                    f,
                    "bit {bit} of byte {offset} flipped in {file} of {bytes} bytes"
                )
            }
            Harm::Cut { bytes: left } => write!(f, "{file} cut from {bytes} to {left} bytes"),
            Harm::Remove => write!(f, "{file} removed"),
        }
    }
}

impl Place {
    /// Draws a kind of file first, so that the many tables do not hide the few files that matter most; only kinds that
    /// are called like `only`.
    pub(super) fn draw(draws: &mut Draws, data_dir: &Path, only: &str) -> Result<Self> {
        let mut kinds: BTreeMap<String, Vec<(PathBuf, u64)>> = BTreeMap::new();
        for (file, bytes) in files_below(data_dir)? {
            let file = file.strip_prefix(data_dir)?.to_owned();
            let kind = kind_of(&file);
            if bytes > 0 && kind.contains(only) {
                kinds.entry(kind).or_default().push((file, bytes));
            }
        }
        ensure!(
            !kinds.is_empty(),
            "there is no {only:?} in {}",
            data_dir.display()
        );
        let weigh = |kind: &String| if is_of_no_use(kind) { 1 } else { USE_WEIGHT };
        let kinds: Vec<_> = kinds.into_iter().collect();
        let (kind, files) = kinds.choose_weighted(&mut draws.0, |(kind, _)| weigh(kind))?;
        let (kind, files) = (kind.clone(), files.clone());
        let (file, bytes) = draws.one(files);
        let harm = match draws.one(0..10) {
            0..5 => Harm::Flip {
                offset: draws.one(0..bytes),
                bit: draws.one(0..8),
            },
            5..9 => Harm::Cut {
                bytes: draws.one(0..bytes),
            },
            _ => Harm::Remove,
        };
        Ok(Self {
            file,
            bytes,
            harm,
            kind,
        })
    }

    /// Does it.
    pub(super) fn damage(&self, data_dir: &Path) -> Result<()> {
        let path = data_dir.join(&self.file);
        let open = || {
            let file = File::options().read(true).write(true).open(&path);
            file.with_context(|| path.display().to_string())
        };
        match self.harm {
            Harm::Flip { offset, bit } => {
                let (file, mut byte) = (open()?, [0]);
                file.read_exact_at(&mut byte, offset)?;
                byte[0] ^= 1 << bit;
                file.write_all_at(&byte, offset)?;
            }
            Harm::Cut { bytes } => open()?.set_len(bytes)?,
            Harm::Remove => fs::remove_file(&path)?,
        }
        Ok(())
    }

    /// Whether nothing that a node promises hangs on the file.
    pub(super) fn is_of_no_use(&self) -> bool {
        is_of_no_use(&self.kind)
    }
}

fn is_of_no_use(kind: &str) -> bool {
    ["LOCK", "LOG", "OPTIONS", "IDENTITY"]
        .iter()
        .any(|of_no_use| kind.ends_with(of_no_use))
}

/// The database and the part that the file plays in it.
fn kind_of(file: &Path) -> String {
    let names: Vec<String> = file
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let name = names.last().map_or("", String::as_str);
    let begins = [
        "CURRENT_DB",
        "CURRENT",
        "MANIFEST",
        "OPTIONS",
        "IDENTITY",
        "LOG",
        "LOCK",
    ];
    let extension = Path::new(name).extension().and_then(|it| it.to_str());
    let part = if let Some(known) = begins.iter().find(|known| name.starts_with(**known)) {
        known
    } else if extension == Some("log") {
        "write-ahead log"
    } else if extension == Some("sst") {
        "table"
    } else {
        name
    };
    let database = names.first().map_or("", String::as_str);
    let of = if names.iter().any(|name| name == "checkpoints") {
        "checkpoint "
    } else {
        ""
    };
    format!("{database}: {of}{part}")
}

/// All files below a directory with their sizes, sorted by their paths.
fn files_below(dir: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files_below(&entry.path())?);
        } else {
            found.push((entry.path(), entry.metadata()?.len()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::havoc::Kind;

    #[test]
    fn files_are_told_apart() {
        for (file, kind) in [
            ("log/CURRENT_DB", "log: CURRENT_DB"),
            ("log/db-1/CURRENT", "log: CURRENT"),
            ("state/db-2/MANIFEST-000012", "state: MANIFEST"),
            ("state/db-2/000011.log", "state: write-ahead log"),
            ("state/db-2/LOG.old.17", "state: LOG"),
            (
                "state/checkpoints/s-1/MANIFEST",
                "state: checkpoint MANIFEST",
            ),
            (
                "state/checkpoints/s-1/db/000007.sst",
                "state: checkpoint table",
            ),
            ("log/watermark", "log: watermark"),
        ] {
            assert_eq!(kind_of(Path::new(file)), kind);
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_damage() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["CURRENT_DB", "watermark", "000001.log"] {
            fs::create_dir_all(dir.path().join("log")).unwrap();
            fs::write(dir.path().join("log").join(name), [7; 100]).unwrap();
        }
        let draw = |trial| {
            let mut draws = Draws::of_trial(1, Kind::Damage, trial);
            Place::draw(&mut draws, dir.path(), "").unwrap().to_string()
        };
        assert_eq!(draw(3), draw(3));
        assert!((0..20).any(|trial| draw(trial) != draw(3)));
    }

    #[test]
    fn a_flip_changes_one_bit() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("it"), [7; 100]).unwrap();
        let place = Place {
            file: "it".into(),
            bytes: 100,
            harm: Harm::Flip { offset: 99, bit: 3 },
            kind: String::new(),
        };
        place.damage(dir.path()).unwrap();
        let found = fs::read(dir.path().join("it")).unwrap();
        assert_eq!((found[..99].to_vec(), found[99]), (vec![7; 99], 15));
    }
}
