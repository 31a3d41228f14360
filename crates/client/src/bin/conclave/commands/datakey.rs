//! `conclave datakey`.

use super::crypt::context;
use crate::destination::Destination;
use crate::error::CliError;
use crate::files;
use crate::limits::DATA_KEYS_PER_PAGE;
use crate::output;
use crate::parse::{Identifier, identifier, key_name, pair};
use crate::session::Session;
use crate::{show, table};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use conclave_client::{Client, ClientError, v1};
use conclave_crypto::PublicKey;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;
use zeroize::Zeroizing;

#[derive(Debug, Subcommand)]
pub(crate) enum DatakeyCommand {
    /// Draw a data key
    #[command(after_help = "\
Examples:
  conclave datakey generate home/backup --plaintext-out key.bin > key.wrapped   keep it beside the data
  conclave decrypt --base64 --in key.wrapped --out key.bin                      the key again
  conclave datakey generate home/backup --register --label disk=7               the cluster keeps it
  conclave datakey generate home/backup --output json                           both, for a program

Without --plaintext-out or --output json the key in clear does not leave the cluster at all.")]
    Generate(GenerateArgs),
    /// Draw a key pair
    #[command(after_help = "\
Examples:
  conclave datakey generate-pair home/backup --algorithm ed25519 --public-out key.pem > key.wrapped
  conclave decrypt --base64 --in key.wrapped --out key.der         the private key, PKCS#8 in DER

Without --private-out the private key in clear does not leave the cluster at all.")]
    GeneratePair(PairArgs),
    /// Open a registered data key
    #[command(
        after_help = "Example:\n  conclave datakey decrypt 8f14e45fceea167a5a36dedd4bea2543 --out key.bin"
    )]
    Decrypt(DecryptArgs),
    /// Show a registered data key, without the key itself
    #[command(after_help = "Example:\n  conclave datakey get 8f14e45fceea167a5a36dedd4bea2543")]
    Get {
        /// Its id, 32 hexadecimal digits
        #[arg(value_parser = identifier)]
        id: Identifier,
    },
    /// List the registered data keys of a key
    #[command(after_help = "\
Examples:
  conclave datakey list home/backup
  conclave datakey list home/backup --version 3 --label disk=7")]
    List(ListArgs),
    /// Delete a registered data key: what it encrypted can then be read only by who kept it
    #[command(after_help = "Example:\n  conclave datakey delete 8f14e45fceea167a5a36dedd4bea2543")]
    Delete {
        /// Its id, 32 hexadecimal digits
        #[arg(value_parser = identifier)]
        id: Identifier,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
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
    /// Have the cluster keep it, and wrap it anew when its key is rotated; prints its id
    #[arg(long)]
    register: bool,
    /// A label of the registered data key; repeat it for several
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair, requires = "register")]
    labels: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    /// The key that the private key is encrypted under
    #[arg(value_parser = key_name)]
    key: String,
    /// Of the pair
    #[arg(long, value_enum)]
    algorithm: PairAlgorithm,
    /// A pair of the encryption context; repeat it for several
    #[arg(long = "context", value_name = "NAME=VALUE", value_parser = pair)]
    context: Vec<(String, String)>,
    /// Write the public key to a new file, in PEM
    #[arg(long, value_name = "FILE")]
    public_out: PathBuf,
    /// Write the private key in clear to a new file that only you can read, as PKCS#8 in DER
    #[arg(long, value_name = "FILE")]
    private_out: Option<PathBuf>,
}

/// What a key pair for use outside can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PairAlgorithm {
    /// Signs
    Ed25519,
    /// Signs or agrees, on P-256
    EcdsaP256,
    /// Signs or agrees, on P-384
    EcdsaP384,
    /// Signs or decrypts
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// Signs or decrypts
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// Signs or decrypts
    #[value(name = "rsa-4096")]
    Rsa4096,
}

