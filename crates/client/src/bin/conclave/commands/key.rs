//! `conclave key`.

use super::crypt::context;
use super::{finding, history, import, proof, rewrap};
use crate::destination::Destination;
use crate::error::CliError;
use crate::parse::{Algorithm, Protection, key_name, moment, pair, period, waiting_period};
use crate::session::Session;
use crate::{output, show};
use clap::{Args, Subcommand, ValueEnum};
use conclave_client::{Client, v1};
use prost_types::{Duration, Timestamp};
use std::path::PathBuf;
use tokio::io::AsyncWriteExt as _;

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key with version 1
    #[command(after_help = "\
Examples:
  conclave key create payments/card-pan
  conclave key create payments/card-pan --protection hsm --label team=payments --rotate-every 90d
  conclave key create payments/webhooks --algorithm hmac-sha-256
  conclave key create releases/linux --algorithm ed25519
  conclave key create partners/inbox --algorithm rsa-oaep-3072
  conclave key create payments/next-year --activate-at 2030-01-01T00:00:00Z")]
    Create(CreateArgs),
    /// List keys, in the order of their names
    #[command(after_help = "\
All that is given must hold.

Examples:
  conclave key list                                   all that you may see
  conclave key list payments/                         those of one keyring
  conclave key list --label team=cards --label tier   of one team, and with any tier
  conclave key list payments/ --state active --purpose sign")]
    List(finding::ListArgs),
    /// Set labels of a key, and remove others
    #[command(after_help = "\
Examples:
  conclave key label payments/card-pan team=cards tier=1
  conclave key label payments/card-pan env=prod --remove tier")]
    Label(finding::LabelArgs),
    /// Show a key and its versions
    #[command(after_help = "Example:\n  conclave key get payments/card-pan --output json")]
    Get {
        /// The key's name
        #[arg(value_parser = key_name)]
        name: String,
    },
    /// Tell what was done with a key, the earliest first
    #[command(after_help = "\
All but its uses, which `conclave key get` counts and `conclave audit list` shows. Numbers are those
of the audit log's records.

Examples:
  conclave key history payments/card-pan
  conclave key history payments/card-pan --output json")]
    History(history::HistoryArgs),
    /// Write the public key of a version, for others to verify or encrypt with
    #[command(after_help = "\
Examples:
  conclave key public releases/linux --out release.pem
  conclave key public releases/linux --version 2 --format jwk")]
    Public(PublicArgs),
    /// Make a new primary version; older ones go on decrypting
    #[command(after_help = "Example:\n  conclave key rotate payments/card-pan")]
    Rotate {
        /// The key's name
        #[arg(value_parser = key_name)]
        name: String,
    },
    /// Put a key or a version into service
    #[command(after_help = "Example:\n  conclave key activate payments/next-year")]
    Activate(TransitionArgs),
    /// Encrypt no more with a key or a version until it is resumed; it still decrypts
    #[command(after_help = "Example:\n  conclave key suspend payments/card-pan")]
    Suspend(TransitionArgs),
    /// Put a suspended key or version back into service
    #[command(after_help = "Example:\n  conclave key resume payments/card-pan")]
    Resume(TransitionArgs),
    /// Use a key or a version no more, neither to encrypt nor to decrypt
    #[command(after_help = "Example:\n  conclave key deactivate payments/card-pan --version 1")]
    Deactivate(TransitionArgs),
    /// Mark a key or a version as compromised: others know its material, or may
    #[command(after_help = "\
It protects nothing new, and decrypts only for those who hold the role use-compromised as well as
user. After the primary version is marked, rotate the key.

Examples:
  conclave key compromise payments/card-pan --version 3
  conclave key rotate payments/card-pan")]
    Compromise(TransitionArgs),
    /// Destroy a key or a version, after a while in which that can be cancelled
    #[command(after_help = "\
At its date the material is erased from every node, and what it protected can never be opened
again. `conclave key get` says on how many nodes that is done. The key stays listed, and its name
is never given to another. What was used in the last 7 days (unless the node is configured
otherwise) is refused without --force.

Examples:
  conclave key destroy payments/card-pan --version 1
  conclave key destroy payments/last-year --after 7d")]
    Destroy(DestroyArgs),
    /// Call a destruction off before its date; the key or version is DEACTIVATED then
    #[command(after_help = "Example:\n  conclave key cancel-destroy payments/last-year")]
    CancelDestroy(TransitionArgs),
    /// Write what shows to others that a key or a version is destroyed
    #[command(after_help = "\
The records of the audit log that say so, and on which nodes it is erased, with their proofs.
Whoever has the cluster's verifier key verifies them without the cluster.

