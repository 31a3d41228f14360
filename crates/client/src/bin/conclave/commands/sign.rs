//! `conclave sign` and `conclave verify`.

use super::mac::read;
use crate::destination::Destination;
use crate::error::CliError;
use crate::parse::{Bytes, Scheme, hex_bytes, key_name};
use crate::session::Session;
use crate::show;
use clap::Args;
use conclave_client::v1;
use serde_json::json;
use std::path::PathBuf;
use tokio::io::AsyncWriteExt as _;

const SIGN_HELP: &str = "\
Examples:
  conclave sign releases/linux --in notes.txt --out notes.sig
  conclave sign documents/pdf --digest $(sha256sum big.iso | cut -c-64) --scheme rsa-pkcs1-sha-256

Whoever has the public key verifies it without the cluster:
  conclave key public documents/pdf --out pub.pem
  openssl dgst -sha256 -verify pub.pem -signature big.sig big.iso

A signature does not say under which version it was made: keep the version with it. Messages have
up to 64 KiB; of larger ones, sign a digest.";

const VERIFY_HELP: &str = "\
Examples:
  conclave verify releases/linux --in notes.txt --signature-file notes.sig --version 1";

#[derive(Debug, Args)]
struct Signed {
    /// What to read [default: standard input]
    #[arg(long = "in", value_name = "FILE", conflicts_with = "digest")]
    input: Option<PathBuf>,
    /// The digest of the message, in place of the message itself: by the scheme's hash
    #[arg(long, value_name = "HEX", value_parser = hex_bytes)]
    digest: Option<Bytes>,
    /// How the signature is made [default: ed25519, ecdsa-der, rsa-pss-sha-256 or ml-dsa-65, as the key is]
    #[arg(long, value_enum)]
    scheme: Option<Scheme>,
    /// The key version [default: the primary one]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = SIGN_HELP)]
pub(crate) struct SignArgs {
    /// The key's name; its algorithm is one that signs
    #[arg(value_parser = key_name)]
    key: String,
    #[command(flatten)]
    signed: Signed,
    /// Write the signature's bytes to this file [default: print version and signature, in hexadecimal]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
pub(crate) struct VerifyArgs {
    /// The key's name
    #[arg(value_parser = key_name)]
    key: String,
    #[command(flatten)]
    signed: Signed,
    /// The signature
    #[arg(long, value_name = "HEX", value_parser = hex_bytes, required_unless_present = "signature_file")]
    signature: Option<Bytes>,
    /// A file that holds the signature's bytes
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    signature_file: Option<PathBuf>,
}

/// The message, or its digest if there is one.
async fn message(signed: &Signed, session: &Session) -> Result<Result<Vec<u8>, Vec<u8>>, CliError> {
    if let Some(Bytes(digest)) = &signed.digest {
        return Ok(Err(digest.clone()));
    }
    let message = read(
        signed.input.as_deref(),
        "sign a digest of it: --digest",
        session,
    )
    .await?;
    Ok(Ok(message.to_vec()))
}

fn scheme(signed: &Signed) -> i32 {
    let scheme = signed.scheme.map(v1::SignatureScheme::from);
    scheme.unwrap_or_default().into()
}

pub(crate) async fn sign(args: SignArgs, session: &Session) -> Result<(), CliError> {
    use v1::sign_request::Input as It;
    let given = message(&args.signed, session).await?;
    let request = v1::SignRequest {
        request_id: Vec::new(),
        key: args.key,
        version: args.signed.version.unwrap_or(0),
        scheme: scheme(&args.signed),
        input: Some(given.map_or_else(It::Digest, It::Message)),
    };
    let made = session.client()?.sign(request).await?;
    let (version, hex) = (made.version, hex::encode(&made.signature));
    let scheme = show::scheme(made.scheme);
    if let Some(path) = &args.out {
        let mut out = Destination::open(Some(path), false)?;
        let written = out.writer().write_all(&made.signature).await;
        written.map_err(CliError::file("write", path))?;
        out.finish().await?;
        return session.output.print(
            || {
                format!(
                    "{}: by version {version} of {}, {scheme}",
                    path.display(),
                    made.key
                )
            },
            || json!({ "out": path, "key": made.key, "version": version, "scheme": scheme }),
        );
    }
    session.output.print(
        || format!("{version}  {hex}"),
        || json!({ "signature": hex, "key": made.key, "version": version, "scheme": scheme }),
    )
}

pub(crate) async fn verify(args: VerifyArgs, session: &Session) -> Result<(), CliError> {
    use v1::verify_request::Input as It;
    let signature = match (args.signature, &args.signature_file) {
        (Some(Bytes(signature)), _) => signature,
        (None, Some(path)) => {
            let read = tokio::fs::read(path).await;
            read.map_err(CliError::file("read", path))?
        }
        (None, None) => Vec::new(),
    };
    let given = message(&args.signed, session).await?;
    let request = v1::VerifyRequest {
        request_id: Vec::new(),
        key: args.key,
        version: args.signed.version.unwrap_or(0),
        scheme: scheme(&args.signed),
        input: Some(given.map_or_else(It::Digest, It::Message)),
        signature,
    };
    let verified = session.client()?.verify(request).await?;
    let (key, version) = (verified.key, verified.version);
    session.output.print(
        || format!("verified: signed under version {version} of {key}"),
        || json!({ "verified": true, "key": key, "version": version }),
    )
}