impl From<PairAlgorithm> for v1::Algorithm {
    fn from(algorithm: PairAlgorithm) -> Self {
        match algorithm {
            PairAlgorithm::Ed25519 => Self::Ed25519,
            PairAlgorithm::EcdsaP256 => Self::EcdsaP256,
            PairAlgorithm::EcdsaP384 => Self::EcdsaP384,
            PairAlgorithm::Rsa2048 => Self::Rsa2048,
            PairAlgorithm::Rsa3072 => Self::Rsa3072,
            PairAlgorithm::Rsa4096 => Self::Rsa4096,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DecryptArgs {
    /// Its id, 32 hexadecimal digits
    #[arg(value_parser = identifier)]
    id: Identifier,
    /// A pair of the context that it must have; repeat it for several [default: any]
    #[arg(long = "context", value_name = "NAME=VALUE", value_parser = pair)]
    context: Vec<(String, String)>,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The key that wraps them
    #[arg(value_parser = key_name)]
    key: String,
    /// Only those that this version wraps
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Only those that have this label; repeat it for several
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
}

pub(crate) async fn run(command: DatakeyCommand, session: &Session) -> Result<(), CliError> {
    match command {
        DatakeyCommand::Generate(args) => generate(args, session).await,
        DatakeyCommand::GeneratePair(args) => generate_pair(args, session).await,
        DatakeyCommand::Decrypt(args) => decrypt(args, session).await,
        DatakeyCommand::Get { id } => {
            let request = v1::GetDataKeyRequest {
                data_key_id: id.0,
                ..v1::GetDataKeyRequest::default()
            };
            let found = session.client()?.get_data_key(request).await?;
            let output = session.output;
            output.print(
                || show::data_key_text(&found),
                || show::data_key_json(&found),
            )
        }
        DatakeyCommand::List(args) => list(args, session).await,
        DatakeyCommand::Delete { id } => {
            let request = v1::DeleteDataKeyRequest {
                request_id: Vec::new(),
                data_key_id: id.0.clone(),
            };
            session.client()?.delete_data_key(request).await?;
            let id = hex::encode(id.0);
            let text = || format!("deleted data key {id}");
            session.output.print(text, || json!({ "deleted": id }))
        }
    }
}

async fn generate(args: GenerateArgs, session: &Session) -> Result<(), CliError> {
    let json = session.output.is_json();
    must_be_new(args.plaintext_out.as_deref())?;
    let request = v1::GenerateDataKeyRequest {
        key: args.key,
        length: args.length,
        context: context(args.context)?,
        without_plaintext: args.plaintext_out.is_none() && !json,
        register: args.register,
        labels: context(args.labels)?,
        ..v1::GenerateDataKeyRequest::default()
    };
    let drawn = session.client()?.generate_data_key(request).await?;
    let wrapped = STANDARD.encode(&drawn.ciphertext);
    let id = drawn.id.as_deref().map(hex::encode);
    if let Some(path) = &args.plaintext_out {
        files::write_new(path, drawn.plaintext.expose())?;
    }
    if !json {
        let line = id.unwrap_or(wrapped);
        return output::bytes(format!("{line}\n").as_bytes());
    }
    let mut public = json!({ "key": drawn.key, "version": drawn.version });
    match id {
        Some(id) => public["data_key_id"] = Value::from(id),
        None => public["ciphertext"] = Value::from(wrapped),
    }
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

/// Before anything is drawn that would then be lost.
fn must_be_new(path: Option<&Path>) -> Result<(), CliError> {
    match path.filter(|path| path.exists()) {
        Some(path) => Err(CliError::Exists {
            path: path.to_owned(),
        }),
        None => Ok(()),
    }
}

async fn generate_pair(args: PairArgs, session: &Session) -> Result<(), CliError> {
    must_be_new(Some(&args.public_out))?;
    must_be_new(args.private_out.as_deref())?;
    let request = v1::GenerateDataKeyPairRequest {
        key: args.key,
        algorithm: v1::Algorithm::from(args.algorithm).into(),
        context: context(args.context)?,
        without_private_key: args.private_out.is_none(),
        ..v1::GenerateDataKeyPairRequest::default()
    };
    let pair = session.client()?.generate_data_key_pair(request).await?;
    let public = PublicKey::from_spki(&pair.public_key).map_err(|_| ClientError::BadAnswer {
        what: "the public key is none",
    })?;
    files::write_new(&args.public_out, public.pem().as_bytes())?;
    if let Some(path) = &args.private_out {
        files::write_new(path, pair.private_key.expose())?;
    }
    let wrapped = STANDARD.encode(&pair.ciphertext);
    session.output.print(
        || wrapped.clone(),
        || json!({ "ciphertext": wrapped, "key": pair.key, "version": pair.version }),
    )
}

async fn decrypt(args: DecryptArgs, session: &Session) -> Result<(), CliError> {
    let mut out = Destination::open(args.out.as_deref(), false)?;
    let request = v1::DecryptDataKeyRequest {
        request_id: Vec::new(),
        data_key_id: args.id.0,
        context: context(args.context)?,
    };
    let opened = session.client()?.decrypt_data_key(request).await?;
    let written = out.writer().write_all(opened.plaintext.expose()).await;
    written.map_err(CliError::file("write", out.path()))?;
    out.finish().await
}

async fn list(args: ListArgs, session: &Session) -> Result<(), CliError> {
    let data_keys = all(&session.client()?, args).await?;
    let json = || {
        Value::from(
            data_keys
                .iter()
                .map(show::data_key_json)
                .collect::<Vec<_>>(),
        )
    };
    session
        .output
        .print(|| list_text(&data_keys), || json!({ "data_keys": json() }))
}

async fn all(client: &Client, args: ListArgs) -> Result<Vec<v1::DataKey>, ClientError> {
    let mut request = v1::ListDataKeysRequest {
        key: args.key,
        version: args.version.unwrap_or(0),
        labels: args.labels.into_iter().collect(),
        page_size: DATA_KEYS_PER_PAGE,
        ..v1::ListDataKeysRequest::default()
    };
    let mut data_keys = Vec::new();
    loop {
        let page = client.list_data_keys(request.clone()).await?;
        data_keys.extend(page.data_keys);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(data_keys);
        }
    }
}

fn list_text(data_keys: &[v1::DataKey]) -> String {
    let row = |it: &v1::DataKey| {
        vec![
            hex::encode(&it.data_key_id),
            it.version.to_string(),
            show::time(it.created_at.as_ref()),
            show::pairs(&it.context),
            show::pairs(&it.labels),
        ]
    };
    let headings = ["ID", "VERSION", "CREATED", "CONTEXT", "LABELS"];
    table::render(&headings, &data_keys.iter().map(row).collect::<Vec<_>>())
}
