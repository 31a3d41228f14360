//! Why a call fails, and the one place where gRPC codes are born.

use crate::custody::ShareProblem;
use crate::page_token::PageTokenError;
use conclave_core::limits::DATA_KEYS_MAX;
use conclave_core::{DataKeyId, Denial, NodeId, Refusal, UseRefusal};
use conclave_crypto::CryptoError;
use conclave_env::{HsmError, StoreError};
use conclave_raft::RaftError;
use std::collections::HashMap;
use std::fmt::Display;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of our reasons in `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "conclave.v1";

/// Why a call fails. The text says what was wrong and what to do about it, and never holds a secret.
#[derive(Clone, Debug, Error)]
pub enum ServiceError {
    /// A field of the request breaks its rules.
    #[error("{field}: {rule}")]
    Invalid {
        /// As in the `.proto` file.
        field: &'static str,
        /// What it must be.
        rule: String,
    },
    /// A page token is none, or that of another list.
    #[error("page_token: {0}")]
    PageToken(#[from] PageTokenError),
    /// The caller may not use the key, or its state forbids it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The caller may not see this.
    #[error("the caller may not {action}: it takes {takes}")]
    Forbidden {
        /// A verb and its object.
        action: &'static str,
        /// The roles that would do.
        takes: &'static str,
    },
    /// A write was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A ciphertext does not open.
    #[error("{0}")]
    Ciphertext(CryptoError),
    /// A message authentication code is another one's.
    #[error(
        "the code is not that of this message under version {version} of key {key}: either was changed, or it was made \
         under another version, which must then be named"
    )]
    MacInvalid {
        /// The key's name.
        key: String,
        /// The version's number.
        version: u32,
    },
    /// A signature is another one's.
    #[error(
        "the signature is not that of this message under version {version} of key {key}, by this scheme: it was made of \
         another message, by another scheme, or under another version, which must then be named"
    )]
    SignatureInvalid {
        /// The key's name.
        key: String,
        /// The version's number.
        version: u32,
    },
    /// What was encrypted with a public key does not open. Why not is not said: whoever is told can decrypt.
    #[error(
        "the ciphertext does not open under version {version} of key {key}: it was changed, has another label, or was \
         made with another public key or under another version, which must then be named"
    )]
    DoesNotOpen {
        /// The key's name.
        key: String,
        /// The version's number.
        version: u32,
    },
    /// The public key of another is none that the key can agree with.
    #[error("peer_public_key: {0}")]
    PublicKeyInvalid(CryptoError),
    /// The ciphertext is of another key than the one named.
    #[error(
        "the ciphertext was made under key {actual}, not under {named}: name that key, or none"
    )]
    KeyMismatch {
        /// In the request.
        named: String,
        /// In the ciphertext.
        actual: String,
    },
    /// The ciphertext's key is not in this cluster.
    #[error("the ciphertext was made under a key that this cluster does not have")]
    UnknownKeyId,
    /// Imported bytes are not what they should be.
    #[error(
        "the wrapped key does not unwrap, or is no key for {algorithm}: wrap {takes} with the public key of this import job, as \
         `conclave key import` does"
    )]
    WrappedKeyInvalid {
        /// Of the key.
        algorithm: &'static str,
        /// What is to be wrapped.
        takes: &'static str,
    },
    /// No such registered data key.
    #[error("there is no registered data key {0}: it was deleted, or never was")]
    UnknownDataKey(DataKeyId),
    /// The context given is another one.
    #[error("data key {0} has another context: give its own, or none (see `conclave datakey get`)")]
    ContextMismatch(DataKeyId),
    /// There are as many registered data keys as there may be.
    #[error(
        "the cluster holds {DATA_KEYS_MAX} registered data keys, as many as it may: delete some, or keep data keys wrapped \
         beside the data, without registering them"
    )]
    DataKeysFull,
    /// Wrapped material does not open: somebody changed what is on the disks.
    #[error(
        "the material of version {version} of key {key} was tampered with or damaged on this node: \
         call the security officer, and use another node meanwhile"
    )]
    Tampered {
        /// The key's name.
        key: String,
        /// The version's number.
        version: u32,
    },
    /// A share is wrong.
    #[error(transparent)]
    Share(#[from] ShareProblem),
    /// The node is sealed.
    #[error("node {node} is sealed ({reason}): try another node, or have it unsealed")]
    Sealed {
        /// Which node.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// The node is unsealed already.
    #[error("node {node} is unsealed already")]
    NotSealed {
        /// Which node.
        node: NodeId,
    },
    /// There was no ceremony yet.
    #[error("the root key has not been made yet: run `conclave custody init`")]
    NoCustody,
    /// No quorum, no leader.
    #[error(
        "no quorum of the cluster can be reached from this node ({why}): nothing was done, try another node"
    )]
    NoQuorum {
        /// As replication has it.
        why: String,
    },
    /// Perhaps done, perhaps not.
    #[error(
        "the answer of the cluster was lost ({why}): repeat the request with the same request id"
    )]
    Unknown {
        /// As replication has it.
        why: String,
    },
    /// The node's storage failed.
    #[error("this node's storage failed: {fault}")]
    Storage {
        /// What, and what to do.
        fault: String,
    },
    /// The HSM failed.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// Time is up.
    #[error("the deadline passed before the cluster answered ({why}): nothing was given out")]
    Deadline {
        /// What was waited for.
        why: String,
    },
    /// Too much at once.
    #[error("the node has {what}, as many as it may: retry with a pause")]
    Overloaded {
        /// What there is too much of.
        what: &'static str,
    },
    /// Key, rules or custody changed again and again meanwhile.
    #[error("what the request depends on changed again and again meanwhile: retry")]
    Contended,
    /// The HSM lacks what the key would need.
    #[error(
        "the HSM of this node ({hsm}) does not offer {algorithm}: choose another algorithm, or protection SOFTWARE"
    )]
    NotOffered {
        /// Module and token.
        hsm: String,
        /// The key's.
        algorithm: &'static str,
    },
    /// Nothing certifies what has not come to pass.
    #[error("{0} is not destroyed: there is nothing to certify yet")]
    NotDestroyed(String),
    /// The HSM does not unwrap by this method.
    #[error("the HSM of this node ({hsm}) imports nothing by {method}: {instead}")]
    MethodNotOffered {
        /// Module and token.
        hsm: String,
        /// Of the import job.
        method: &'static str,
        /// What to do.
        instead: String,
    },
    /// The HSM does not look at labels, or refuses them.
    #[error(
        "the HSM of this node ({hsm}) opens what has an empty label only: encrypt without one, or choose protection SOFTWARE"
    )]
    LabelNotOffered {
        /// Module and token.
        hsm: String,
    },
    /// The HSM makes such keys, and takes none in.
    #[error(
        "the HSM of this node ({hsm}) takes in no {algorithm} keys from outside: have it make one, or import at protection \
         SOFTWARE"
    )]
    NotImported {
        /// Module and token.
        hsm: String,
        /// The key's.
        algorithm: &'static str,
    },
    /// The node stops.
    #[error("this node is stopping: try another one")]
    Stopping,
    /// The cluster runs a newer version than this node.
    #[error("the cluster speaks a newer format than this node: upgrade the node")]
    Outdated,
}

impl ServiceError {
    /// A field that breaks its rules.
    pub fn invalid(field: &'static str, rule: impl Display) -> Self {
        let rule = format!("{rule}");
        Self::Invalid { field, rule }
    }

    /// For programs: stable.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "INVALID_REQUEST",
            Self::PageToken(_) => "PAGE_TOKEN_INVALID",
            Self::Denied(denial) => denial.refusal().as_str(),
            Self::Forbidden { .. } => "PERMISSION_DENIED",
            Self::Refused(refusal) => refusal.reason(),
            Self::Ciphertext(_) | Self::DoesNotOpen { .. } => "CIPHERTEXT_INVALID",
            Self::PublicKeyInvalid(_) => "PUBLIC_KEY_INVALID",
            Self::MacInvalid { .. } => "MAC_INVALID",
            Self::SignatureInvalid { .. } => "SIGNATURE_INVALID",
            Self::KeyMismatch { .. } => "KEY_MISMATCH",
            Self::UnknownKeyId => "KEY_NOT_FOUND",
            Self::UnknownDataKey(_) => "DATA_KEY_NOT_FOUND",
            Self::WrappedKeyInvalid { .. } => "WRAPPED_KEY_INVALID",
            Self::ContextMismatch(_) => "CONTEXT_MISMATCH",
            Self::DataKeysFull => "LIMIT_REACHED",
            Self::Tampered { .. } => "MATERIAL_TAMPERED",
            Self::Share(problem) => problem.reason(),
            Self::Sealed { .. } => "NODE_SEALED",
            Self::NotSealed { .. } => "NODE_UNSEALED",
            Self::NoCustody => "CUSTODY_NOT_INITIALIZED",
            Self::NoQuorum { .. } => "NO_QUORUM",
            Self::Unknown { .. } => "OUTCOME_UNKNOWN",
            Self::Storage { .. } => "STORAGE_FAILED",
            Self::Hsm(_) => "HSM_FAILED",
            Self::Deadline { .. } => "DEADLINE_EXCEEDED",
            Self::Overloaded { .. } => "OVERLOADED",
            Self::Contended => "CONTENDED",
            Self::NotOffered { .. }
            | Self::MethodNotOffered { .. }
            | Self::LabelNotOffered { .. }
            | Self::NotImported { .. } => "HSM_NOT_OFFERED",
            Self::NotDestroyed(_) => "NOT_DESTROYED",
            Self::Stopping => "NODE_STOPPING",
            Self::Outdated => "NODE_OUTDATED",
        }
    }

    /// The canonical code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { .. }
            | Self::PageToken(_)
            | Self::Ciphertext(_)
            | Self::MacInvalid { .. }
            | Self::SignatureInvalid { .. }
            | Self::ContextMismatch(_)
            | Self::WrappedKeyInvalid { .. }
            | Self::DoesNotOpen { .. }
            | Self::PublicKeyInvalid(_)
            | Self::KeyMismatch { .. } => Code::InvalidArgument,
            Self::Denied(denial) => denial_code(denial),
            Self::Forbidden { .. } => Code::PermissionDenied,
            Self::Refused(refusal) => refusal_code(refusal),
            Self::UnknownKeyId | Self::UnknownDataKey(_) => Code::NotFound,
            Self::Tampered { .. } => Code::DataLoss,
            Self::Share(problem) => problem.code(),
            Self::NotSealed { .. }
            | Self::NoCustody
            | Self::NotOffered { .. }
            | Self::NotDestroyed(_)
            | Self::MethodNotOffered { .. }
            | Self::LabelNotOffered { .. }
            | Self::NotImported { .. } => Code::FailedPrecondition,
            Self::Sealed { .. }
            | Self::NoQuorum { .. }
            | Self::Unknown { .. }
            | Self::Storage { .. }
            | Self::Hsm(_)
            | Self::Stopping
            | Self::Outdated => Code::Unavailable,
            Self::Deadline { .. } => Code::DeadlineExceeded,
            Self::Overloaded { .. } | Self::DataKeysFull => Code::ResourceExhausted,
            Self::Contended => Code::Aborted,
        }
    }

    /// For the audit log, if the use is to be recorded.
    pub fn use_refusal(&self) -> Option<UseRefusal> {
        match self {
            Self::Denied(denial) => Some(denial.refusal()),
            Self::Ciphertext(_) | Self::DoesNotOpen { .. } => Some(UseRefusal::CiphertextInvalid),
            Self::PublicKeyInvalid(_) => Some(UseRefusal::PublicKeyInvalid),
            Self::MacInvalid { .. } => Some(UseRefusal::MacInvalid),
            Self::SignatureInvalid { .. } => Some(UseRefusal::SignatureInvalid),
            Self::KeyMismatch { .. } => Some(UseRefusal::KeyMismatch),
            Self::Tampered { .. } => Some(UseRefusal::MaterialTampered),
            Self::UnknownKeyId => Some(UseRefusal::KeyNotFound),
            Self::ContextMismatch(_) => Some(UseRefusal::ContextMismatch),
            Self::DataKeysFull => Some(UseRefusal::LimitReached),
            Self::Invalid { .. }
            | Self::UnknownDataKey(_)
            | Self::PageToken(_)
            | Self::WrappedKeyInvalid { .. }
            | Self::Forbidden { .. }
            | Self::Refused(_)
            | Self::Share(_)
            | Self::Sealed { .. }
            | Self::NotSealed { .. }
            | Self::NoCustody
            | Self::NoQuorum { .. }
            | Self::Unknown { .. }
            | Self::Storage { .. }
            | Self::Hsm(_)
            | Self::Deadline { .. }
            | Self::Overloaded { .. }
            | Self::Contended
            | Self::NotOffered { .. }
            | Self::NotDestroyed(_)
            | Self::MethodNotOffered { .. }
            | Self::LabelNotOffered { .. }
            | Self::NotImported { .. }
            | Self::Stopping
            | Self::Outdated => None,
        }
    }
}

fn denial_code(denial: &Denial) -> Code {
    match denial {
        Denial::Permission { .. } | Denial::Export { .. } | Denial::Compromised { .. } => {
            Code::PermissionDenied
        }
        Denial::KeyNotFound(_) | Denial::VersionNotFound { .. } => Code::NotFound,
        Denial::State { .. }
        | Denial::Purpose { .. }
        | Denial::NoPublicKey { .. }
        | Denial::NotExportable(_) => Code::FailedPrecondition,
    }
}

fn refusal_code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::PermissionDenied(_) => Code::PermissionDenied,
        Refusal::KeyNotFound(_)
        | Refusal::VersionNotFound { .. }
        | Refusal::DataKeyNotFound(_)
        | Refusal::ImportJobNotFound(_)
        | Refusal::AliasNotFound(_) => Code::NotFound,
        Refusal::KeyExists(_) | Refusal::AliasExists { .. } => Code::AlreadyExists,
        Refusal::WrongState { .. }
        | Refusal::NotRotatable { .. }
        | Refusal::RecentlyUsed { .. }
        | Refusal::DataKeysLeft { .. }
        | Refusal::Destroyed(_)
        | Refusal::ImportJobExpired { .. }
        | Refusal::ImportJobUsed(_)
        | Refusal::ImportJobElsewhere { .. }
        | Refusal::ImportJobProtection { .. }
        | Refusal::CustodySettled
        | Refusal::NoCustody
        | Refusal::LastAdmin
        | Refusal::NamedByAlias { .. }
        | Refusal::AliasPurpose { .. }
        | Refusal::AliasMoved { .. } => Code::FailedPrecondition,
        Refusal::NotFormed => Code::Unavailable,
        Refusal::Conflict => Code::Aborted,
        Refusal::LimitReached { .. } => Code::ResourceExhausted,
        Refusal::Malformed(_)
        | Refusal::StaleSet
        | Refusal::RequestReused
        | Refusal::AliasKeyring { .. } => Code::InvalidArgument,
    }
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        let details = ErrorDetails::with_error_info(error.reason(), ERROR_DOMAIN, HashMap::new());
        Status::with_error_details(error.code(), error.to_string(), details)
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        Self::Storage {
            fault: error.to_string(),
        }
    }
}

impl From<RaftError> for ServiceError {
    fn from(error: RaftError) -> Self {
        Self::Storage {
            fault: error.to_string(),
        }
    }
}
