//! `conclave random`.

use crate::destination::Destination;
use crate::error::CliError;
use crate::session::Session;
use clap::Args;
use conclave_client::v1;
use serde_json::json;
use std::path::PathBuf;
use tokio::io::AsyncWriteExt as _;
use zeroize::Zeroizing;

const HELP: &str = "\
Examples:
  conclave random 32                     64 hex digits
  conclave random 1024 --out seed.bin    the bytes themselves";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct RandomArgs {
    /// How many bytes
    #[arg(value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1024))]
    length: u32,
    /// Write the bytes to a file instead of printing them as hex digits
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn run(args: &RandomArgs, session: &Session) -> Result<(), CliError> {
    let request = v1::GenerateRandomRequest {
        length: args.length,
        ..v1::GenerateRandomRequest::default()
    };
    let random = Zeroizing::new(session.client()?.generate_random(request).await?.random);
    let Some(path) = &args.out else {
        let hex = Zeroizing::new(hex::encode(&*random));
        return session
            .output
            .print(|| hex.to_string(), || json!({ "random": *hex }));
    };
    let mut destination = Destination::open(Some(path), false)?;
    let written = destination.writer().write_all(&random).await;
    written.map_err(CliError::file("write", path))?;
    destination.finish().await
}
