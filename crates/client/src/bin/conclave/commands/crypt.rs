//! `conclave encrypt` and `conclave decrypt`.

use crate::base64_io::Base64Reader;
use crate::destination::Destination;
use crate::error::CliError;
use crate::limits::READ_BYTES;
use crate::output;
use crate::parse::{key_name, pair};
use crate::progress::Progress;
use crate::session::Session;
use crate::terminal::TerminalText;
use clap::Args;
use conclave_client::{ClientError, Context};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use tokio::io::AsyncRead;

const ENCRYPT_HELP: &str = "\
Examples:
  conclave encrypt payments/card-pan --in pan.txt --out pan.enc --context order=17
  tar c photos | conclave encrypt home/backup > photos.tar.enc
  echo -n 4111111111111111 | conclave encrypt payments/card-pan --base64

Input up to 32 KiB is encrypted by the cluster in one call. Larger input of any size is
encrypted here, in constant memory, under a data key that the cluster draws and wraps. The
context is authenticated, not secret, and written to the audit log; decrypt must be given
the same.";

const DECRYPT_HELP: &str = "\
Examples:
  conclave decrypt --in pan.enc --context order=17
  conclave decrypt < photos.tar.enc | tar x
  conclave decrypt --key payments/card-pan --base64 --in pan.b64 --out pan.txt

Key and version are found in the ciphertext. With --out the file appears only when all of it
has been authenticated. Into a pipe each part goes once it is authenticated, but that the
input was cut short is known only at its end: then the exit code is 1, and what came out
must not be used.";

/// `conclave encrypt`.
#[derive(Debug, Args)]
#[command(after_help = ENCRYPT_HELP)]
pub(crate) struct EncryptArgs {
    /// The key's name, such as payments/card-pan
    #[arg(value_parser = key_name)]
    key: String,
    #[command(flatten)]
    files: Files,
    /// Write base64 text
    #[arg(long)]
    base64: bool,
}

/// `conclave decrypt`.
#[derive(Debug, Args)]
#[command(after_help = DECRYPT_HELP)]
pub(crate) struct DecryptArgs {
    /// Refuse ciphertexts of any other key
    #[arg(long, value_name = "NAME", value_parser = key_name)]
    key: Option<String>,
    #[command(flatten)]
    files: Files,
    /// Read base64 text
    #[arg(long)]
    base64: bool,
}

#[derive(Debug, Args)]
struct Files {
    /// A pair of the encryption context; repeat it for several
    #[arg(long = "context", value_name = "NAME=VALUE", value_parser = pair)]
    context: Vec<(String, String)>,
    /// What to read [default: standard input]
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Encrypts input of any size.
pub(crate) async fn encrypt(args: EncryptArgs, session: &Session) -> Result<(), CliError> {
    let context = context(args.files.context)?;
    let client = session.client()?;
    let mut destination = Destination::open(args.files.out.as_deref(), args.base64)?;
    let input = open(args.files.input.as_deref(), session)?;
    let done = client
        .encrypt_stream(&args.key, &context, input, destination.writer())
        .await;
    done.map_err(broken_pipe)?;
    destination.finish().await
}

/// Decrypts what `encrypt` made.
pub(crate) async fn decrypt(args: DecryptArgs, session: &Session) -> Result<(), CliError> {
    let context = context(args.files.context)?;
    let client = session.client()?;
    let key = args.key.as_deref();
    let input = open(args.files.input.as_deref(), session)?;
    let input: Input = if args.base64 {
        Box::pin(Base64Reader::new(input))
    } else {
        input
    };
    if args.files.out.is_none() && output::is_terminal() {
        let mut text = TerminalText::default();
        let done = client.decrypt_stream(key, &context, input, &mut text).await;
        return text.show(done);
    }
    let mut destination = Destination::open(args.files.out.as_deref(), false)?;
    let done = client
        .decrypt_stream(key, &context, input, destination.writer())
        .await;
    done.map_err(broken_pipe)?;
    destination.finish().await
}

/// Pairs as a map; a name given twice would leave one of them unbound.
pub(crate) fn context(pairs: Vec<(String, String)>) -> Result<Context, CliError> {
    let mut context = Context::new();
    for (name, value) in pairs {
        if context.contains_key(&name) {
            return Err(CliError::Usage {
                problem: format!("'{name}' was given twice"),
                remedy: "give each name once",
            });
        }
        context.insert(name, value);
    }
    Ok(context)
}

pub(crate) type Input = Pin<Box<dyn AsyncRead + Send>>;

/// Opens `path`, or standard input, and shows how far it has been read.
pub(crate) fn open(path: Option<&Path>, session: &Session) -> Result<Input, CliError> {
    let Some(path) = path else {
        return Ok(Box::pin(Progress::new(
            tokio::io::stdin(),
            None,
            session.output,
        )));
    };
    let file = fs::File::open(path).map_err(CliError::file("read", path))?;
    let metadata = file.metadata().map_err(CliError::file("read", path))?;
    if metadata.is_dir() {
        let source = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(CliError::file("read", path)(source));
    }
    let len = metadata.is_file().then_some(metadata.len());
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(READ_BYTES);
    Ok(Box::pin(Progress::new(file, len, session.output)))
}

/// That nobody reads the output any more is not worth a message.
fn broken_pipe(error: ClientError) -> CliError {
    if let ClientError::Io { source, .. } = &error
        && source.kind() == io::ErrorKind::BrokenPipe
    {
        return CliError::BrokenPipe;
    }
    CliError::Client(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_each_name_once() {
        let pair = |name: &str| (name.to_owned(), "x".to_owned());
        assert_eq!(context(vec![pair("a"), pair("b")]).unwrap().len(), 2);
        assert_eq!(
            context(vec![pair("a"), pair("a")]).unwrap_err().exit_code(),
            2
        );
    }
}
