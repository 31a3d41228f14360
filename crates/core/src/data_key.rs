//! Registered data keys: kept for their owners, wrapped by a version of a key, and wrapped anew when that version is
//! replaced.

use crate::codec;
use crate::context::{EncryptionContext, Labels};
use crate::ids::{DataKeyId, KeyId, RequestId, Revision, TimeMs, VersionNumber};
use crate::limits::DATA_KEY_WRAPPED_BYTES_MAX;
use crate::names::PrincipalName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A data key that the cluster keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataKey {
    /// The key that wraps it, for ever.
    pub key: KeyId,
    /// The version that wraps it now.
    pub version: VersionNumber,
    /// The data key as a message under that version (docs/format/message.md), bound to the context.
    pub wrapped: Box<[u8]>,
    /// To which it is bound, for ever.
    pub context: EncryptionContext,
    /// What people say of it.
    pub labels: Labels,
    /// When it was registered.
    pub created_at: TimeMs,
    /// At which it was registered. Wrapping it anew does not change it: the data key stays the same.
    pub revision: Revision,
}

impl DataKeyId {
    /// The id of the data key that a request registers: a request that is repeated after a lost answer finds what it made
    /// the first time.
    pub fn of_request(principal: &PrincipalName, request: RequestId) -> Self {
        Self(codec::digest(&("data-key", principal, request)))
    }
}

/// What a use has to do with a registered data key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataKeyUse {
    /// Makes it.
    Register(NewDataKey),
    /// Takes it.
    Of {
        /// Which one.
        id: DataKeyId,
        /// As the decision saw it.
        revision: Revision,
    },
}

impl DataKeyUse {
    /// Which one.
    pub fn id(&self) -> DataKeyId {
        match self {
            Self::Register(new) => new.id,
            Self::Of { id, .. } => *id,
        }
    }
}

/// A data key to be registered. Its key, version and context are those of the use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDataKey {
    /// See [`DataKeyId::of_request`].
    pub id: DataKeyId,
    /// At most [`DATA_KEY_WRAPPED_BYTES_MAX`] bytes.
    pub wrapped: Box<[u8]>,
    /// As the caller chose them.
    pub labels: Labels,
}

/// One data key that is wrapped by another version than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrapped {
    /// Which one.
    pub id: DataKeyId,
    /// The version that it was wrapped by. If it is no longer, it stays as it is.
    pub from: VersionNumber,
    /// Under the new version.
    pub wrapped: Box<[u8]>,
}

/// Whether wrapped bytes are within the limits.
pub(crate) fn is_bounded(wrapped: &[u8]) -> bool {
    (1..=DATA_KEY_WRAPPED_BYTES_MAX).contains(&wrapped.len())
}

/// When the registered data keys of a key are wrapped anew, and what becomes of the versions that they leave. Those under a
/// version that is marked as compromised are always wrapped anew, and first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrapPolicy {
    /// Only when somebody asks for it, rather than whenever the key has a new primary version.
    pub by_hand: bool,
    /// A version that is not the primary one is deactivated as soon as it wraps no registered data key.
    pub deactivate_old: bool,
}

impl fmt::Display for RewrapPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.by_hand {
            "re-wrapped when asked for"
        } else {
            "re-wrapped after each rotation"
        })?;
        if self.deactivate_old {
            f.write_str(", versions left behind are deactivated")?;
        }
        Ok(())
    }
}
