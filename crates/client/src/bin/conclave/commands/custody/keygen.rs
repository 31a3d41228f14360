//! `conclave custody keygen`.

use crate::error::CliError;
use crate::files;
use crate::session::Session;
use clap::Args;
use conclave_crypto::generate_identity;
use serde_json::json;
use std::path::PathBuf;

const HELP: &str = "\
Example:
  conclave custody keygen --out identity.txt

Prints the recipient, age1…, that you give to whoever holds the ceremony. The file opens
your share: keep it where only you get at it, and a copy of it elsewhere. Identities made by
age-keygen do as well.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct KeygenArgs {
    /// The new identity file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(args: &KeygenArgs, session: &Session) -> Result<(), CliError> {
    let (identity, recipient) = generate_identity();
    files::write_new(&args.out, identity.expose())?;
    session
        .output
        .note(&format!("the identity is in {}", args.out.display()));
    session
        .output
        .print(|| recipient.clone(), || json!({ "recipient": recipient }))
}
