//! What clients ask for.

use super::{Changed, DataKeyPlace, MessageId, ProofId, ProofKind, Right, SecretKind};
use conclave_core::Transition;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A new key; `later`: it begins `PRE_ACTIVE`.
    CreateKey {
        /// Its name.
        key: String,
        /// Whether it begins `PRE_ACTIVE`.
        later: bool,
    },
    /// A new key that begins `PRE_ACTIVE`, and that a tick activates on its date.
    CreateDatedKey {
        /// Its name.
        key: String,
        /// Milliseconds since 1970.
        date_ms: u64,
    },
    /// A new primary version.
    RotateKey {
        /// Which key.
        key: String,
    },
    /// Another state.
    Transition {
        /// Which key.
        key: String,
        /// `None`: the key as a whole.
        version: Option<u32>,
        /// Which way.
        transition: Transition,
    },
    /// The end of a key or of one version, a day later.
    Destroy {
        /// Which key.
        key: String,
        /// `None`: the key as a whole.
        version: Option<u32>,
        /// However lately it was used.
        force: bool,
    },
    /// A role is given.
    Grant(Right),
    /// A role is taken.
    Revoke(Right),
    /// One message, or a batch.
    Encrypt {
        /// Under which key, or by which alias.
        key: String,
        /// `None`: the primary one.
        version: Option<u32>,
        /// In clear, each different from all others of the run.
        plaintexts: Vec<Vec<u8>>,
    },
    /// A data key.
    DataKey {
        /// Under which key.
        key: String,
    },
    /// A data key that the cluster keeps.
    Register {
        /// Under which key.
        key: String,
    },
    /// A data key that the cluster keeps is opened.
    OpenDataKey(DataKeyPlace),
    /// The end of such a data key.
    DeleteDataKey(DataKeyPlace),
    /// Another name for a key.
    SetAlias {
        /// The name.
        alias: String,
        /// Of which key, of the same keyring.
        key: String,
        /// It is there already, and led to some key.
        moves: bool,
    },
    /// The end of such a name.
    DeleteAlias {
        /// The name.
        alias: String,
    },
    /// A record of the audit log, proved.
    ProveRecord {
        /// Its number.
        sequence: u64,
    },
    /// One message, or a batch.
    Decrypt {
        /// Which.
        messages: Vec<MessageId>,
    },
    /// Decrypted and encrypted inside the node, under the same key.
    ReEncrypt {
        /// Which.
        message: MessageId,
    },
    /// A code or a signature.
    Prove {
        /// Which of them.
        kind: ProofKind,
        /// By which key.
        key: String,
        /// `None`: the primary one.
        version: Option<u32>,
        /// Of what.
        message: Vec<u8>,
    },
    /// A secret that a key shares with somebody.
    Share {
        /// How.
        kind: SecretKind,
        /// Which key.
        key: String,
        /// `None`: the primary one.
        version: Option<u32>,
    },
    /// A code or a signature is verified, under the version that made it.
    Check {
        /// Which.
        kind: ProofKind,
        /// Which one.
        proof: ProofId,
        /// What of it was changed meanwhile.
        changed: Changed,
    },
    /// Another rotation period, or none.
    SetRotation {
        /// Of which key.
        key: String,
        /// In milliseconds; `None`: it is rotated by hand only.
        every_ms: Option<u64>,
    },
    /// Random bytes.
    Random,
    /// A linearizable read.
    GetKey {
        /// Which.
        key: String,
    },
    /// A linearizable read of the audit log's root.
    ReadRoot,
}

impl Asked {
    /// The operation's name in the audit log; `None` for what is not recorded.
    pub fn operation(&self) -> Option<&'static str> {
        Some(match self {
            Self::CreateKey { .. } | Self::CreateDatedKey { .. } => "CreateKey",
            Self::RotateKey { .. } => "RotateKey",
            Self::Transition { transition, .. } => transition.operation(),
            Self::Destroy { .. } => Transition::ScheduleDestruction.operation(),
            Self::Grant(_) => "Grant",
            Self::Revoke(_) => "Revoke",
            Self::Encrypt { .. } => "Encrypt",
            Self::DataKey { .. } | Self::Register { .. } => "GenerateDataKey",
            Self::OpenDataKey(_) => "DecryptDataKey",
            Self::DeleteDataKey(_) => "DeleteDataKey",
            Self::SetAlias { moves: false, .. } => "CreateAlias",
            Self::SetAlias { moves: true, .. } => "UpdateAlias",
            Self::DeleteAlias { .. } => "DeleteAlias",
            Self::Decrypt { .. } => "Decrypt",
            Self::ReEncrypt { .. } => "ReEncrypt",
            Self::Prove { kind, .. } => match kind {
                ProofKind::Code => "GenerateMac",
                ProofKind::Signature => "Sign",
            },
            Self::Check { kind, .. } => match kind {
                ProofKind::Code => "VerifyMac",
                ProofKind::Signature => "Verify",
            },
            Self::Share { kind, .. } => match kind {
                SecretKind::Agreed => "DeriveSharedSecret",
                SecretKind::Decapsulated => "Decapsulate",
            },
            Self::SetRotation { .. } => "SetKeyRotation",
            Self::Random => "GenerateRandom",
            Self::GetKey { .. } | Self::ReadRoot | Self::ProveRecord { .. } => return None,
        })
    }

    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        match self {
            Self::CreateKey { .. }
            | Self::CreateDatedKey { .. }
            | Self::RotateKey { .. }
            | Self::Transition { .. }
            | Self::Destroy { .. }
            | Self::SetRotation { .. }
            | Self::DeleteDataKey(_)
            | Self::SetAlias { .. }
            | Self::DeleteAlias { .. }
            | Self::Grant(_)
            | Self::Revoke(_) => true,
            Self::Encrypt { .. }
            | Self::DataKey { .. }
            | Self::Decrypt { .. }
            | Self::ReEncrypt { .. }
            | Self::Prove { .. }
            | Self::Check { .. }
            | Self::Random
            | Self::Share { .. }
            | Self::Register { .. }
            | Self::OpenDataKey(_)
            | Self::ProveRecord { .. }
            | Self::GetKey { .. }
            | Self::ReadRoot => false,
        }
    }
}

impl Asked {
    /// In a line; plaintexts by their number.
    pub fn brief(&self) -> String {
        match self {
            Self::Encrypt {
                key,
                version,
                plaintexts,
            } => format!("Encrypt {} under {key} {version:?}", plaintexts.len()),
            Self::Decrypt { messages } if messages.len() > 3 => {
                format!("Decrypt {} messages", messages.len())
            }
            Self::Prove {
                kind, key, version, ..
            } => format!("Prove by {kind:?} under {key} {version:?}"),
            other => format!("{other:?}"),
        }
    }
}
