//! What to do.

use super::access::Access;
use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use conclave_client::v1;
use serde::Serialize;

/// One operation of the public API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Encrypt one message
    Encrypt,
    /// Decrypt one message
    Decrypt,
    /// Draw a data key of 32 bytes
    DataKey,
    /// Draw a data key of 32 bytes that the cluster keeps
    RegisterDataKey,
    /// Open a registered data key
    OpenDataKey,
    /// Create a key; every name is new
    CreateKey,
    /// Encrypt --batch messages in one call
    BatchEncrypt,
    /// Decrypt --batch messages in one call
    BatchDecrypt,
    /// Draw --payload-bytes random bytes, at most 1024
    Random,
}

/// Where key material may be in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// In the memory of an unsealed node
    Software,
    /// Only inside HSMs
    Hsm,
}

impl From<Protection> for v1::Protection {
    fn from(protection: Protection) -> Self {
        match protection {
            Protection::Software => Self::Software,
            Protection::Hsm => Self::Hsm,
        }
    }
}

/// What to do, how often, and what to watch meanwhile.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// How the cluster is reached.
    #[command(flatten)]
    pub access: Access,
    /// What each request asks for
    #[arg(long, value_enum, default_value = "encrypt")]
    pub operation: Operation,
    /// The key; created if it is missing. New keys get into the same keyring
    #[arg(long, default_value = "bench/load")]
    pub key: String,
    /// Of the key, and of new keys
    #[arg(long, value_enum, default_value = "software")]
    pub protection: Protection,
    /// Bytes of each plaintext
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub payload_bytes: u32,
    /// How many requests are under way at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub callers: u32,
    /// Messages of one batch
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// How long is measured
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// How long the load is on before that
    #[arg(long, default_value_t = 2.0)]
    pub warmup_seconds: f64,
    /// End after so many requests, if --seconds is not over before; without a warm-up
    #[arg(long, conflicts_with_all = ["warmup_seconds", "rate"])]
    pub requests: Option<u64>,
    /// Open loop: so many requests a second, each due at an instant of its own from which its latency counts
    #[arg(long)]
    pub rate: Option<f64>,
    /// A node's process, for its CPU time, memory and disk writes; repeat it for several
    #[arg(long = "pid")]
    pub pids: Vec<u32>,
    /// More than this share of the machine's CPU used by others marks the run as noisy
    #[arg(long, default_value_t = 10.0, value_name = "PERCENT")]
    pub quiet_percent: f64,
}

impl Plan {
    /// Sees what the command line's own rules do not.
    ///
    /// # Errors
    /// If a number makes no sense; the text says which.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.seconds.is_finite() && (0.1..=86_400.0).contains(&self.seconds),
            "--seconds is from 0.1 to 86400"
        );
        ensure!(
            self.warmup_seconds.is_finite() && (0.0..=3_600.0).contains(&self.warmup_seconds),
            "--warmup-seconds is from 0 to 3600"
        );
        if let Some(rate) = self.rate {
            ensure!(
                rate.is_finite() && (0.01..=10e6).contains(&rate),
                "--rate is above 0.01"
            );
        }
        ensure!(
            self.operation != Operation::Random || (1..=1_024).contains(&self.payload_bytes),
            "random draws 1 to 1024 bytes: give --payload-bytes"
        );
        ensure!(
            self.key.contains('/'),
            "--key is KEYRING/NAME, as in bench/load"
        );
        Ok(())
    }

    /// How long the load is on before anything counts.
    pub(super) fn warmup_seconds(&self) -> f64 {
        if self.requests.is_some() {
            0.0
        } else {
            self.warmup_seconds
        }
    }

    /// Messages of each request.
    pub(super) fn items(&self) -> u32 {
        match self.operation {
            Operation::BatchEncrypt | Operation::BatchDecrypt => self.batch,
            Operation::Encrypt
            | Operation::Decrypt
            | Operation::DataKey
            | Operation::RegisterDataKey
            | Operation::OpenDataKey
            | Operation::CreateKey
            | Operation::Random => 1,
        }
    }
}
