//! `conclave custody`.

mod init;
mod keygen;
mod nodes;
mod unseal;

use crate::error::CliError;
use crate::session::Session;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum CustodyCommand {
    /// Hold the ceremony: draw the root key and split it among custodians, once
    Init(init::InitArgs),
    /// Make an identity for a custodian
    Keygen(keygen::KeygenArgs),
    /// Give your share to every sealed node
    Unseal(unseal::UnsealArgs),
    /// Show the seal of every node, and who are the custodians
    #[command(after_help = "Example:\n  conclave custody status")]
    Status,
    /// Make every sealed node forget the shares given to it so far
    #[command(after_help = "Example:\n  conclave custody cancel")]
    Cancel,
    /// Drop the root key from a node, or from all
    Seal(nodes::SealArgs),
}

pub(crate) async fn run(command: CustodyCommand, session: &Session) -> Result<(), CliError> {
    match command {
        CustodyCommand::Init(args) => init::run(args, session).await,
        CustodyCommand::Keygen(args) => keygen::run(&args, session),
        CustodyCommand::Unseal(args) => unseal::run(&args, session).await,
        CustodyCommand::Status => nodes::status(session).await,
        CustodyCommand::Cancel => nodes::cancel(session).await,
        CustodyCommand::Seal(args) => nodes::seal(args, session).await,
    }
}
