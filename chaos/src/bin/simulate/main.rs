//! `simulate`: real nodes in a hostile world, one seed or many. See docs/simulation.md.

mod fleet;
mod frozen;
mod summary;

use clap::{Parser, ValueEnum};
use conclave_chaos::sim::{Disks, Profile, Report, Wish, simulate};
use conclave_env::Entropy as _;
use conclave_env::os::OsEntropy;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs real nodes in a simulated, hostile world, and says whether all promises held.
#[derive(Clone, Debug, Parser)]
#[command(name = "simulate", version)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
struct Options {
    /// Runs this one seed, in this process.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Runs so many seeds, a process each.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first of them; drawn if not given.
    #[arg(long)]
    from: Option<u64>,
    /// Runs the seeds of this file instead: a seed and its minutes on each line, and why it is there.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "from"])]
    known: Option<PathBuf>,
    /// Simulated minutes of each.
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// What the world is like.
    #[arg(long, value_enum, default_value_t = World::Drawn)]
    profile: World,
    /// What nodes store on.
    #[arg(long, value_enum, default_value_t = Disk::Drawn)]
    disks: Disk,
    /// Writes the trace to standard output, with --seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Runs each seed in two processes, which must agree to the byte.
    #[arg(long, conflicts_with = "seed")]
    twice: bool,
    /// Processes at once; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Goes on after a seed that failed.
    #[arg(long)]
    keep_going: bool,
    /// Writes a report as a line of JSON for each seed.
    #[arg(long)]
    json: bool,
}

/// What the world is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum World {
    /// As the seed draws it.
    Drawn,
    /// No faults.
    Calm,
    /// Every kind of fault.
    Everything,
}

impl World {
    fn profile(self) -> Profile {
        match self {
            Self::Drawn => Profile::Drawn,
            Self::Calm => Profile::Calm,
            Self::Everything => Profile::Everything,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Calm => "calm",
            Self::Everything => "everything",
        }
    }
}

/// What nodes store on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Disk {
    /// As the seed draws it: on RocksDB in one seed of ten.
    Drawn,
    /// A model of a disk.
    Memory,
    /// The model and RocksDB, compared.
    Rocksdb,
}

impl Disk {
    fn wish(self) -> Option<Disks> {
        match self {
            Self::Drawn => None,
            Self::Memory => Some(Disks::Memory),
            Self::Rocksdb => Some(Disks::RocksDb),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Memory => "memory",
            Self::Rocksdb => "rocksdb",
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !(0.6..=10_000.0).contains(&options.minutes) {
        eprintln!("simulate: --minutes takes 0.6 to 10000: the last 25 seconds of a run heal it");
        return ExitCode::from(2);
    }
    match options.seed {
        Some(seed) => one(&options, seed),
        None => many(&options),
    }
}

/// One seed, in this process.
fn one(options: &Options, seed: u64) -> ExitCode {
    let wish = Wish {
        seed,
        length: Duration::from_secs_f64(options.minutes * 60.0),
        profile: options.profile.profile(),
        disks: options.disks.wish(),
    };
    let out: Option<Box<dyn Write + Send>> = options
        .trace
        .then(|| Box::new(BufWriter::new(std::io::stdout())) as _);
    frozen::seed(seed);
    let report = simulate(&wish, out, frozen::freeze);
    if options.json {
        let line = serde_json::to_string(&report).expect("a report is plain data");
        print_line(&line);
    } else {
        tell(&report, options);
    }
    if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print_line(line: &str) {
    // Whoever read it may have gone away.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn tell(report: &Report, options: &Options) {
    for broken in &report.violations {
        print_line(&format!(
            "{} ({}): {}",
            broken.invariant, broken.promise, broken.detail
        ));
    }
    print_line(&format!(
        "seed {}: {} nodes, {} calls, {} acknowledged, {} records, {} faults, healed after {} ms, trace {}, wire {}: {}",
        report.seed,
        report.nodes,
        report.calls,
        report.acknowledged,
        report.records,
        report.fault_count(),
        report.healed_ms,
        &report.trace[..16],
        &report.wire[..16],
        if report.is_good() {
            "all held"
        } else {
            "BROKEN"
        },
    ));
    if !report.is_good() {
        print_line(&fleet::replay(report.seed, options.minutes, options));
    }
}

/// A random place to begin at.
fn draw() -> u64 {
    let mut bytes = [0; 8];
    OsEntropy::new().fill(&mut bytes);
    // Short enough to be typed.
    u64::from_be_bytes(bytes) >> 24
}

/// Many seeds, a process each.
fn many(options: &Options) -> ExitCode {
    let jobs = if let Some(path) = &options.known {
        fleet::known(path)
    } else {
        let from = options.from.unwrap_or_else(draw);
        let seeds = from..from.saturating_add(options.seeds);
        Ok(seeds.map(|seed| (seed, options.minutes)).collect())
    };
    let outcome = jobs.and_then(|jobs| fleet::run(options, &jobs));
    match outcome {
        Ok(summary) => {
            for line in summary.lines() {
                print_line(&line);
            }
            if summary.is_good() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
