//! Why a command ends without having done what was asked.

use conclave_client::ClientError;
use conclave_client::proof::ProofError;
use conclave_crypto::CryptoError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a command ends without having done what was asked.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The cluster refused, or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// A file is there that would be overwritten.
    #[error("{} is there already, and is not overwritten", path.display())]
    Exists { path: PathBuf },
    /// A file is larger than it could be.
    #[error("{} has more than {max} bytes: it is not what it should be", path.display())]
    TooLarge { path: PathBuf, max: u64 },
    /// A share or an identity is not what it should be.
    #[error("{}: {source}", path.display())]
    Custody { path: PathBuf, source: CryptoError },
    /// A file holds no key of the kind that it should.
    #[error("{} is not {expected}", path.display())]
    NoKey {
        path: PathBuf,
        expected: &'static str,
    },
    /// A proof proves nothing.
    #[error("{}: {why}", path.display())]
    Proof { path: PathBuf, why: ProofError },
    /// A profile file or a setting is wrong.
    #[error("{problem}")]
    Settings {
        problem: String,
        remedy: &'static str,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS: {problem}")]
    Tls { problem: String },
    /// Bytes would go to a terminal.
    #[error("the result is binary and standard output is a terminal")]
    Terminal,
    /// Something does not fit what was asked for.
    #[error("{problem}")]
    Usage {
        problem: String,
        remedy: &'static str,
    },
    /// It was said already, node by node, what failed.
    #[error("{problem}")]
    Nodes {
        problem: String,
        remedy: &'static str,
    },
    /// Nobody reads standard output any more.
    #[error("standard output is closed")]
    BrokenPipe,
    /// By a signal.
    #[error("interrupted; what was half done has been removed")]
    Interrupted,
}

impl CliError {
    /// For `map_err` on what is done with a file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// For `map_err` on standard output.
    pub(crate) fn stdout(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        Self::File {
            action: "write",
            path: PathBuf::from("standard output"),
            source,
        }
    }

    /// For programs: stable.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Client(error) => error.reason(),
            Self::File { .. } | Self::BrokenPipe => "IO_FAILED",
            Self::Exists { .. } => "FILE_EXISTS",
            Self::TooLarge { .. } => "FILE_TOO_LARGE",
            Self::Custody { .. } => "SHARE_UNREADABLE",
            Self::NoKey { .. } => "KEY_UNREADABLE",
            Self::Proof { .. } => "PROOF_INVALID",
            Self::Settings { .. } => "BAD_SETTINGS",
            Self::Tls { .. } => "TLS_FAILED",
            Self::Terminal => "TERMINAL",
            Self::Usage { .. } => "USAGE",
            Self::Nodes { .. } => "NODES_FAILED",
            Self::Interrupted => "INTERRUPTED",
        }
    }

    /// What to do about it.
    pub(crate) fn remedy(&self) -> &str {
        match self {
            Self::Client(error) => error.remedy(),
            Self::File { .. } => "check the path, the permissions and the room on the disk",
            Self::Exists { .. } => "name another place, or move the file away yourself",
            Self::TooLarge { .. } => "check that you named the right file",
            Self::NoKey { .. } => {
                "check that you named the right file: see --help for what it is to hold"
            }
            Self::Custody { .. } => "check that share and identity are whole and belong together",
            Self::Proof { .. } => {
                "do not believe it: have another one from whoever gave it to you, and look whether the verifier key is that of this cluster"
            }
            Self::Settings { remedy, .. }
            | Self::Usage { remedy, .. }
            | Self::Nodes { remedy, .. } => remedy,
            Self::Tls { .. } => {
                "check that --ca, --cert and --cert-key name PEM files that belong together"
            }
            Self::Terminal => {
                "add --out FILE, or send it into a pipe; encrypt writes text with --base64"
            }
            Self::BrokenPipe => "nothing",
            Self::Interrupted => "run it again",
        }
    }

    /// 1 refused or failed, 2 wrong usage.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Client(
                ClientError::Endpoint { .. }
                | ClientError::EndpointCount { .. }
                | ClientError::ConnectionCount { .. },
            )
            | Self::Settings { .. }
            | Self::Tls { .. }
            | Self::Terminal
            | Self::Usage { .. } => 2,
            Self::Client(_)
            | Self::File { .. }
            | Self::Exists { .. }
            | Self::TooLarge { .. }
            | Self::Custody { .. }
            | Self::NoKey { .. }
            | Self::Proof { .. }
            | Self::Nodes { .. }
            | Self::BrokenPipe
            | Self::Interrupted => 1,
        }
    }
}
