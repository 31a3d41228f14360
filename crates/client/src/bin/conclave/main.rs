//! `conclave`: the command line of users, operators and custodians.

mod base64_io;
mod cli;
mod commands;
mod connection;
mod destination;
mod error;
mod files;
mod fleet;
mod limits;
mod output;
mod parse;
mod progress;
#[cfg(test)]
mod reference;
mod session;
mod show;
mod table;
mod terminal;

use clap::Parser as _;
use cli::Cli;
use conclave_env::os::harden_process;
use error::CliError;
use output::Output;
use session::Session;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Plaintext and shares pass through: no core dump, no debugger. What the system does not allow
    // is not worth a failure here.
    let _ = harden_process();
    let cli = Cli::parse();
    let output = Output::new(cli.global.output);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs nothing but two threads");
    let ended = runtime.block_on(run(cli, output));
    // A read of standard input cannot be cancelled, and nobody waits for it.
    runtime.shutdown_background();
    match ended {
        Ok(()) | Err(CliError::BrokenPipe) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs the command, unless it is interrupted first: then what it holds is dropped, temporary files
/// too.
async fn run(cli: Cli, output: Output) -> Result<(), CliError> {
    let session = Session::new(cli.global, output);
    let work = Box::pin(commands::run(cli.command, &session));
    tokio::select! {
        biased;
        ended = work => ended,
        () = interrupted() => Err(CliError::Interrupted),
    }
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be caught");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be caught");
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
