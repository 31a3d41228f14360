//! What clients asked for and what they were answered, as they saw it from outside. Written by the simulated
//! workload and by the one of real processes alike, and read by the invariants.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a line for people says more of some calls than of others"
)]

mod asked;
mod recorder;

use conclave_core::{KeyState, Role};
use std::collections::BTreeMap;
use std::time::Duration;

pub use asked::Asked;
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

/// A registered data key of the history, by its place in [`History::data_keys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataKeyPlace(pub usize);

/// What proves that whoever holds a key has seen a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProofKind {
    /// A message authentication code.
    Code,
    /// A signature.
    Signature,
}

/// How a secret is shared with a key's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretKind {
    /// Agreed upon with a peer, the same one in all runs.
    Agreed,
    /// Opened from a ciphertext, the same one in all runs.
    Decapsulated,
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
    /// A data key that was registered.
    Registered(DataKeyPlace),
    /// A secret that a key shares.
    Secret {
        /// Of which key.
        key: String,
        /// Of which version.
        version: u32,
        /// 32 bytes.
        secret: Vec<u8>,
    },
    /// A record of the audit log, with its proof.
    Included {
        /// Records of the log for which it is proved.
        size: u64,
        /// The record's bytes.
        leaf: Vec<u8>,
        /// Hashes, the lowest first.
        path: Vec<Vec<u8>>,
    },
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

/// A registered data key that a client was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKey {
    /// Of which key, as the answer says.
    pub key: String,
    /// By which it is opened.
    pub id: Vec<u8>,
    /// In clear.
    pub plaintext: Vec<u8>,
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
    /// Registered data keys, in the order in which they were given.
    pub data_keys: Vec<DataKey>,
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
            Self::Secret { version, .. } => format!("a secret of version {version}"),
            Self::Root { size, .. } => format!("root of {size}"),
            Self::Included { size, .. } => format!("proved in a log of {size}"),
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

    /// So many records the audit log has at least, as clients were told.
    pub fn records_known(&self) -> u64 {
        let told = self.calls.iter().filter_map(|call| match call.answer()? {
            Answer::Root { size, .. } | Answer::Included { size, .. } => Some(*size),
            _ => None,
        });
        told.max().unwrap_or(0)
    }

    fn moment(&mut self, at: Duration) -> Moment {
        let order = self.moments;
        self.moments += 1;
        Moment { order, at }
    }
}
