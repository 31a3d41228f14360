//! `havoc`: trials of real clusters. See docs/havoc.md.

#![expect(clippy::print_stdout, reason = "a program that reports")]

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use conclave_chaos::real::havoc::{Kind, Report, Settings, World, run};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

/// How long this program may take to stop inside a world.
const STOP_MAX: Duration = Duration::from_secs(10);
const STOP_PAUSE: Duration = Duration::from_millis(20);

/// Breaks real clusters while clients work, and sees whether what was promised still holds.
///
/// Starts three nodes with RocksDB and SoftHSM on loopback, again and again does something to them, and judges what
/// clients were answered by the audit log. Ends with 0 if everything held, 1 if not, 2 if it was called wrongly.
#[derive(Parser)]
#[command(name = "havoc", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "\
Examples:
  havoc kill --trials 200              kill nodes, and see that nothing acknowledged is lost
  havoc damage --trials 100 --seed 7   flip bits and cut files of nodes that are down, as seed 7 draws it
  havoc damage --seed 7 --first 31 --trials 1
                                       trial 31 of it once more
  havoc all --trials 5 --json          a few of each kind, for a program to read";

#[derive(Subcommand)]
enum What {
    /// Kill nodes: the leader, a follower, two, or all, and some again as they start.
    Kill(Options),
    /// Stop a node for a while (SIGSTOP), forbid uses behind its back, and let it go on.
    Freeze(Options),
    /// Damage the data directory of a node that is down: a bit, a file's end, a file.
    Damage(DamageOptions),
    /// Fill a node's disk. Needs the right to mount.
    DiskFull(Options),
    /// Drop packets between nodes, both ways or one. Needs the right to make network namespaces.
    Partition(Options),
    /// Let a node's wall clock jump up to three minutes. Needs libfaketime.
    Clock(Options),
    /// Each of them, one after the other; what this machine does not allow is skipped, and said to be.
    All(Options),
}

#[derive(Args, Clone)]
struct Options {
    /// How many trials (with `all`: of each kind).
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    trials: u64,
    /// Draws victims, instants, files and bits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first trial, to repeat one.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Report as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone)]
struct DamageOptions {
    #[command(flatten)]
    common: Options,
    /// Only files whose kind contains this, such as `MANIFEST`, `write-ahead log` or `state: table`.
    #[arg(long, default_value = "")]
    file: String,
}

fn main() -> ExitCode {
    let mut file = String::new();
    let (kinds, options) = match Arguments::parse().what {
        What::Kill(options) => (vec![Kind::Kill], options),
        What::Freeze(options) => (vec![Kind::Freeze], options),
        What::Damage(options) => {
            file = options.file;
            (vec![Kind::Damage], options.common)
        }
        What::DiskFull(options) => (vec![Kind::DiskFull], options),
        What::Partition(options) => (vec![Kind::Partition], options),
        What::Clock(options) => (vec![Kind::Clock], options),
        What::All(options) => (Kind::ALL.into(), options),
    };
    let settings = Settings {
        seed: options.seed,
        first: options.first,
        trials: options.trials,
        file,
    };
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")
        .and_then(|runtime| runtime.block_on(until_told_to_stop(&kinds, settings)));
    match done {
        Ok(reports) => {
            tell(&reports, options.json);
            ExitCode::from(u8::from(!reports.iter().all(Report::is_well)))
        }
        Err(error) => {
            eprintln!("havoc: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell(reports: &[Report], json: bool) {
    if json {
        let text = serde_json::to_string(reports).expect("a report is plain data");
        println!("{text}");
        return;
    }
    for report in reports {
        println!("{report}");
    }
}

/// When it is told to stop, nodes, mounts and namespaces go before it does.
async fn until_told_to_stop(kinds: &[Kind], settings: Settings) -> Result<Vec<Report>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let work = async {
        let mut reports = Vec::new();
        for kind in kinds {
            reports.push(one_kind(*kind, settings.clone()).await?);
        }
        Ok(reports)
    };
    tokio::select! {
        reports = work => reports,
        _ = terminate.recv() => anyhow::bail!("told to stop"),
        _ = interrupt.recv() => anyhow::bail!("told to stop"),
    }
}

async fn one_kind(kind: Kind, settings: Settings) -> Result<Report> {
    if kind == Kind::Partition && !World::is_around_us() {
        return in_a_world(settings).await;
    }
    run(kind, settings).await
}

/// Partitions are made in network namespaces, where this program runs once more.
async fn in_a_world(settings: Settings) -> Result<Report> {
    let world = match World::create() {
        Ok(world) => world,
        Err(error) => {
            let why = format!("network namespaces cannot be made here: {error:#}");
            eprintln!("SKIPPED: partition: {why}");
            return Ok(Report::skipped(Kind::Partition, settings.seed, why));
        }
    };
    let mut command = world.command()?;
    command.args(["partition", "--json"]);
    for (name, value) in [
        ("--trials", settings.trials),
        ("--seed", settings.seed),
        ("--first", settings.first),
    ] {
        command.arg(name).arg(value.to_string());
    }
    let mut inside = Inside(command.stdout(Stdio::piped()).spawn()?);
    let mut said = String::new();
    let stdout = inside.0.stdout.as_mut().context("it was asked for")?;
    stdout.read_to_string(&mut said).await?;
    let status = inside.0.wait().await?;
    drop(world);
    let reports: Vec<Report> = serde_json::from_str(&said)
        .with_context(|| format!("the run inside ended with {status}"))?;
    reports.into_iter().next().context("one kind was asked for")
}

/// This program once more. It is told to stop when it is not waited for any longer, and removes its nodes then.
struct Inside(Child);

impl Drop for Inside {
    fn drop(&mut self) {
        let pid = self
            .0
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let Some(pid) = pid else { return };
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
        let end = Instant::now() + STOP_MAX;
        while Instant::now() < end && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(STOP_PAUSE);
        }
    }
}
