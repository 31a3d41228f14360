//! The root key's custody, as far as everybody may know it.

use crate::ids::{AttemptId, Generation, SetId};
use crate::key::Wrapped;
use crate::limits::{CUSTODIANS_MAX, RECIPIENT_BYTES_MAX, TEXT_BYTES_MAX};
use crate::names::CustodianName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A person who holds one share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custodian {
    /// Unique among the custodians.
    pub name: CustodianName,
    /// An age recipient, to which the share is encrypted.
    pub recipient: String,
    /// SHA-256 of the share.
    pub share_digest: [u8; 32],
}

/// Keys that the root key wraps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootWrapped {
    /// Wraps versions of keys at protection HSM.
    pub hsm_kek: Wrapped,
    /// Wraps versions of keys at protection SOFTWARE.
    pub software_kek: Wrapped,
    /// Authenticates what an HSM wrapped.
    pub integrity_key: Wrapped,
    /// Signs checkpoints of the audit log.
    pub audit_signing_key: Wrapped,
}

/// A root key and its custodians.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custody {
    /// Of the shares.
    pub set: SetId,
    /// Of the root key.
    pub generation: Generation,
    /// How many shares rebuild it.
    pub threshold: u8,
    /// In the order of their shares: the first one's has x = 1.
    pub custodians: Vec<Custodian>,
    /// Tells the right root key from a wrong one.
    pub check_value: [u8; 32],
    /// What the root key wraps.
    pub wrapped: RootWrapped,
    /// Verifies checkpoints of the audit log.
    pub audit_verifier_key: String,
    /// Whether custodians have unsealed a node with their shares once. Until then the ceremony may
    /// be held again.
    pub confirmed: bool,
}

impl Custody {
    /// Whether threshold, number and names of custodians, and sizes are within the rules.
    pub fn is_well_formed(&self) -> bool {
        let count = self.custodians.len();
        let names: BTreeSet<_> = self.custodians.iter().map(|c| &c.name).collect();
        let keys = &self.wrapped;
        (2..=CUSTODIANS_MAX).contains(&count)
            && (2..=count).contains(&usize::from(self.threshold))
            && names.len() == count
            && self
                .custodians
                .iter()
                .all(|c| (1..=RECIPIENT_BYTES_MAX).contains(&c.recipient.len()))
            && self.audit_verifier_key.len() <= TEXT_BYTES_MAX
            && [
                &keys.hsm_kek,
                &keys.software_kek,
                &keys.integrity_key,
                &keys.audit_signing_key,
            ]
            .iter()
            .all(|wrapped| wrapped.is_bounded())
    }

    /// The custodian of that name, and the x of the share.
    pub fn custodian(&self, name: &CustodianName) -> Option<(u8, &Custodian)> {
        (1..=u8::MAX)
            .zip(&self.custodians)
            .find(|(_, custodian)| &custodian.name == name)
    }
}

/// What happens at a node's seal. Recorded before it takes effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CustodyEvent {
    /// A share was submitted and counts.
    ShareAccepted {
        /// Whose.
        custodian: CustodianName,
        /// Of which set.
        set: SetId,
        /// Towards which attempt.
        attempt: AttemptId,
    },
    /// A share was submitted and does not count.
    ShareRefused {
        /// Who is named in the share, if that could be told.
        custodian: Option<CustodianName>,
        /// A stable reason, as in errors.
        reason: String,
    },
    /// The root key was rebuilt from shares of this set.
    Unsealed {
        /// The set.
        set: SetId,
        /// The attempt that had enough of them.
        attempt: AttemptId,
    },
    /// The root key was found on the token after a restart.
    Resumed,
    /// An unseal attempt was given up.
    Cancelled {
        /// Which; all zero if none was under way.
        attempt: AttemptId,
    },
    /// The root key was dropped.
    Sealed {
        /// Why.
        reason: String,
    },
}

impl CustodyEvent {
    /// The operation's name in the audit log.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::ShareAccepted { .. } | Self::ShareRefused { .. } => "SubmitShare",
            Self::Unsealed { .. } => "Unseal",
            Self::Resumed => "ResumeUnsealed",
            Self::Cancelled { .. } => "CancelUnseal",
            Self::Sealed { .. } => "Seal",
        }
    }

    /// Whether its texts are within the limits, so that it fits into an audit record.
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::ShareRefused { reason, .. } | Self::Sealed { reason } => {
                reason.len() <= TEXT_BYTES_MAX
            }
            Self::ShareAccepted { .. }
            | Self::Unsealed { .. }
            | Self::Resumed
            | Self::Cancelled { .. } => true,
        }
    }
}
