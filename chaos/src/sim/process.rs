//! A seed in a process of its own: one that panics or hangs takes nothing with it, and its frozen clock is its own.

use super::report::{Broken, Report};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A process that takes longer than this for each simulated minute hangs.
const WALL_PER_MINUTE: Duration = Duration::from_secs(60);
/// Lines of a process's standard error that are kept.
const ERROR_LINES: usize = 30;

/// Runs `program`, which writes a report of the seed as a line of JSON.
pub fn run(program: &Path, arguments: &[String], seed: u64, minutes: f64) -> Report {
    let mut command = Command::new(program);
    command.args(arguments).env("RUST_BACKTRACE", "1");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => wait(child, seed, WALL_PER_MINUTE.mul_f64(minutes.max(1.0))),
        Err(error) => failed(seed, "the_simulator_runs", &error.to_string()),
    }
}

fn failed(seed: u64, invariant: &str, detail: &str) -> Report {
    Report {
        seed,
        violations: vec![Broken {
            invariant: invariant.to_owned(),
            promise: "P7".to_owned(),
            detail: detail.to_owned(),
        }],
        ..Report::default()
    }
}

fn wait(mut child: Child, seed: u64, limit: Duration) -> Report {
    let begun = Instant::now();
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut pipe) = pipe {
                // What is not UTF-8 is not a report.
                let _ = pipe.read_to_string(&mut text);
            }
            text
        })
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let hangs = loop {
        match child.try_wait() {
            Ok(None) if begun.elapsed() < limit => thread::sleep(Duration::from_millis(10)),
            Ok(None) | Err(_) => {
                // It may have ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                break true;
            }
            Ok(Some(_)) => break false,
        }
    };
    let (out, err) = (
        out.join().unwrap_or_default(),
        err.join().unwrap_or_default(),
    );
    if hangs {
        let text = format!("no end after {} s", limit.as_secs());
        return failed(seed, "a_seed_ends", &text);
    }
    let report = out
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok());
    report.unwrap_or_else(|| {
        let lines: Vec<&str> = err.lines().take(ERROR_LINES).collect();
        failed(seed, "nobody_panics", &lines.join("\n"))
    })
}
