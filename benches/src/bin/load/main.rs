//! `load`: puts load on a running cluster. See docs/performance.md.

use anyhow::{Context as _, Result};
use clap::Parser;
use conclave_benches::load::{Plan, Progress, Report, run, write_table};
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples, after `. cluster/dev/run/env`:
  load                                                 encrypt 32 bytes, 64 callers on 8 connections, 10 s
  load --operation decrypt --callers 1 --connections 1
  load --node 127.0.0.1:7102                           through one node only
  load --rate 5000 --seconds 60                        open loop
  load --operation batch-encrypt --batch 100 --callers 16
  load --operation create-key --requests 15000 --seconds 600
  load --pid \"$(cat cluster/dev/run/node1/pid)\" --json

Exit codes: 0 the load was put on (failed requests are counted, not fatal), 1 it was not, 2 wrong
usage.";

/// Puts load on a running cluster through the client library, and tells rate, latencies and cost.
#[derive(Debug, Parser)]
#[command(name = "load", version, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    plan: Plan,
    /// Threads of this program
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match work(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads.into())
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    let shown = io::stderr().is_terminal();
    let tell = |progress: Progress| {
        if shown {
            show(&arguments.plan, progress);
        }
    };
    let report = runtime.block_on(async { Box::pin(run(&arguments.plan, tell)).await })?;
    if shown {
        eprint!("\r\x1b[K");
    }
    print(&report, arguments.json).context("write the report")
}

fn show(plan: &Plan, progress: Progress) {
    let rate = progress.per_second();
    let text = match progress.seconds.zip(rate) {
        None => "warming up".to_owned(),
        Some((seconds, rate)) => format!(
            "{seconds:.0} of {:.0} s, {} answers, {rate:.0}/s, {} failed",
            plan.seconds, progress.requests, progress.failed,
        ),
    };
    eprint!("\r\x1b[K{text}");
}

fn print(report: &Report, json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
    } else {
        write_table(report, &mut out)?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}
