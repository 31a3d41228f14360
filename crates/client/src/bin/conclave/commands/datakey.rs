//! `conclave datakey`.

use super::crypt::context;
use crate::error::CliError;
use crate::files;
use crate::output;
use crate::parse::{key_name, pair};
use crate::session::Session;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use conclave_client::v1;
use std::path::PathBuf;
use zeroize::Zeroizing;

const HELP: &str = "\
Examples:
  conclave datakey home/backup --plaintext-out key.bin > key.wrapped   keep it beside the data
  conclave decrypt --base64 --in key.wrapped --out key.bin             the key again
  conclave datakey home/backup --output json                           both, for a program

Without --plaintext-out or --output json the key in clear does not leave the cluster at all.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct DatakeyArgs {
    /// The key that the data key is wrapped under
    #[arg(value_parser = key_name)]
    key: String,
    /// A pair of the encryption context; repeat it for several
    #[arg(long = "context", value_name = "NAME=VALUE", value_parser = pair)]
    context: Vec<(String, String)>,
    /// Bytes of the data key
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(16..=64))]
    length: u32,
    /// Write the key in clear to a new file that only you can read
    #[arg(long, value_name = "FILE")]
    plaintext_out: Option<PathBuf>,
}

pub(crate) async fn run(args: DatakeyArgs, session: &Session) -> Result<(), CliError> {
    let json = session.output.is_json();
    let taken = args.plaintext_out.as_deref().filter(|path| path.exists());
    if let Some(path) = taken {
        return Err(CliError::Exists {
            path: path.to_owned(),
        });
    }
    let request = v1::GenerateDataKeyRequest {
        key: args.key,
        length: args.length,
        context: context(args.context)?,
        without_plaintext: args.plaintext_out.is_none() && !json,
        ..v1::GenerateDataKeyRequest::default()
    };
    let drawn = session.client()?.generate_data_key(request).await?;
    let wrapped = STANDARD.encode(&drawn.ciphertext);
    if let Some(path) = &args.plaintext_out {
        files::write_new(path, drawn.plaintext.expose())?;
    }
    if !json {
        return output::bytes(format!("{wrapped}\n").as_bytes());
    }
    let public =
        serde_json::json!({ "key": drawn.key, "version": drawn.version, "ciphertext": wrapped });
    if args.plaintext_out.is_some() {
        return output::bytes(format!("{public}\n").as_bytes());
    }
    // Put together by hand, so that the key in clear is only where it is wiped.
    let clear = Zeroizing::new(STANDARD.encode(drawn.plaintext.expose()));
    let public = public.to_string();
    let (_, public) = public.split_at(1);
    let line = Zeroizing::new(["{\"plaintext\":\"", &clear, "\",", public, "\n"].concat());
    output::bytes(line.as_bytes())
}
