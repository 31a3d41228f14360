//! `conclave reencrypt`.

use super::crypt::{context, open};
use crate::base64_io::Base64Reader;
use crate::destination::Destination;
use crate::error::CliError;
use crate::parse::{key_name, pair};
use crate::session::Session;
use clap::Args;
use conclave_client::limits::SINGLE_CIPHERTEXT_BYTES_MAX;
use conclave_client::v1;
use conclave_crypto::StreamHeader;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const HELP: &str = "\
Examples:
  conclave reencrypt --in pan.enc --out pan.new                 same key, newest version
  conclave reencrypt --in pan.enc --out pan.new --to archive/pan \\
      --context order=17 --to-context year=2030

The plaintext does not leave the cluster. Ciphertexts of more than 32 KiB hold a data key
bound to all of their bytes: bring those over with `conclave decrypt … | conclave encrypt
…`.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct ReencryptArgs {
    /// What to read [default: standard input]
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A pair of the context that it was encrypted with; repeat it for several
    #[arg(long = "context", value_name = "NAME=VALUE", value_parser = pair)]
    context: Vec<(String, String)>,
    /// The key to bring it under [default: the key that it is under]
    #[arg(long, value_name = "KEY", value_parser = key_name)]
    to: Option<String>,
    /// A pair of the new context [default: the old context]
    #[arg(long = "to-context", value_name = "NAME=VALUE", value_parser = pair)]
    to_context: Vec<(String, String)>,
    /// Read and write base64 text
    #[arg(long)]
    base64: bool,
}

pub(crate) async fn run(args: ReencryptArgs, session: &Session) -> Result<(), CliError> {
    let client = session.client()?;
    let replace_context = !args.to_context.is_empty();
    let mut destination = Destination::open(args.out.as_deref(), args.base64)?;
    let request = v1::ReEncryptRequest {
        ciphertext: read(args.input.as_deref(), args.base64, session).await?,
        context: context(args.context)?,
        destination_key: args.to.unwrap_or_default(),
        destination_context: context(args.to_context)?,
        replace_context,
        ..v1::ReEncryptRequest::default()
    };
    let answer = client.re_encrypt(request).await?;
    let written = destination.writer().write_all(&answer.ciphertext).await;
    written.map_err(CliError::stdout)?;
    destination.finish().await
}

async fn read(path: Option<&Path>, base64: bool, session: &Session) -> Result<Vec<u8>, CliError> {
    let input = open(path, session)?;
    let limit = u64::try_from(SINGLE_CIPHERTEXT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut ciphertext = Vec::new();
    let read = if base64 {
        Base64Reader::new(input)
            .take(limit + 1)
            .read_to_end(&mut ciphertext)
            .await
    } else {
        input.take(limit + 1).read_to_end(&mut ciphertext).await
    };
    let path = path.unwrap_or(Path::new("standard input"));
    read.map_err(CliError::file("read", path))?;
    let large = ciphertext.len() > SINGLE_CIPHERTEXT_BYTES_MAX;
    if large || StreamHeader::is_stream(&ciphertext) {
        return Err(CliError::Usage {
            problem:
                "this ciphertext was encrypted in parts, under a data key bound to all of them"
                    .to_owned(),
            remedy: "bring it over with `conclave decrypt … | conclave encrypt …`",
        });
    }
    Ok(ciphertext)
}
