//! `planted`: proves that the simulator finds bugs, by planting some. See docs/simulation.md. Built only with the feature
//! of that name; the nodes inside this program have bugs, and no other program's have.

#[path = "../simulate/frozen.rs"]
mod frozen;

use clap::Parser;
use conclave_chaos::sim::{Profile, Report, Wish, process, simulate};
use conclave_core::planted::{Bug, plant};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Plants each bug, and says by which property and after how many seeds it is found.
#[derive(Clone, Debug, Parser)]
#[command(name = "planted", version)]
struct Options {
    /// Only this bug.
    #[arg(long)]
    bug: Option<String>,
    /// How often each bug is looked for, each time from other seeds.
    #[arg(long, default_value_t = 10)]
    tries: u64,
    /// Seeds of one try at most.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Simulated minutes of each seed.
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Processes at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Runs this one seed with the bug, in this process, and writes a report as JSON.
    #[arg(long, requires = "bug")]
    seed: Option<u64>,
}

/// How one try ended.
struct Try {
    bug: Bug,
    /// After so many seeds; `None`: not found.
    after: Option<u64>,
    /// By these properties.
    by: Vec<String>,
}

fn named(name: &str) -> Option<Bug> {
    Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name)
}

fn main() -> ExitCode {
    let options = Options::parse();
    let bugs = match options.bug.as_deref().map(named) {
        None => Bug::ALL.to_vec(),
        Some(Some(bug)) => vec![bug],
        Some(None) => {
            let names = Bug::ALL.map(|bug| format!("{bug:?}"));
            eprintln!("planted: no such bug; there are {}", names.join(", "));
            return ExitCode::from(2);
        }
    };
    if let (Some(seed), [bug]) = (options.seed, bugs.as_slice()) {
        return one(&options, seed, *bug);
    }
    match std::env::current_exe() {
        Ok(program) => table(&options, &program, &bugs),
        Err(error) => {
            eprintln!("planted: this program's own path: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_line(line: &str) {
    // Whoever read it may have gone away.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn one(options: &Options, seed: u64, bug: Bug) -> ExitCode {
    plant(bug);
    frozen::seed(seed);
    let wish = Wish {
        seed,
        length: Duration::from_secs_f64(options.minutes * 60.0),
        profile: Profile::Drawn,
        disks: None,
    };
    let report = simulate(&wish, None, frozen::freeze);
    print_line(&serde_json::to_string(&report).expect("a report is plain data"));
    ExitCode::SUCCESS
}

fn table(options: &Options, program: &Path, bugs: &[Bug]) -> ExitCode {
    let work: Vec<(Bug, u64)> = bugs
        .iter()
        .flat_map(|bug| (0..options.tries).map(|number| (*bug, number)))
        .collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some((bug, number)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = search(options, program, *bug, *number);
                    let after = outcome
                        .after
                        .map_or("not found".to_owned(), |it| it.to_string());
                    eprintln!(
                        "{bug:?}, try {}: {after} ({})",
                        number + 1,
                        outcome.by.join(", ")
                    );
                    done.lock().expect("no thread panics with it").push(outcome);
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_default();
    let mut all_found = true;
    print_line("| bug | found | seeds until it is found: median, most | found by |");
    print_line("|---|---|---|---|");
    for bug in bugs {
        all_found &= row(options, *bug, done.iter().filter(|it| it.bug == *bug));
    }
    if all_found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn search(options: &Options, program: &Path, bug: Bug, number: u64) -> Try {
    for step in 0..options.seeds {
        let seed = number * 10_000 + step + 1;
        let arguments = [
            "--bug".to_owned(),
            format!("{bug:?}"),
            "--seed".to_owned(),
            seed.to_string(),
            "--minutes".to_owned(),
            options.minutes.to_string(),
        ];
        let report: Report = process::run(program, &arguments, seed, options.minutes);
        if !report.is_good() {
            let mut by: Vec<String> = report
                .violations
                .into_iter()
                .map(|it| it.invariant)
                .collect();
            by.dedup();
            return Try {
                bug,
                after: Some(step + 1),
                by,
            };
        }
    }
    Try {
        bug,
        after: None,
        by: Vec::new(),
    }
}

fn row<'a>(options: &Options, bug: Bug, tries: impl Iterator<Item = &'a Try>) -> bool {
    let mut after = Vec::new();
    let mut by: BTreeMap<&str, u64> = BTreeMap::new();
    for outcome in tries {
        after.push(outcome.after.unwrap_or(u64::MAX));
        for invariant in &outcome.by {
            *by.entry(invariant).or_default() += 1;
        }
    }
    after.sort_unstable();
    let shown = |seeds: Option<&u64>| match seeds {
        Some(&u64::MAX) | None => format!("more than {}", options.seeds),
        Some(seeds) => seeds.to_string(),
    };
    let found = after.iter().filter(|it| **it != u64::MAX).count();
    let mut by: Vec<_> = by.into_iter().collect();
    by.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let by: Vec<String> = by
        .into_iter()
        .map(|(name, count)| format!("`{name}` {count}"))
        .collect();
    print_line(&format!(
        "| {bug:?} | {found} of {} | {}, {} | {} |",
        after.len(),
        shown(after.get(after.len().saturating_sub(1) / 2)),
        shown(after.last()),
        by.join(", ")
    ));
    found == after.len()
}
