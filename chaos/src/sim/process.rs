//! A seed in a process of its own: one that panics or hangs takes nothing with it, and its frozen clock is its own.

use super::report::{Broken, Report};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Seconds of a processor for each simulated minute, of which a seed needs about one: a process that takes more goes
/// round in a circle. A machine that has other things to do is no reason.
const CPU_SECONDS_PER_MINUTE: f64 = 30.0;
/// A process that takes longer than this for each simulated minute waits for ever.
const WALL_PER_MINUTE: Duration = Duration::from_secs(300);
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
        Ok(child) => wait(child, seed, minutes.max(1.0)),
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

/// Has the kernel end a process that has had so many seconds of a processor.
fn limit_cpu(child: &Child, seconds: u64) {
    let limit = Rlimit {
        current: Some(seconds),
        // The second after the signal that can be told from others.
        maximum: Some(seconds + 1),
    };
    // It may have ended.
    let _ = prlimit(Some(Pid::from_child(child)), Resource::Cpu, limit);
}

fn wait(mut child: Child, seed: u64, minutes: f64) -> Report {
    let begun = Instant::now();
    let limit = WALL_PER_MINUTE.mul_f64(minutes);
    let seconds = Duration::from_secs_f64(CPU_SECONDS_PER_MINUTE * minutes).as_secs();
    limit_cpu(&child, seconds);
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
    let no_end = loop {
        match child.try_wait() {
            Ok(None) if begun.elapsed() < limit => thread::sleep(Duration::from_millis(10)),
            Ok(None) | Err(_) => {
                // It may have ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                break Some(format!("no end after {} s", limit.as_secs()));
            }
            Ok(Some(status)) if status.signal() == Some(Signal::XCPU.as_raw()) => {
                break Some(format!("no end within {seconds} s of a processor"));
            }
            Ok(Some(_)) => break None,
        }
    };
    let (out, err) = (
        out.join().unwrap_or_default(),
        err.join().unwrap_or_default(),
    );
    if let Some(text) = no_end {
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
