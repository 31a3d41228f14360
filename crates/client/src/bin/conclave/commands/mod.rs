//! One file per command.

pub(crate) mod access;
pub(crate) mod alias;
pub(crate) mod audit;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod crypt;
pub(crate) mod custody;
pub(crate) mod datakey;
pub(crate) mod finding;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod mac;
pub(crate) mod proof;
pub(crate) mod random;
pub(crate) mod receive;
pub(crate) mod reencrypt;
pub(crate) mod rewrap;
pub(crate) mod sign;
pub(crate) mod status;

use crate::cli::Command;
use crate::error::CliError;
use crate::session::Session;

/// Does what was asked.
pub(crate) async fn run(command: Command, session: &Session) -> Result<(), CliError> {
    match command {
        Command::Status => status::run(session).await,
        Command::Custody(command) => custody::run(command, session).await,
        Command::Key(command) => key::run(command, session).await,
        Command::Alias(command) => alias::run(command, session).await,
        Command::ImportJob(command) => import::run(command, session).await,
        Command::Encrypt(args) => crypt::encrypt(args, session).await,
        Command::Decrypt(args) => crypt::decrypt(args, session).await,
        Command::Datakey(command) => datakey::run(command, session).await,
        Command::Reencrypt(args) => reencrypt::run(args, session).await,
        Command::Mac(args) => mac::run(args, session).await,
        Command::Sign(args) => sign::sign(args, session).await,
        Command::Verify(args) => sign::verify(args, session).await,
        Command::AsymmetricDecrypt(args) => receive::decrypt(args, session).await,
        Command::Decapsulate(args) => receive::decapsulate(args, session).await,
        Command::Agree(args) => receive::agree(args, session).await,
        Command::Random(args) => random::run(&args, session).await,
        Command::Audit(command) => audit::run(command, session).await,
        Command::Cluster(command) => cluster::run(&command, session).await,
        Command::Access(command) => access::run(command, session).await,
        Command::Completions(args) => completions::run(&args),
    }
}
