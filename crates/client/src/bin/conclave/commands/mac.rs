//! `conclave mac`.

use super::crypt::open;
use crate::error::CliError;
use crate::limits::MAC_MESSAGE_BYTES_MAX;
use crate::parse::{Bytes, hex_bytes, key_name};
use crate::session::Session;
use clap::Args;
use conclave_client::v1;
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

const HELP: &str = "\
Examples:
  conclave mac payments/webhooks --in body.json                           version and code
  conclave mac payments/webhooks --in body.json --version 1 --verify 9f86…

A code does not say under which version it was made: keep the version with it. Messages have up
to 64 KiB; of larger ones, make the code of a hash.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct MacArgs {
    /// The key's name; its algorithm is one of hmac-sha-256, -384 and -512
    #[arg(value_parser = key_name)]
    key: String,
    /// What to read [default: standard input]
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// The key version [default: the primary one]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Verify this code instead of making one; exit code 1 if it is another message's
    #[arg(long, value_name = "HEX", value_parser = hex_bytes)]
    verify: Option<Bytes>,
}

pub(crate) async fn run(args: MacArgs, session: &Session) -> Result<(), CliError> {
    let large = "make the code of a hash of it, as `sha256sum` prints it";
    let message = read(args.input.as_deref(), large, session).await?;
    let (key, version) = (args.key, args.version.unwrap_or(0));
    let client = session.client()?;
    if let Some(Bytes(mac)) = args.verify {
        let request = v1::VerifyMacRequest {
            request_id: Vec::new(),
            key,
            version,
            message: message.to_vec(),
            mac,
        };
        let verified = client.verify_mac(request).await?;
        let (key, version) = (verified.key, verified.version);
        return session.output.print(
            || format!("verified: made under version {version} of {key}"),
            || json!({ "verified": true, "key": key, "version": version }),
        );
    }
    let request = v1::GenerateMacRequest {
        request_id: Vec::new(),
        key,
        version,
        message: message.to_vec(),
    };
    let made = client.generate_mac(request).await?;
    let mac = hex::encode(&made.mac);
    session.output.print(
        || format!("{}  {mac}", made.version),
        || json!({ "mac": mac, "key": made.key, "version": made.version }),
    )
}

/// Reads a message of up to 64 KiB; of a larger one says what to do: `large`.
pub(super) async fn read(
    path: Option<&Path>,
    large: &'static str,
    session: &Session,
) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let limit = u64::try_from(MAC_MESSAGE_BYTES_MAX).unwrap_or(u64::MAX);
    // Large enough at once: growing would leave parts of the message behind in freed memory.
    let mut message = Zeroizing::new(Vec::with_capacity(MAC_MESSAGE_BYTES_MAX + 1));
    let read = open(path, session)?
        .take(limit + 1)
        .read_to_end(&mut message)
        .await;
    let path = path.unwrap_or(Path::new("standard input"));
    read.map_err(CliError::file("read", path))?;
    if message.len() > MAC_MESSAGE_BYTES_MAX {
        return Err(CliError::Usage {
            problem: format!("{} has more than 64 KiB", path.display()),
            remedy: large,
        });
    }
    Ok(message)
}
