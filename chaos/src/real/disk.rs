//! Disks that can be made to fail. They need the right to mount.

use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How soon room that turns up is taken.
const REFILL_INTERVAL: Duration = Duration::from_millis(10);

/// Writes until nothing fits any more.
fn take_all(file: &mut File) {
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// Whether this process may mount; if not, says on standard error what is skipped.
pub fn can_mount(test: &str) -> bool {
    let tried = tempfile::tempdir()
        .map_err(anyhow::Error::from)
        .and_then(|dir| MemoryDisk::mount(dir.path(), 1 << 20).map(drop));
    if let Err(error) = &tried {
        eprintln!("SKIPPED: {test}: file systems cannot be mounted here ({error})");
    }
    tried.is_ok()
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let ran = Command::new(program)
        .args(arguments)
        .output()
        .context(program.to_owned())?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{program} {arguments:?}: {said}");
    Ok(())
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("test paths are UTF-8")
}

/// A small file system in memory.
pub struct MemoryDisk {
    path: PathBuf,
    filler: Option<JoinHandle<()>>,
}

impl MemoryDisk {
    /// Mounts one of `size_bytes` at a directory, which is made.
    ///
    /// # Errors
    /// If this process may not.
    pub fn mount(path: &Path, size_bytes: u64) -> Result<Self> {
        fs::create_dir_all(path)?;
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size_bytes}"),
                "tmpfs",
                utf8(path)?,
            ],
        )?;
        Ok(Self {
            path: path.to_owned(),
            filler: None,
        })
    }

    /// Gives it another size.
    ///
    /// # Errors
    /// If the kernel does not.
    pub fn resize(&self, size_bytes: u64) -> Result<()> {
        run(
            "mount",
            &[
                "-o",
                &format!("remount,size={size_bytes}"),
                utf8(&self.path)?,
            ],
        )
    }

    /// Fills it to the last byte, and again whenever there is room, until room is made.
    ///
    /// Once is not enough: a database that closes gives back what it had reserved.
    ///
    /// # Errors
    /// If the filling cannot be created.
    pub fn fill(&mut self) -> Result<()> {
        let mut file = File::create(self.filling())?;
        take_all(&mut file);
        self.filler = Some(tokio::spawn(async move {
            loop {
                take_all(&mut file);
                sleep(REFILL_INTERVAL).await;
            }
        }));
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// If it was not full.
    pub async fn make_room(&mut self) -> Result<()> {
        if let Some(filler) = self.filler.take() {
            filler.abort();
            // Only then is its file closed, and the room free.
            drop(filler.await);
        }
        Ok(fs::remove_file(self.filling())?)
    }

    fn filling(&self) -> PathBuf {
        self.path.join("filling")
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        if let Some(filler) = self.filler.take() {
            filler.abort();
        }
        // What is still open goes away with the process that opened it.
        if let Ok(path) = utf8(&self.path) {
            drop(run("umount", &["--lazy", path]));
        }
    }
}

/// A file system on a loop device, which can be made read-only under open files.
pub struct LoopDisk {
    path: PathBuf,
}

impl LoopDisk {
    /// Mounts an ext4 of `size_mib` at a directory, which is made; its image lies beside it.
    ///
    /// # Errors
    /// If this process may not, or there are no loop devices.
    pub fn mount(path: &Path, size_mib: u64) -> Result<Self> {
        let image = path.with_extension("image");
        if !image.exists() {
            fs::create_dir_all(path)?;
            File::create(&image)?.set_len(size_mib << 20)?;
            run("mkfs.ext4", &["-q", "-E", "nodiscard", utf8(&image)?])?;
        }
        run(
            "mount",
            &["-o", "loop,errors=remount-ro", utf8(&image)?, utf8(path)?],
        )?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Makes it read-only at once, as the kernel does when a disk reports errors.
    ///
    /// # Errors
    /// If the kernel does not.
    pub fn fail(&self) -> Result<()> {
        let path = utf8(&self.path)?;
        // The command itself may be told that the file system is read-only now, which is the point.
        drop(run("mount", &["-o", "remount,abort", path]));
        let probe = File::create(self.path.join("probe"));
        ensure!(probe.is_err(), "{path} can still be written");
        Ok(())
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if let Ok(path) = utf8(&self.path) {
            drop(run("umount", &["--lazy", path]));
        }
    }
}
