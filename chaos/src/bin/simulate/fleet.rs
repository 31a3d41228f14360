//! Many seeds, a process each.

use crate::Options;
use crate::summary::Summary;
use anyhow::{Context as _, Result};
use conclave_chaos::sim::report::Broken;
use conclave_chaos::sim::{Report, process};
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// The command that replays a seed.
pub(crate) fn replay(seed: u64, minutes: f64, options: &Options) -> String {
    let profile = match options.profile.name() {
        "drawn" => String::new(),
        name => format!(" --profile {name}"),
    };
    let disks = match options.disks.name() {
        "drawn" => String::new(),
        name => format!(" --disks {name}"),
    };
    format!(
        "replay: cargo run -p conclave-chaos --release --bin simulate -- --seed {seed} --minutes {minutes}{profile}{disks} --trace"
    )
}

/// A seed, and the simulated minutes of its run.
type Job = (u64, f64);

/// The seeds of a file: on each line a seed, its minutes, and (behind `#`) why it is there.
pub(crate) fn known(path: &Path) -> Result<Vec<Job>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let parse = |line: &str| {
        let (seed, minutes) = line.split_once(' ')?;
        Some((seed.parse().ok()?, minutes.trim().parse().ok()?))
    };
    lines
        .filter(|line| !line.is_empty())
        .map(|line| parse(line).with_context(|| format!("not a seed and its minutes: {line:?}")))
        .collect()
}

/// Runs all seeds.
pub(crate) fn run(options: &Options, jobs: &[Job]) -> Result<Summary> {
    let program = std::env::current_exe().context("this program's own path")?;
    let processes = options
        .jobs
        .or_else(|| thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let next = AtomicUsize::new(0);
    let is_stopped = AtomicBool::new(false);
    let summary = Mutex::new(Summary::new(options.twice));
    let work = || {
        while !is_stopped.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((seed, minutes)) = jobs.get(place).copied() else {
                return;
            };
            let mut report = run_one(&program, options, seed, minutes);
            if options.twice && report.is_good() {
                let again = run_one(&program, options, seed, minutes);
                compare(&mut report, &again);
            }
            if !report.is_good() && !options.keep_going {
                is_stopped.store(true, Ordering::Relaxed);
            }
            let mut summary = summary.lock().expect("no thread panics with it");
            tell(options, &report, minutes, jobs.len(), &mut summary);
        }
    };
    thread::scope(|scope| {
        for _ in 0..processes.max(1) {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().context("a thread panicked")?;
    summary.finish();
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    Ok(summary)
}

fn tell(options: &Options, report: &Report, minutes: f64, of: usize, summary: &mut Summary) {
    summary.add(report);
    if options.json
        && let Ok(line) = serde_json::to_string(report)
    {
        crate::print_line(&line);
    }
    if !report.is_good() {
        let mut text = format!("\nseed {} BROKE\n", report.seed);
        for line in &report.tail {
            writeln!(text, "  {line}").expect("a string takes all");
        }
        for broken in &report.violations {
            writeln!(
                text,
                "{} ({}): {}",
                broken.invariant, broken.promise, broken.detail
            )
            .expect("a string takes all");
        }
        eprintln!("{text}{}", replay(report.seed, minutes, options));
    }
    let progress = summary.progress(of);
    if std::io::stderr().is_terminal() {
        eprint!("\r{progress}\x1b[K");
        let _ = std::io::stderr().flush();
    } else if summary.is_time_for_a_line() {
        eprintln!("{progress}");
    }
}

/// Two runs of one seed must be one run.
fn compare(report: &mut Report, again: &Report) {
    if (&report.trace, &report.wire) == (&again.trace, &again.wire) {
        return;
    }
    report.violations.push(Broken {
        invariant: "a_seed_replays".to_owned(),
        promise: "P7".to_owned(),
        detail: format!(
            "two processes differ: traces {} and {}, wires {} and {}",
            report.trace, again.trace, report.wire, again.wire
        ),
    });
}

/// One seed in a process of its own.
fn run_one(program: &Path, options: &Options, seed: u64, minutes: f64) -> Report {
    let arguments = [
        "--json",
        "--seed",
        &seed.to_string(),
        "--minutes",
        &minutes.to_string(),
        "--profile",
        options.profile.name(),
        "--disks",
        options.disks.name(),
    ];
    let arguments = arguments.map(str::to_owned);
    process::run(program, &arguments, seed, minutes)
}