Example:
  conclave key certificate payments/last-year --out gone.tlog-proof
  conclave audit verify gone.tlog-proof --verifier-key \"$KEY\"")]
    Certificate(proof::CertificateArgs),
    /// Make own material a key, or a version of one
    #[command(after_help = "\
The material goes into the cluster wrapped: RSA-OAEP, then AES-KWP. What the file is to hold: of
symmetric keys the 32 bytes (at protection hsm as many as the hash has: 48 of HMAC-SHA-384, 64 of
HMAC-SHA-512), of others the private key as PKCS#8 (PEM or DER), and of ML-DSA-65 the 32 bytes of
the seed. With --protection hsm it is unwrapped inside the HSM.

Examples:
  conclave key import payments/ours --material key.bin                     wrap it here, and import it
  conclave key import releases/ours --algorithm ed25519 --material key.pem
  conclave key import payments/inside --protection hsm --material key.bin
  conclave key import payments/ours --as-version --material next.bin       the next version
  conclave key import payments/ours --wrapped key.wrapped --job 8f14e45fceea167a5a36dedd4bea2543")]
    Import(import::ImportArgs),
    /// Have the material of an exportable key out, wrapped
    #[command(after_help = "\
It takes the role admin. Keys of protection HSM are never exportable.

Examples:
  conclave key export payments/shared --to-public-key partner.pem --out shared.wrapped
  conclave key export payments/shared --to-key escrow/main --context why=escrow --out shared.wrapped")]
    Export(import::ExportArgs),
    /// Have a key's registered data keys wrapped by its primary version
    #[command(after_help = "\
Examples:
  conclave key rewrap payments/card-pan
  conclave key rewrap payments/card-pan --wait   until none is left")]
    Rewrap(rewrap::RewrapArgs),
    /// Choose what becomes of a key's registered data keys when it is rotated
    #[command(after_help = "\
By default they are wrapped anew after each rotation, and older versions stay ACTIVE. With
--deactivate-old-versions, what was encrypted under an older version directly can no longer be
decrypted once that version wraps no registered data key.

Examples:
  conclave key set-rewrap payments/card-pan                             the default
  conclave key set-rewrap payments/card-pan --rewrap-by-hand
  conclave key set-rewrap payments/card-pan --deactivate-old-versions")]
    SetRewrap(rewrap::PolicyArgs),
    /// Have a key rotated by itself whenever its primary version is so old, or never
    #[command(after_help = "\
Examples:
  conclave key set-rotation payments/card-pan --every 90d
  conclave key set-rotation payments/card-pan --never")]
    SetRotation(RotationArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Keyring and name, such as payments/card-pan
    #[arg(value_parser = key_name)]
    name: String,
    /// What the key is for
    #[arg(long, value_enum, default_value = "aes-256-gcm")]
    algorithm: Algorithm,
    /// Where key material may be in clear
    #[arg(long, value_enum, default_value = "software")]
    protection: Protection,
    /// A label; repeat it for several
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Leave it out of service until it is activated
    #[arg(long)]
    pre_active: bool,
    /// Leave it out of service until this moment, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    activate_at: Option<Timestamp>,
    /// Rotate it by itself whenever its primary version is so old, an hour to ten years [default: never]
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    rotate_every: Option<Duration>,
    #[command(flatten)]
    rewrap: rewrap::Policy,
    /// Let admins have its material out, wrapped; never to be changed [protection SOFTWARE only]
    #[arg(long)]
    exportable: bool,
}

/// How a public key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum PublicFormat {
    /// Text, as openssl and most others read it
    #[default]
    Pem,
    /// Bytes
    Der,
    /// A JSON Web Key
    Jwk,
}

