//! `conclave import-job`, `conclave key import` and `conclave key export`.

use super::crypt::context;
use super::key::CreateArgs;
use crate::destination::Destination;
use crate::error::CliError;
use crate::limits::MATERIAL_BYTES_MAX;
use crate::output::Output;
use crate::parse::{Identifier, Protection, identifier, key_name, keyring, lifetime, pair};
use crate::session::Session;
use crate::{files, show, table};
use clap::{Args, Subcommand, ValueEnum};
use conclave_client::{Client, v1};
use conclave_crypto::oaep::EncryptingKey;
use conclave_crypto::{KeyMaterial, OaepHash, PrivateMaterial, PublicKey, RsaSize, rsa_aes};
use conclave_env::Entropy as _;
use conclave_env::os::OsEntropy;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;
use zeroize::Zeroizing;

/// How material is wrapped on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// RSA of 3072 bits, OAEP with SHA-256
    Rsa3072,
    /// RSA of 4096 bits, OAEP with SHA-256
    Rsa4096,
    /// RSA of 3072 bits, OAEP with SHA-1: for HSMs that know no other hash
    #[value(name = "rsa3072-sha1")]
    Rsa3072Sha1,
    /// RSA of 4096 bits, OAEP with SHA-1
    #[value(name = "rsa4096-sha1")]
    Rsa4096Sha1,
}

impl Method {
    fn wire(self) -> v1::ImportMethod {
        match self {
            Self::Rsa3072 => v1::ImportMethod::RsaOaep3072Sha256Aes256,
            Self::Rsa4096 => v1::ImportMethod::RsaOaep4096Sha256Aes256,
            Self::Rsa3072Sha1 => v1::ImportMethod::RsaOaep3072Sha1Aes256,
            Self::Rsa4096Sha1 => v1::ImportMethod::RsaOaep4096Sha1Aes256,
        }
    }
}

