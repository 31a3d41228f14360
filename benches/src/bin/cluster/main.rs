//! `cluster`: three real nodes for a measurement, commanded line by line. See docs/performance.md.

mod command;
mod trial;
mod world;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use command::Command;
use conclave_chaos::real::HsmKind;
use serde_json::{Value, json};
use std::io::{self, Write as _};
use std::process::ExitCode;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use world::World;

const HELP: &str = "\
Prints one line of JSON when the nodes are unsealed, and one for each command that it reads:
  state                 endpoints, process ids, the leader
  kill N | term N       SIGKILL, or SIGTERM and wait for the end; N is 1, 2, 3 or all
  start N | unseal N    start and wait until it answers; submit three custodians' shares
  failover              kill the leader under two clients; then start and unseal it again
  handover              the same by SIGTERM
  cold-start            kill all, start and unseal them, until the first use and the first write
Ends, and deletes all its files, at the end of its input, or on SIGINT or SIGTERM. Its files are
under $TMPDIR.";

/// Starts three nodes on loopback, with an authority, a ceremony and a principal, and waits for commands.
#[derive(Debug, Parser)]
#[command(name = "cluster", version, after_help = HELP, max_term_width = 100)]
struct Arguments {
    /// What the nodes use as HSM
    #[arg(long, value_enum, default_value = "softhsm")]
    hsm: Hsm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Hsm {
    /// SoftHSM through PKCS#11, a token for each node
    Softhsm,
    /// In the nodes' own memory
    Software,
}

impl From<Hsm> for HsmKind {
    fn from(hsm: Hsm) -> Self {
        match hsm {
            Hsm::Softhsm => Self::SoftHsm,
            Hsm::Software => Self::Software,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")
        .and_then(|runtime| {
            let ended = runtime.block_on(async { Box::pin(serve(arguments)).await });
            // A thread may be reading the input, which nobody can interrupt.
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut world = tokio::select! {
        world = World::start(arguments.hsm.into()) => world?,
        _ = interrupted.recv() => return Ok(()),
        _ = terminated.recv() => return Ok(()),
    };
    say(&world.state().await?)?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            _ = interrupted.recv() => None,
            _ = terminated.recv() => None,
        };
        let Some(line) = line else { break };
        let done = match line.parse::<Command>() {
            Ok(command) => Box::pin(world.obey(command)).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(answer) => say(&answer)?,
            Err(error) => say(&json!({ "error": format!("{error:#}") }))?,
        }
    }
    world.finish()
}

fn say(answer: &Value) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{answer}")?;
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
