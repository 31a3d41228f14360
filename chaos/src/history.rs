//! What clients asked for and what they were answered, as they saw it from outside. Written by the simulated
//! workload and by the one of real processes alike, and read by the invariants.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a line for people says more of some calls than of others"
)]

mod recorder;

use conclave_core::{KeyState, Role, Transition};
use std::collections::BTreeMap;
use std::time::Duration;

pub use recorder::{Listener, Recorder, Sealed};

/// A place in the history: when, and in which order among all beginnings and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Counts beginnings and ends from 0. Two moments of one history are never equal.
    pub order: u64,
    /// Since the run began.
    pub at: Duration,
}

/// A role on a keyring (`*`: on all).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Who.
    pub principal: String,
    /// Where.
    pub keyring: String,
    /// What.
    pub role: Role,
}

/// A message of the history, by its place in [`History::messages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(pub usize);

/// A code or signature of the history, by its place in [`History::proofs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProofId(pub usize);

/// What proves that whoever holds a key has seen a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProofKind {
    /// A message authentication code.
    Code,
    /// A signature.
    Signature,
}

/// What is verified in the place of what was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Nothing is changed.
    Nothing,
    /// The message.
    Message,
    /// The code or signature.
    Proof,
}

/// A call of the history, by its place in [`History::calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub usize);

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
        /// Under which key.
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

/// A key as an answer shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySeen {
    /// As a whole.
    pub state: KeyState,
    /// Protects new data.
    pub primary: u32,
    /// By their numbers.
    pub versions: BTreeMap<u32, KeyState>,
}

/// What a client was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A write that is done, or a read, that shows a key.
    Key(KeySeen),
    /// A write that is done and shows nothing.
    Done,
    /// Messages that were encrypted, in the order of what was asked.
    Sealed(Vec<MessageId>),
    /// Messages that were opened, in the order of what was asked; an item may be refused alone, by a reason.
    Opened(Vec<Result<Vec<u8>, String>>),
    /// A code or signature that was made.
    Proved(ProofId),
    /// A code or signature is what it is said to be.
    Verified,
    /// Random bytes.
    Random(Vec<u8>),
    /// The audit log's size and root.
    Root {
        /// Records.
        size: u64,
        /// 32 bytes.
        root: Vec<u8>,
    },
    /// Refused for good, by a stable reason.
    Refused(String),
    /// Nobody knows whether it was done, by a stable reason (or none).
    Unknown(String),
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// As whom.
    pub principal: String,
    /// Names the call in the audit log; empty for reads.
    pub request: Vec<u8>,
    /// What was asked.
    pub asked: Asked,
    /// When.
    pub begun: Moment,
    /// When it was answered, and what; `None` if the client did not live to see it.
    pub ended: Option<(Moment, Answer)>,
}

/// A message that a client was given.
#[derive(Clone, Debug)]
pub struct Message {
    /// Under which key, as the answer says.
    pub key: String,
    /// Under which version, as the answer says.
    pub version: u32,
    /// In clear.
    pub plaintext: Vec<u8>,
    /// As it was given out.
    pub ciphertext: Vec<u8>,
    /// Given when.
    pub given: Moment,
}

/// A code or signature that a client was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Which of them.
    pub kind: ProofKind,
    /// By which key, as the answer says.
    pub key: String,
    /// By which version, as the answer says.
    pub version: u32,
    /// Of what.
    pub message: Vec<u8>,
    /// The code or signature itself.
    pub bytes: Vec<u8>,
}

/// All calls of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In the order in which they began.
    pub calls: Vec<Call>,
    /// In the order in which they were given.
    pub messages: Vec<Message>,
    /// Codes and signatures, in the order in which they were given.
    pub proofs: Vec<Proof>,
    /// Writes that were acknowledged, sent once more under their request ids, and what was answered then.
    pub repeats: Vec<(CallId, Answer)>,
    moments: u64,
    by_request: BTreeMap<Vec<u8>, CallId>,
}

impl Call {
    /// The answer, if there was one.
    pub fn answer(&self) -> Option<&Answer> {
        self.ended.as_ref().map(|(_, answer)| answer)
    }

    /// When it was acknowledged as done; `None` if it was refused, or nobody knows.
    pub fn acknowledged(&self) -> Option<Moment> {
        match &self.ended {
            Some((_, Answer::Refused(_) | Answer::Unknown(_))) | None => None,
            // The items of a batch may fail one by one.
            Some((_, Answer::Opened(items))) if items.iter().all(Result::is_err) => None,
            Some((moment, _)) => Some(*moment),
        }
    }

    /// Whether it was answered, for good or with a refusal for good.
    pub fn is_settled(&self) -> bool {
        !matches!(self.answer(), None | Some(Answer::Unknown(_)))
    }
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
            Self::DataKey { .. } => "GenerateDataKey",
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
            Self::SetRotation { .. } => "SetKeyRotation",
            Self::Random => "GenerateRandom",
            Self::GetKey { .. } | Self::ReadRoot => return None,
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
            | Self::Grant(_)
            | Self::Revoke(_) => true,
            Self::Encrypt { .. }
            | Self::DataKey { .. }
            | Self::Decrypt { .. }
            | Self::ReEncrypt { .. }
            | Self::Prove { .. }
            | Self::Check { .. }
            | Self::Random
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

impl Answer {
    /// In a line; plaintexts by their number.
    pub fn brief(&self) -> String {
        match self {
            Self::Opened(items) => {
                let opened = items.iter().filter(|item| item.is_ok()).count();
                format!("opened {opened} of {}", items.len())
            }
            Self::Sealed(given) => format!("sealed {}", given.len()),
            Self::Random(_) => "random bytes".to_owned(),
            Self::Root { size, .. } => format!("root of {size}"),
            other => format!("{other:?}"),
        }
    }
}

impl History {
    /// What was asked under a request id.
    pub fn asked(&self, request: &[u8]) -> Option<&Asked> {
        let call = self.by_request.get(request)?;
        self.calls.get(call.0).map(|call| &call.asked)
    }

    fn moment(&mut self, at: Duration) -> Moment {
        let order = self.moments;
        self.moments += 1;
        Moment { order, at }
    }
}