/// Length of the key, and hash; `None` for what this program does not know.
fn parts(method: v1::ImportMethod) -> Option<(RsaSize, OaepHash)> {
    match method {
        v1::ImportMethod::Unspecified => None,
        v1::ImportMethod::RsaOaep3072Sha256Aes256 => Some((RsaSize::Bits3072, OaepHash::Sha256)),
        v1::ImportMethod::RsaOaep4096Sha256Aes256 => Some((RsaSize::Bits4096, OaepHash::Sha256)),
        v1::ImportMethod::RsaOaep3072Sha1Aes256 => Some((RsaSize::Bits3072, OaepHash::Sha1)),
        v1::ImportMethod::RsaOaep4096Sha1Aes256 => Some((RsaSize::Bits4096, OaepHash::Sha1)),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportJobCommand {
    /// Make a public key to wrap material with, for one import into a keyring
    #[command(after_help = "\
Examples:
  conclave import-job create payments --out job.pem
  conclave import-job create payments --method rsa4096 --lifetime 3d
  conclave import-job create payments --protection hsm --out job.pem   straight into the HSM")]
    Create {
        /// The keyring that the material is to go into
        #[arg(value_parser = keyring)]
        keyring: String,
        /// How the material will be wrapped [default: rsa3072, or what the HSM has]
        #[arg(long, value_enum)]
        method: Option<Method>,
        /// That of the keys that it is for; with hsm, the material is in clear inside HSMs only
        #[arg(long, value_enum, default_value = "software")]
        protection: Protection,
        /// How long it can be used, 10 minutes to 7 days, as in 30m, 24h or 3d
        #[arg(long, value_name = "PERIOD", value_parser = lifetime, default_value = "24h")]
        lifetime: prost_types::Duration,
        /// Write the public key to a file
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show an import job and its public key
    #[command(after_help = "Example:\n  conclave import-job get 8f14e45fceea167a5a36dedd4bea2543")]
    Get {
        /// Its id, 32 hexadecimal digits
        #[arg(value_parser = identifier)]
        id: Identifier,
    },
    /// List the import jobs that are not over
    #[command(after_help = "Example:\n  conclave import-job list")]
    List {
        /// Only those of this keyring
        #[arg(value_parser = keyring)]
        keyring: Option<String>,
    },
    /// Wrap material with an import job's public key, without a cluster
    #[command(after_help = "\
What is wrapped: of symmetric keys the 32 bytes (for an HSM as many as the hash has: 48 of
HMAC-SHA-384, 64 of HMAC-SHA-512), of others the private key as PKCS#8 (DER or PEM), and of
ML-DSA-65 the 32 bytes of the seed.

Examples:
  conclave import-job wrap --public-key job.pem --material key.bin --out key.wrapped
  conclave import-job wrap --method rsa3072-sha1 --public-key job.pem --material key.bin --out key.wrapped")]
    Wrap {
        /// The job's public key, PEM or DER
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
        /// The key
        #[arg(long, value_name = "FILE")]
        material: PathBuf,
        /// The job's method, which its public key does not tell [default: with SHA-256]
        #[arg(long, value_enum)]
        method: Option<Method>,
        /// Where to write it [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    key: CreateArgs,
    /// The key in clear: wrapped here, by an import job made for it
    #[arg(long, value_name = "FILE", required_unless_present = "wrapped")]
    material: Option<PathBuf>,
    /// The key as it was wrapped for --job
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "material",
        requires = "job"
    )]
    wrapped: Option<PathBuf>,
    /// The import job whose public key wrapped it
    #[arg(long, value_name = "ID", value_parser = identifier)]
    job: Option<Identifier>,
    /// Make it the next version of the key, which is there already
    #[arg(long)]
    as_version: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The key's name; it was created with --exportable
    #[arg(value_parser = key_name)]
    name: String,
    /// The key version [default: the primary one]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Wrap it for whoever has the private half of this RSA key, PEM or DER
    #[arg(long, value_name = "FILE", required_unless_present = "to_key")]
    to_public_key: Option<PathBuf>,
    /// Wrap it under another key of the cluster, for encryption
    #[arg(long, value_name = "NAME", value_parser = key_name, conflicts_with = "to_public_key")]
    to_key: Option<String>,
    /// With --to-key: a pair of the encryption context; repeat it for several
    #[arg(long = "context", value_name = "NAME=VALUE", value_parser = pair, requires = "to_key")]
    context: Vec<(String, String)>,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A public key in PEM or DER.
fn public_key(path: &Path) -> Result<PublicKey, CliError> {
    let bytes = files::read(path, MATERIAL_BYTES_MAX)?;
    let der = match SubjectPublicKeyInfoDer::from_pem_slice(&bytes) {
        Ok(der) => der.to_vec(),
        Err(_) => bytes.to_vec(),
    };
    PublicKey::from_spki(&der).map_err(|_| CliError::NoKey {
        path: path.to_owned(),
        expected: "an RSA public key, PEM or DER",
    })
}

/// The material in a file: of PEM what is in it.
fn material(path: &Path) -> Result<PrivateMaterial, CliError> {
    let bytes = files::read(path, MATERIAL_BYTES_MAX)?;
    let inner = PrivatePkcs8KeyDer::from_pem_slice(&bytes);
    let inner = inner.map(|der| Zeroizing::new(der.secret_pkcs8_der().to_vec()));
    let material = PrivateMaterial::from_slice(inner.as_ref().unwrap_or(&bytes));
    material.map_err(|_| CliError::NoKey {
        path: path.to_owned(),
        expected: "a key: 32 bytes, or PKCS#8 in PEM or DER",
    })
}

fn wrap(
    public: &PublicKey,
    hash: OaepHash,
    path: &Path,
    material: &PrivateMaterial,
) -> Result<Vec<u8>, CliError> {
    let ephemeral = KeyMaterial::from_fn(|bytes| OsEntropy::new().fill(bytes));
    let wrapping = EncryptingKey::new(public).map(|it| it.with_hash(hash));
    let wrapped = wrapping.and_then(|it| rsa_aes::wrap(&it, &ephemeral, material));
    wrapped.map_err(|_| CliError::NoKey {
        path: path.to_owned(),
        expected: "an RSA public key of 2048, 3072 or 4096 bits",
    })
}

/// Wraps with a job's public key alone.
fn wrap_offline(
    path: &Path,
    method: Option<Method>,
    material: &PrivateMaterial,
) -> Result<Vec<u8>, CliError> {
    let public = public_key(path)?;
    let Some((size, hash)) = method.and_then(|method| parts(method.wire())) else {
        return wrap(&public, OaepHash::default(), path, material);
    };
    if public.kind().rsa_size() != Some(size) {
        return Err(CliError::NoKey {
            path: path.to_owned(),
            expected: "an RSA public key as long as --method says",
        });
    }
    wrap(&public, hash, path, material)
}

async fn write(out: Option<&Path>, bytes: &[u8]) -> Result<(), CliError> {
    let mut out = Destination::open(out, false)?;
    let written = out.writer().write_all(bytes).await;
    written.map_err(CliError::file("write", out.path()))?;
    out.finish().await
}

pub(crate) async fn run(command: ImportJobCommand, session: &Session) -> Result<(), CliError> {
    match command {
        ImportJobCommand::Create {
            keyring,
            method,
            protection,
            lifetime,
            out,
        } => {
            let request = v1::CreateImportJobRequest {
                keyring,
                method: method.map_or(0, |method| method.wire().into()),
                protection: v1::Protection::from(protection).into(),
                lifetime: Some(lifetime),
                ..v1::CreateImportJobRequest::default()
            };
            let job = session.client()?.create_import_job(request).await?;
            if let Some(out) = &out {
                fs::write(out, &job.public_key_pem).map_err(CliError::file("write", out))?;
            }
            shown(&job, session.output)
        }
        ImportJobCommand::Get { id } => {
            let request = v1::GetImportJobRequest {
                import_job_id: id.0,
                ..v1::GetImportJobRequest::default()
            };
            shown(
                &session.client()?.get_import_job(request).await?,
                session.output,
            )
        }
        ImportJobCommand::List { keyring } => list(keyring.unwrap_or_default(), session).await,
        ImportJobCommand::Wrap {
            public_key: path,
            material: from,
            method,
            out,
        } => {
            let wrapped = wrap_offline(&path, method, &material(&from)?)?;
            write(out.as_deref(), &wrapped).await
        }
    }
}

fn shown(job: &v1::ImportJob, output: Output) -> Result<(), CliError> {
    output.print(|| show::import_job_text(job), || show::import_job_json(job))
}

async fn list(keyring: String, session: &Session) -> Result<(), CliError> {
    let request = v1::ListImportJobsRequest {
        keyring,
        ..v1::ListImportJobsRequest::default()
    };
    let jobs = session
        .client()?
        .list_import_jobs(request)
        .await?
        .import_jobs;
    let row = |it: &v1::ImportJob| {
        vec![
            hex::encode(&it.import_job_id),
            it.keyring.clone(),
            show::protection(it.protection),
            show::time(it.expires_at.as_ref()),
            if it.imported_key.is_empty() {
                "-".to_owned()
            } else {
                format!("{} v{}", it.imported_key, it.imported_version)
            },
        ]
    };
    let headings = ["ID", "KEYRING", "PROTECTION", "EXPIRES", "IMPORTED"];
    let json = || Value::from(jobs.iter().map(show::import_job_json).collect::<Vec<_>>());
    session.output.print(
        || table::render(&headings, &jobs.iter().map(row).collect::<Vec<_>>()),
        || json!({ "import_jobs": json() }),
    )
}

/// `conclave key import`.
pub(crate) async fn import(client: &Client, args: ImportArgs) -> Result<v1::Key, CliError> {
    use v1::import_key_request::Target;
    let key = super::key::creation(args.key)?;
    let (import_job_id, wrapped_key) = match (args.material, args.wrapped, args.job) {
        (Some(path), _, job) => {
            // Read first: a file that is none should leave no job behind.
            let material = material(&path)?;
            let job = job_for(client, &key, args.as_version, job).await?;
            let unknown = || CliError::NoKey {
                path: path.clone(),
                expected: "wrapped by this job: its method is none that this program knows",
            };
            let public = PublicKey::from_spki(&job.public_key_der).map_err(|_| unknown())?;
            let (_, hash) = parts(job.method()).ok_or_else(unknown)?;
            (job.import_job_id, wrap(&public, hash, &path, &material)?)
        }
        (None, Some(path), Some(job)) => (job.0, files::read(&path, MATERIAL_BYTES_MAX)?.to_vec()),
        (None, ..) => unreachable!("one of them is required"),
    };
    let target = if args.as_version {
        Target::VersionOf(key.name)
    } else {
        Target::Key(key)
    };
    let request = v1::ImportKeyRequest {
        request_id: Vec::new(),
        import_job_id,
        wrapped_key,
        target: Some(target),
    };
    Ok(client.import_key(request).await?)
}

/// The job that was named, or a new one.
async fn job_for(
    client: &Client,
    key: &v1::CreateKeyRequest,
    as_version: bool,
    job: Option<Identifier>,
) -> Result<v1::ImportJob, CliError> {
    let Some(id) = job else {
        // That of a key that is there is its own, whatever the command line says.
        let protection = if as_version {
            let request = v1::GetKeyRequest {
                name: key.name.clone(),
                ..v1::GetKeyRequest::default()
            };
            client.get_key(request).await?.protection
        } else {
            key.protection
        };
        let keyring = key.name.split('/').next().unwrap_or_default().to_owned();
        let request = v1::CreateImportJobRequest {
            keyring,
            protection,
            ..v1::CreateImportJobRequest::default()
        };
        return Ok(client.create_import_job(request).await?);
    };
    let request = v1::GetImportJobRequest {
        import_job_id: id.0,
        ..v1::GetImportJobRequest::default()
    };
    Ok(client.get_import_job(request).await?)
}

/// `conclave key export`.
pub(crate) async fn export(client: &Client, args: ExportArgs) -> Result<(), CliError> {
    use v1::export_key_request::To;
    let to = match (&args.to_public_key, args.to_key) {
        (Some(path), _) => To::PublicKey(public_key(path)?.spki()),
        (None, Some(name)) => To::WrappingKey(name),
        (None, None) => unreachable!("one of them is required"),
    };
    let request = v1::ExportKeyRequest {
        request_id: Vec::new(),
        key: args.name,
        version: args.version.unwrap_or(0),
        to: Some(to),
        context: context(args.context)?,
    };
    let exported = client.export_key(request).await?;
    write(args.out.as_deref(), &exported.wrapped_key).await
}
