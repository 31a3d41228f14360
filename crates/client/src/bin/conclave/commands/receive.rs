//! `conclave asymmetric-decrypt`, `conclave decapsulate` and `conclave agree`.

use super::crypt::open;
use crate::destination::Destination;
use crate::error::CliError;
use crate::files;
use crate::limits::{ASYMMETRIC_CIPHERTEXT_BYTES_MAX, PEER_FILE_BYTES_MAX};
use crate::parse::key_name;
use crate::session::Session;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use conclave_client::v1;
use conclave_crypto::SecretBytes;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const DECRYPT_HELP: &str = "\
Examples:
  conclave asymmetric-decrypt partners/inbox --in order.enc --out order.txt
  conclave asymmetric-decrypt partners/inbox --version 1 --label order-17 --in order.enc

Whoever has the public key encrypts without the cluster, up to 318 bytes under 3072 bits:
  conclave key public partners/inbox --out inbox.pem
  openssl pkeyutl -encrypt -pubin -inkey inbox.pem -in order.txt -out order.enc \\
    -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256

A ciphertext does not say under which version it was made: keep the version with it.";

const DECAPSULATE_HELP: &str = "\
Example:
  conclave decapsulate partners/quantum --in secret.kem --out secret.bin

The secret has 32 bytes. A ciphertext does not say under which version it was made: keep the
version with it. One that was made with another public key gives a secret as well, which nobody
else has: what is encrypted under it tells the difference.";

const AGREE_HELP: &str = "\
Example:
  conclave agree partners/line --peer theirs.pem --out secret.bin

The other side computes the same 32 bytes from its private key and our public one:
  conclave key public partners/line --out ours.pem
  openssl pkeyutl -derive -inkey theirs.key -peerkey ours.pem -out secret.bin

It is a point's coordinate, and no key yet: make keys of it by a derivation such as HKDF.";

/// `conclave asymmetric-decrypt`.
#[derive(Debug, Args)]
#[command(after_help = DECRYPT_HELP)]
pub(crate) struct AsymmetricDecryptArgs {
    #[command(flatten)]
    which: Which,
    /// The label that it was encrypted with [default: none]
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// What to read [default: standard input]
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
}

/// `conclave decapsulate`.
#[derive(Debug, Args)]
#[command(after_help = DECAPSULATE_HELP)]
pub(crate) struct DecapsulateArgs {
    #[command(flatten)]
    which: Which,
    /// What to read [default: standard input]
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
}

/// `conclave agree`.
#[derive(Debug, Args)]
#[command(after_help = AGREE_HELP)]
pub(crate) struct AgreeArgs {
    #[command(flatten)]
    which: Which,
    /// The other side's public key, PEM or DER
    #[arg(long, value_name = "FILE")]
    peer: PathBuf,
}

#[derive(Debug, Args)]
struct Which {
    /// The key's name; its algorithm is one for this
    #[arg(value_parser = key_name)]
    key: String,
    /// The key version [default: the primary one]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Where to write, for your eyes only [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn decrypt(
    args: AsymmetricDecryptArgs,
    session: &Session,
) -> Result<(), CliError> {
    let out = Destination::open(args.which.out.as_deref(), false)?;
    let request = v1::AsymmetricDecryptRequest {
        request_id: Vec::new(),
        key: args.which.key,
        version: args.which.version.unwrap_or(0),
        ciphertext: read(args.input.as_deref(), session).await?,
        label: args.label.map(String::into_bytes).unwrap_or_default(),
    };
    let opened = session.client()?.asymmetric_decrypt(request).await?;
    write(out, &opened.plaintext).await
}

pub(crate) async fn decapsulate(args: DecapsulateArgs, session: &Session) -> Result<(), CliError> {
    let out = Destination::open(args.which.out.as_deref(), false)?;
    let request = v1::DecapsulateRequest {
        request_id: Vec::new(),
        key: args.which.key,
        version: args.which.version.unwrap_or(0),
        ciphertext: read(args.input.as_deref(), session).await?,
    };
    let opened = session.client()?.decapsulate(request).await?;
    write(out, &opened.secret).await
}

pub(crate) async fn agree(args: AgreeArgs, session: &Session) -> Result<(), CliError> {
    let out = Destination::open(args.which.out.as_deref(), false)?;
    let file = files::read(&args.peer, PEER_FILE_BYTES_MAX)?;
    let peer_public_key = public_key(&file).ok_or_else(|| CliError::Usage {
        problem: format!("{} holds no public key", args.peer.display()),
        remedy: "give a public key in PEM (BEGIN PUBLIC KEY) or DER, as `openssl pkey -pubout` writes it",
    })?;
    let request = v1::DeriveSharedSecretRequest {
        request_id: Vec::new(),
        key: args.which.key,
        version: args.which.version.unwrap_or(0),
        peer_public_key,
    };
    let agreed = session.client()?.derive_shared_secret(request).await?;
    write(out, &agreed.secret).await
}

async fn read(path: Option<&Path>, session: &Session) -> Result<Vec<u8>, CliError> {
    let max = ASYMMETRIC_CIPHERTEXT_BYTES_MAX;
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = open(path, session)?
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .await;
    let path = path.unwrap_or(Path::new("standard input"));
    read.map_err(CliError::file("read", path))?;
    if bytes.len() > max {
        let path = path.to_owned();
        return Err(CliError::TooLarge { path, max: limit });
    }
    Ok(bytes)
}

async fn write(mut out: Destination, secret: &SecretBytes) -> Result<(), CliError> {
    let written = out.writer().write_all(secret.expose()).await;
    written.map_err(CliError::file("write", out.path()))?;
    out.finish().await
}

/// The DER of a public key; the node looks whether it is a good one.
fn public_key(file: &[u8]) -> Option<Vec<u8>> {
    const SEQUENCE: u8 = 0x30;
    if file.first() == Some(&SEQUENCE) {
        return Some(file.to_vec());
    }
    let text = std::str::from_utf8(file).ok()?;
    let (_, rest) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    STANDARD
        .decode(body.split_whitespace().collect::<String>())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_pem_or_der() {
        let pem = "before\n-----BEGIN PUBLIC KEY-----\nMAAB\r\nAg==\n-----END PUBLIC KEY-----\n";
        assert_eq!(public_key(pem.as_bytes()), Some(vec![0x30, 0, 1, 2]));
        assert_eq!(public_key(&[0x30, 0, 1]), Some(vec![0x30, 0, 1]));
        for bad in [
            "",
            "MAAB",
            "-----BEGIN PUBLIC KEY-----\nMAAB\n",
            "-----BEGIN PUBLIC KEY-----\n?\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\nMAAB\n-----END PRIVATE KEY-----\n",
        ] {
            assert_eq!(public_key(bad.as_bytes()), None, "{bad}");
        }
    }
}