#[derive(Debug, Args)]
pub(crate) struct PublicArgs {
    /// The key's name
    #[arg(value_parser = key_name)]
    name: String,
    /// The key version [default: the primary one]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    format: PublicFormat,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RotationArgs {
    /// The key's name
    #[arg(value_parser = key_name)]
    name: String,
    /// How old a primary version may become, an hour to ten years
    #[arg(long, value_name = "PERIOD", value_parser = period, required_unless_present = "never")]
    every: Option<Duration>,
    /// Only by hand
    #[arg(long, conflicts_with = "every")]
    never: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    #[command(flatten)]
    which: TransitionArgs,
    /// How long it can be cancelled, 1 to 90 days
    #[arg(long, value_name = "PERIOD", value_parser = waiting_period, default_value = "30d")]
    after: Duration,
    /// However lately it was used
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TransitionArgs {
    /// The key's name
    #[arg(value_parser = key_name)]
    name: String,
    /// Only this version [default: the key as a whole]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
}

pub(crate) async fn run(command: KeyCommand, session: &Session) -> Result<(), CliError> {
    let client = session.client()?;
    let key = match command {
        KeyCommand::Public(args) => return public(&client, args, session).await,
        KeyCommand::Certificate(args) => return proof::certificate(args, session).await,
        KeyCommand::History(args) => return history::run(&client, args, session).await,
        KeyCommand::List(args) => return finding::list(&client, args, session).await,
        KeyCommand::Label(args) => client.update_key_labels(args.request()?).await,
        KeyCommand::Rewrap(args) => {
            let key = rewrap::run(&client, args, session).await?;
            return rewrap::shown(&key, session);
        }
        KeyCommand::Export(args) => return import::export(&client, args).await,
        KeyCommand::Import(args) => Ok(import::import(&client, args).await?),
        KeyCommand::SetRewrap(args) => client.set_rewrap_policy(args.into()).await,
        KeyCommand::Create(args) => client.create_key(creation(args)?).await,
        KeyCommand::Get { name } => {
            client
                .get_key(v1::GetKeyRequest {
                    name,
                    ..v1::GetKeyRequest::default()
                })
                .await
        }
        KeyCommand::Rotate { name } => {
            client
                .rotate_key(v1::RotateKeyRequest {
                    name,
                    request_id: Vec::new(),
                })
                .await
        }
        KeyCommand::Activate(args) => client.activate_key(args.into()).await,
        KeyCommand::Suspend(args) => client.suspend_key(args.into()).await,
        KeyCommand::Resume(args) => client.resume_key(args.into()).await,
        KeyCommand::Deactivate(args) => client.deactivate_key(args.into()).await,
        KeyCommand::Compromise(args) => client.mark_key_compromised(args.into()).await,
        KeyCommand::Destroy(args) => client.schedule_key_destruction(args.into()).await,
        KeyCommand::CancelDestroy(args) => client.cancel_key_destruction(args.into()).await,
        KeyCommand::SetRotation(RotationArgs { name, every, .. }) => {
            client
                .set_key_rotation(v1::SetKeyRotationRequest {
                    request_id: Vec::new(),
                    name,
                    rotation_period: every,
                })
                .await
        }
    }?;
    session
        .output
        .print(|| show::key_text(&key), || show::key_json(&key))
}

impl From<TransitionArgs> for v1::TransitionRequest {
    fn from(args: TransitionArgs) -> Self {
        let TransitionArgs { name, version } = args;
        Self {
            request_id: Vec::new(),
            name,
            version: version.unwrap_or(0),
        }
    }
}

impl From<DestroyArgs> for v1::ScheduleKeyDestructionRequest {
    fn from(args: DestroyArgs) -> Self {
        let TransitionArgs { name, version } = args.which;
        Self {
            request_id: Vec::new(),
            name,
            version: version.unwrap_or(0),
            waiting_period: Some(args.after),
            force: args.force,
        }
    }
}

pub(super) fn creation(args: CreateArgs) -> Result<v1::CreateKeyRequest, CliError> {
    let protection = match args.protection {
        Protection::Hsm => v1::Protection::Hsm,
        Protection::Software => v1::Protection::Software,
    };
    Ok(v1::CreateKeyRequest {
        request_id: Vec::new(),
        name: args.name,
        algorithm: v1::Algorithm::from(args.algorithm).into(),
        protection: protection.into(),
        labels: context(args.labels)?,
        pre_active: args.pre_active || args.activate_at.is_some(),
        activate_at: args.activate_at,
        rotation_period: args.rotate_every,
        rewrap_policy: Some(args.rewrap.into()),
        exportable: args.exportable,
    })
}

async fn public(client: &Client, args: PublicArgs, session: &Session) -> Result<(), CliError> {
    let request = v1::GetPublicKeyRequest {
        name: args.name,
        version: args.version.unwrap_or(0),
        ..v1::GetPublicKeyRequest::default()
    };
    let key = client.get_public_key(request).await?;
    if args.format == PublicFormat::Jwk && key.jwk.is_empty() {
        return Err(CliError::Usage {
            problem: format!("no JSON Web Key is settled for keys as {} is", key.name),
            remedy: "take the public key as --format pem or der",
        });
    }
    let bytes = match args.format {
        PublicFormat::Pem => key.pem.clone().into_bytes(),
        PublicFormat::Der => key.der.clone(),
        PublicFormat::Jwk => format!("{}\n", key.jwk).into_bytes(),
    };
    if session.output.is_json() && args.out.is_none() {
        return session
            .output
            .print(String::new, || show::public_key_json(&key));
    }
    if args.out.is_none() && args.format != PublicFormat::Der {
        return output::bytes(&bytes);
    }
    let mut out = Destination::open(args.out.as_deref(), false)?;
    let written = out.writer().write_all(&bytes).await;
    written.map_err(CliError::file("write", out.path()))?;
    out.finish().await
}
