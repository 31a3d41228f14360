//! Where bytes go: a file that appears only when it is whole, or standard output.

use crate::base64_io::Base64Writer;
use crate::error::CliError;
use crate::files;
use crate::limits::WRITE_BYTES;
use crate::output;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufWriter};

/// A writer, and what is to be done when all is written.
pub(crate) struct Destination {
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    /// What was opened, for messages.
    path: PathBuf,
    pending: Option<PendingFile>,
}

impl Destination {
    /// Opens `out`, or standard output. A terminal takes text only.
    pub(crate) fn open(out: Option<&Path>, base64: bool) -> Result<Self, CliError> {
        let Some(target) = out else {
            if output::is_terminal() && !base64 {
                return Err(CliError::Terminal);
            }
            let path = PathBuf::from("standard output");
            return Ok(Self {
                writer: buffered(tokio::io::stdout(), base64),
                path,
                pending: None,
            });
        };
        let special = fs::metadata(target).is_ok_and(|metadata| !metadata.is_file());
        let (file, pending) = if special {
            let opened = fs::OpenOptions::new().write(true).open(target);
            (opened.map_err(CliError::file("write", target))?, None)
        } else {
            let (file, pending) = PendingFile::create(target)?;
            (file, Some(pending))
        };
        let writer = buffered(tokio::fs::File::from_std(file), base64);
        Ok(Self {
            writer,
            path: target.to_owned(),
            pending,
        })
    }

    /// What was opened, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// To be written to.
    pub(crate) fn writer(&mut self) -> &mut (impl AsyncWrite + use<>) {
        &mut self.writer
    }

    /// All was written: makes it visible.
    pub(crate) async fn finish(mut self) -> Result<(), CliError> {
        // Standard output, shut down, forgets what was not flushed.
        let flushed = self.writer.flush().await;
        let ended = match flushed {
            Ok(()) => self.writer.shutdown().await,
            Err(error) => Err(error),
        };
        match self.pending {
            Some(pending) => {
                ended.map_err(CliError::file("write", &self.path))?;
                drop(self.writer);
                pending.publish()
            }
            None => ended.map_err(CliError::stdout),
        }
    }
}

fn buffered(
    writer: impl AsyncWrite + Send + 'static,
    base64: bool,
) -> Pin<Box<dyn AsyncWrite + Send>> {
    let writer = BufWriter::with_capacity(WRITE_BYTES, writer);
    if base64 {
        Box::pin(Base64Writer::new(Box::pin(writer)))
    } else {
        Box::pin(writer)
    }
}

/// A file beside its place; removed unless it is published.
struct PendingFile {
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl PendingFile {
    fn create(target: &Path) -> Result<(fs::File, Self), CliError> {
        // Through a link to what it points at, so that the link stays.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}.part", std::process::id()));
        let temporary = target.with_file_name(name);
        let file = files::create_new(&temporary)?;
        Ok((
            file,
            Self {
                temporary,
                target,
                published: false,
            },
        ))
    }

    /// Renames it into its place, once its bytes are on the disk.
    fn publish(mut self) -> Result<(), CliError> {
        fs::File::open(&self.temporary)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&self.temporary, &self.target))
            .map_err(CliError::file("write", &self.target))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing more can be done if even that fails; the name says what it is.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_file_appears_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        fs::write(&target, "old").unwrap();
        let mut destination = Destination::open(Some(&target), false).unwrap();
        destination.writer().write_all(b"new").await.unwrap();
        destination.writer().flush().await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        drop(destination);
        assert_eq!(names(dir.path()), ["out"]);
        let mut destination = Destination::open(Some(&target), true).unwrap();
        destination.writer().write_all(b"new").await.unwrap();
        destination.finish().await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"bmV3\n");
        assert_eq!(names(dir.path()), ["out"]);
    }

    #[tokio::test]
    async fn a_device_is_written_to_not_replaced() {
        let null = Path::new("/dev/null");
        let mut destination = Destination::open(Some(null), false).unwrap();
        destination.writer().write_all(b"x").await.unwrap();
        destination.finish().await.unwrap();
        assert!(!fs::metadata(null).unwrap().is_file());
    }
}
