//! What can be typed.

use crate::commands::{
    access, alias, audit, cluster, completions, crypt, custody, datakey, import, key, mac, random,
    receive, reencrypt, sign,
};
use crate::output::Format;
use crate::parse::{endpoints, timeout};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

const ABOUT: &str = "Keys that no single machine and no single person can lose or reveal";

const EXAMPLES: &str = "\
A first session:
  conclave status                                  which nodes there are, and how they are
  conclave key create payments/card-pan            a key in the keyring 'payments'
  conclave encrypt payments/card-pan --in a.txt --out a.enc --context order=17
  conclave decrypt --in a.enc --context order=17   through any node
  conclave audit list --limit 5                    the record of what you did

Connection: from the options, else from a --profile, else from the environment
(CONCLAVE_ENDPOINTS with commas between the nodes, CONCLAVE_CA, CONCLAVE_CERT,
CONCLAVE_CERT_KEY), else from the default profile of ~/.config/conclave/config.toml, or of the
file that CONCLAVE_CONFIG names:
  default = \"prod\"
  [profiles.prod]
  endpoints = [\"kms1.example:7101\", \"kms2.example:7101\"]
  ca = \"ca.pem\"            # relative to this file
  cert = \"alice.pem\"
  cert_key = \"alice.key\"

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Standard output carries only what
was asked for.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "conclave", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
#[command(propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Connection and output")]
pub(crate) struct Global {
    /// A node, HOST:PORT; repeat it for several, the first one that answers is used
    #[arg(long = "endpoint", global = true, value_name = "HOST:PORT", value_parser = endpoints)]
    pub(crate) endpoints: Vec<String>,
    /// The cluster's certificate authority, a PEM file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Your certificate, a PEM file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key, a PEM file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cert_key: Option<PathBuf>,
    /// A profile of ~/.config/conclave/config.toml
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// How to print results and errors
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// How long one call may take, over all nodes: 500ms, 10s, 2m [default: 10s, custody 30s]
    #[arg(long, global = true, value_name = "TIME", value_parser = timeout)]
    pub(crate) timeout: Option<Duration>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every node: leader, seal, lag, audit size and root
    #[command(after_help = crate::commands::status::HELP)]
    Status,
    /// The root key and its custodians: the ceremony, unseal, seal
    #[command(subcommand)]
    Custody(custody::CustodyCommand),
    /// Create keys and move them through their life
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Other names for keys, which can be moved from one to another
    #[command(subcommand)]
    Alias(alias::AliasCommand),
    /// Public keys to wrap own key material with, on its way into the cluster
    #[command(subcommand)]
    ImportJob(import::ImportJobCommand),
    /// Encrypt a file or a pipe, of any size
    Encrypt(crypt::EncryptArgs),
    /// Decrypt what encrypt made
    Decrypt(crypt::DecryptArgs),
    /// Keys to encrypt data with yourself: drawn, kept by the cluster, opened again
    #[command(subcommand)]
    Datakey(datakey::DatakeyCommand),
    /// Bring a ciphertext under the newest version, or under another key, inside the cluster
    Reencrypt(reencrypt::ReencryptArgs),
    /// Make or verify a message authentication code
    Mac(mac::MacArgs),
    /// Sign a message, or a digest of it
    Sign(sign::SignArgs),
    /// Verify a signature
    Verify(sign::VerifyArgs),
    /// Decrypt what somebody encrypted with a key's public key
    AsymmetricDecrypt(receive::AsymmetricDecryptArgs),
    /// Open the secret that somebody encapsulated with a key's public key
    Decapsulate(receive::DecapsulateArgs),
    /// Agree upon a secret with the owner of another key
    Agree(receive::AgreeArgs),
    /// Random bytes from a node's HSM
    Random(random::RandomArgs),
    /// The audit log: every use of every key
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The nodes
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Who may do what
    #[command(subcommand)]
    Access(access::AccessCommand),
    /// Print completions for a shell
    #[command(after_help = completions::HELP)]
    Completions(completions::CompletionsArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    const RIGHT: &[&str] = &[
        "conclave status",
        "conclave status --endpoint a:1 --endpoint b:2 --output json --timeout 3s",
        "conclave custody init --custodian a=age1x --custodian b=age1y --threshold 2 --out d",
        "conclave custody keygen --out id.txt",
        "conclave custody unseal --share s.age --identity id.txt",
        "conclave custody status",
        "conclave custody cancel",
        "conclave custody seal --node 2",
        "conclave custody seal --all",
        "conclave key create a/b --algorithm aes-256-gcm --protection hsm --pre-active",
        "conclave key create a/b --activate-at 2030-01-01T00:00:00Z",
        "conclave key list",
        "conclave key list a/",
        "conclave key list a/ --label k=v --label l --state pre-active --purpose sign",
        "conclave key list --algorithm ed25519 --protection hsm",
        "conclave key list --purpose asymmetric-decrypt",
        "conclave key list --purpose agree",
        "conclave key history a/b",
        "conclave alias set a/x a/b",
        "conclave alias set a/x a/b --from a/c",
        "conclave alias delete a/x",
        "conclave alias list",
        "conclave alias list a/ --key a/b",
        "conclave key label a/b k=v l=w --remove m",
        "conclave key label a/b --remove m --remove n",
        "conclave key get a/b",
        "conclave key rotate a/b",
        "conclave key suspend a/b --version 3",
        "conclave key compromise a/b --version 3",
        "conclave key create a/b --algorithm chacha20-poly1305 --rotate-every 90d",
        "conclave key set-rotation a/b --every 12h",
        "conclave key set-rotation a/b --never",
        "conclave key destroy a/b",
        "conclave key destroy a/b --version 2 --after 90d --force",
        "conclave key cancel-destroy a/b --version 2",
        "conclave encrypt a/b --context k=v --in f --out g",
        "conclave decrypt --key a/b --context k=v --base64",
        "conclave datakey generate a/b --plaintext-out f",
        "conclave datakey generate a/b --register --label disk=7 --context a=b",
        "conclave datakey decrypt 8f14e45fceea167a5a36dedd4bea2543 --out f",
        "conclave datakey get 8f14e45fceea167a5a36dedd4bea2543",
        "conclave datakey list a/b --version 2 --label disk=7",
        "conclave datakey delete 8f14e45fceea167a5a36dedd4bea2543",
        "conclave key create a/b --rewrap-by-hand --deactivate-old-versions",
        "conclave key rewrap a/b --wait",
        "conclave key create a/b --exportable",
        "conclave import-job create a --method rsa4096 --lifetime 30m --out f",
        "conclave import-job create a --method rsa3072-sha1 --protection hsm",
        "conclave import-job wrap --method rsa4096-sha1 --public-key f --material g",
        "conclave key import a/b --material f --protection hsm",
        "conclave key create a/b --algorithm rsa-oaep-2048-sha-1 --protection hsm",
        "conclave import-job get 8f14e45fceea167a5a36dedd4bea2543",
        "conclave import-job list",
        "conclave import-job wrap --public-key f --material g --out h",
        "conclave key import a/b --material f --algorithm ed25519",
        "conclave key import a/b --wrapped f --job 8f14e45fceea167a5a36dedd4bea2543 --as-version",
        "conclave key export a/b --to-public-key f --out g",
        "conclave key export a/b --version 2 --to-key a/c --context x=y --out g",
        "conclave key set-rewrap a/b --rewrap-by-hand",
        "conclave reencrypt --in f --out g --to a/c",
        "conclave mac a/b --in f",
        "conclave sign a/b --in f --out s",
        "conclave sign a/b --digest 00ff --scheme ecdsa-raw --version 2",
        "conclave verify a/b --in f --signature 00ff",
        "conclave verify a/b --digest 00ff --signature-file s --scheme rsa-pkcs1-sha-512",
        "conclave key public a/b",
        "conclave key public a/b --version 3 --format jwk --out f",
        "conclave mac a/b --version 2 --verify 00ff",
        "conclave key create a/b --algorithm rsa-oaep-3072 --protection hsm",
        "conclave key create a/b --algorithm ml-kem-768",
        "conclave key create a/b --algorithm x25519",
        "conclave key create a/b --algorithm ecdh-p256",
        "conclave asymmetric-decrypt a/b --version 2 --label order-17 --in f --out g",
        "conclave decapsulate a/b --version 1 --in f --out g",
        "conclave agree a/b --version 1 --peer f --out g",
        "conclave random 32",
        "conclave audit list --start 3 --limit 7",
        "conclave audit tail",
        "conclave audit prove 3 4 --out f",
        "conclave audit verify f --verifier-key k",
        "conclave key certificate a/b --version 2 --out f",
        "conclave audit root --all",
        "conclave cluster members",
        "conclave access grant bob user payments",
        "conclave access revoke bob admin *",
        "conclave access list",
        "conclave access whoami",
        "conclave completions bash",
    ];

    #[test]
    fn every_command_of_the_design_parses() {
        for line in RIGHT {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    const WRONG: &[(&str, ErrorKind)] = &[
        (
            "conclave",
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ),
        ("conclave help", ErrorKind::DisplayHelp),
        ("conclave help key create", ErrorKind::DisplayHelp),
        ("conclave key create Payments/x", ErrorKind::ValueValidation),
        ("conclave key create payments", ErrorKind::ValueValidation),
        ("conclave key create a/../b", ErrorKind::ValueValidation),
        (
            "conclave encrypt a/b --context novalue",
            ErrorKind::ValueValidation,
        ),
        ("conclave random 0", ErrorKind::ValueValidation),
        (
            "conclave agree a/b --out f",
            ErrorKind::MissingRequiredArgument,
        ),
        ("conclave key label a/b", ErrorKind::MissingRequiredArgument),
        ("conclave key label a/b k", ErrorKind::ValueValidation),
        ("conclave alias set a/x b", ErrorKind::ValueValidation),
        ("conclave key list --label =v", ErrorKind::ValueValidation),
        ("conclave key list --state alive", ErrorKind::InvalidValue),
        ("conclave mac a/b --verify 0xff", ErrorKind::ValueValidation),
        (
            "conclave verify a/b --in f",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "conclave sign a/b --in f --digest 00ff",
            ErrorKind::ArgumentConflict,
        ),
        (
            "conclave key set-rotation a/b",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "conclave key set-rotation a/b --every 90d --never",
            ErrorKind::ArgumentConflict,
        ),
        (
            "conclave key destroy a/b --after 12h",
            ErrorKind::ValueValidation,
        ),
        (
            "conclave key destroy a/b --after 91d",
            ErrorKind::ValueValidation,
        ),
        ("conclave random 1025", ErrorKind::ValueValidation),
        ("conclave datakey get 8f14", ErrorKind::ValueValidation),
        (
            "conclave import-job create a --lifetime 8d",
            ErrorKind::ValueValidation,
        ),
        (
            "conclave key import a/b",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "conclave key import a/b --wrapped f",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "conclave key export a/b",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "conclave datakey generate a/b --label disk=7",
            ErrorKind::MissingRequiredArgument,
        ),
        ("conclave status --timeout soon", ErrorKind::ValueValidation),
        ("conclave status --output xml", ErrorKind::InvalidValue),
        (
            "conclave access grant bob root payments",
            ErrorKind::InvalidValue,
        ),
        (
            "conclave custody seal --node 1 --all",
            ErrorKind::ArgumentConflict,
        ),
        (
            "conclave custody init --threshold 2 --out d",
            ErrorKind::MissingRequiredArgument,
        ),
    ];

    #[test]
    fn wrong_usage_is_found_before_anything_is_done() {
        for (line, kind) in WRONG {
            assert_eq!(parse(line).unwrap_err().kind(), *kind, "{line}");
        }
    }

    #[test]
    fn every_command_teaches() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(
                command.get_about().is_some(),
                "{path} says nothing about itself"
            );
            if command.has_subcommands() {
                command.get_subcommands().for_each(|sub| check(sub, &path));
            } else {
                assert!(
                    command.get_after_help().is_some(),
                    "{path} shows no example"
                );
            }
        }
        check(&Cli::command(), "");
    }
}
