//! Runs the command line `conclave` and watches it.

use super::binaries::binary;
use super::pki::Credentials;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// How long a run may take.
const RUN_MAX: Duration = Duration::from_secs(180);

/// The command line of one principal.
pub struct Cli {
    environment: Vec<(&'static str, String)>,
    home: PathBuf,
}

/// A run that ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; none if it was a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// The most memory that was resident, as seen every few milliseconds.
    pub peak_bytes: u64,
}

impl Ran {
    /// Fails unless the run did what it was asked for.
    ///
    /// # Errors
    /// With what was said.
    pub fn must_succeed(self) -> Result<Self> {
        ensure!(
            self.code == Some(0),
            "conclave ended with {:?}: {}",
            self.code,
            self.stderr
        );
        Ok(self)
    }
}

impl Cli {
    pub(super) fn new(
        endpoints: &[&str],
        ca: &Path,
        credentials: &Credentials,
        home: PathBuf,
    ) -> Self {
        let text = |path: &Path| path.display().to_string();
        let environment = vec![
            ("CONCLAVE_ENDPOINTS", endpoints.join(",")),
            ("CONCLAVE_CA", text(ca)),
            ("CONCLAVE_CERT", text(&credentials.cert)),
            ("CONCLAVE_CERT_KEY", text(&credentials.key)),
        ];
        Self { environment, home }
    }

    /// Runs `conclave` with these arguments.
    ///
    /// # Errors
    /// If it does not start, or does not end in time.
    pub async fn run(&self, arguments: &[&str]) -> Result<Ran> {
        let child = Command::new(binary("conclave")?)
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("conclave does not start")?;
        let pid = child.id().context("it was just started")?;
        let mut peak_bytes = 0;
        let watch = async {
            loop {
                peak_bytes = peak_bytes.max(resident_peak(pid).unwrap_or(0));
                sleep(Duration::from_millis(5)).await;
            }
        };
        let output = tokio::select! {
            output = timeout(RUN_MAX, child.wait_with_output()) => output,
            () = watch => unreachable!("it never ends"),
        };
        let output = output.with_context(|| format!("conclave {arguments:?} does not end"))??;
        Ok(Ran {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            peak_bytes,
        })
    }
}

/// The kernel's own high-water mark, so that nothing between two looks is missed.
fn resident_peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
