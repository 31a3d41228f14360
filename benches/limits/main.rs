//! `limits` measures what Conclave cannot beat on this machine: bare tonic over the same TLS, bare `ring`, bare PKCS#11,
//! a bare fdatasync (docs/performance.md). Nothing of a node runs here.

mod cpu;
mod disk;
mod echo;
mod meter;
mod report;
mod seal;
mod token;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use conclave_benches::token::{Seat, with_token};
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures what cannot be beaten on this machine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How long each measure takes; a fifth of it more to warm up.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// A directory on the disk that is to be measured.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// PKCS#11 sessions that work at once, each in a thread of its own.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    sessions: u16,
    /// Only this kind of measures; may be repeated.
    #[arg(long)]
    only: Vec<Kind>,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Bare tonic over TLS.
    Echo,
    /// Bare AES-256-GCM, and whole messages.
    Seal,
    /// Bare PKCS#11 on a SoftHSM token.
    Token,
    /// Bare append and fdatasync.
    Disk,
}

impl Arguments {
    fn wants(&self, kind: Kind) -> bool {
        self.only.is_empty() || self.only.contains(&kind)
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn measure(arguments: &Arguments, seat: Option<&Seat>) -> Result<()> {
    let mut report = Report::new(arguments.json)?;
    let window = arguments.window();
    if arguments.wants(Kind::Echo) {
        echo::measure(window, &mut report)?;
    }
    if arguments.wants(Kind::Seal) {
        seal::measure(window, &mut report)?;
    }
    if let Some(seat) = seat {
        token::measure(seat, usize::from(arguments.sessions), window, &mut report)?;
    }
    if arguments.wants(Kind::Disk) {
        disk::measure(&arguments.dir, window, &mut report)?;
    }
    Ok(())
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.wants(Kind::Token) {
        with_token(|seat| measure(&arguments, Some(seat)))
    } else {
        measure(&arguments, None)?;
        Ok(ExitCode::SUCCESS)
    }
}
