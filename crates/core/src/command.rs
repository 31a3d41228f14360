//! What is proposed to the cluster. Everything that `apply` may not do itself (time, ids, random
//! bytes, wrapped material) was done by the proposer and is in here.

use crate::access::Grant;
use crate::alias::ExpectedAlias;
use crate::codec::{self, DecodeError};
use crate::context::Labels;
use crate::custody::{Custody, CustodyEvent};
use crate::data_key::{RewrapPolicy, Rewrapped};
use crate::ids::{
    AttemptId, ClusterId, DataKeyId, ImportJobId, KekNumber, KeyId, NodeId, RequestId, Revision,
    SetId, TimeMs, VersionNumber,
};
use crate::import::ImportMethod;
use crate::key::{Algorithm, Material, Protection, Wrapped};
use crate::lifecycle::Transition;
use crate::names::{KeyName, KeyringName, PrincipalName};
use crate::period::{ImportLife, RotationPeriod, WaitingPeriod};
use crate::planted::{Bug, is_planted};
use crate::uses::UseBatch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The node that the caller spoke to.
    pub node: NodeId,
    /// That node's wall clock; `apply` never lets time run backwards.
    pub time: TimeMs,
    /// What is to happen.
    pub body: Body,
}

impl Command {
    /// As stored and replicated.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// From what was stored.
    ///
    /// # Errors
    /// If the bytes are damaged, or written by a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// The first command of a cluster.
    Form {
        /// Drawn by whoever set the cluster up.
        cluster: ClusterId,
        /// Granted admin on everything.
        admins: Vec<PrincipalName>,
    },
    /// Somebody changes something.
    Write(Write),
    /// Somebody used keys.
    Uses(UseBatch),
    /// Time passes.
    Tick,
}

/// Who asks for a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// A workload or a person.
    Principal(PrincipalName),
    /// The node itself, for what befalls it.
    Node,
}

/// A change, and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// Chosen by the client, kept across its retries.
    pub request: RequestId,
    /// The client's attempt at it, from 0.
    pub attempt: u32,
    /// Who.
    pub actor: Actor,
    /// From where.
    pub source: String,
    /// What.
    pub change: Change,
}

/// What somebody changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new key with version 1.
    CreateKey {
        /// What its owner chose.
        spec: KeySpec,
        /// Drawn by the proposer.
        id: KeyId,
        /// Under whose root key the material was wrapped; if it is no longer the current one, the
        /// answer is a conflict.
        set: SetId,
        /// Made by the proposer.
        material: Box<Material>,
    },
    /// A new primary version.
    RotateKey {
        /// Which key.
        name: KeyName,
        /// To which the material is bound; if it is no longer the key of that name, the answer is a
        /// conflict.
        id: KeyId,
        /// To which the material is bound; if it is no longer the next one, the answer is a
        /// conflict.
        version: VersionNumber,
        /// Made by the proposer.
        material: Box<Material>,
    },
    /// Another state for a key, or for one version.
    Transition {
        /// Which key.
        name: KeyName,
        /// `None`: the key as a whole.
        version: Option<VersionNumber>,
        /// Which way.
        transition: Transition,
    },
    /// Gives a role.
    Grant(Grant),
    /// Takes a role.
    Revoke(Grant),
    /// The result of the ceremony.
    InitCustody(Box<Custody>),
    /// What happens at a node's seal.
    Custody(CustodyEvent),
    /// Another rotation period for a key.
    SetRotation {
        /// Which key.
        name: KeyName,
        /// `None`: it is rotated by hand only.
        every: Option<RotationPeriod>,
    },
    /// The end of a key, or of one version, after a while.
    ScheduleDestruction {
        /// Which key.
        name: KeyName,
        /// `None`: the key as a whole.
        version: Option<VersionNumber>,
        /// How long it can be cancelled.
        after: WaitingPeriod,
        /// Refused if it was used in so many milliseconds before; `None`: whenever it was used. The node's own
        /// rule, in force unless the caller insists.
        unused_for_ms: Option<u64>,
    },
    /// A node has erased from its disk what was destroyed.
    Erased {
        /// Up to this revision.
        through: Revision,
    },
    /// Another rule for a key's registered data keys.
    SetRewrap {
        /// Which key.
        name: KeyName,
        /// The rule.
        policy: RewrapPolicy,
    },
    /// A key's registered data keys are to be wrapped anew, whatever its rule is.
    RequestRewrap {
        /// Which key.
        name: KeyName,
    },
    /// A node has wrapped registered data keys anew.
    RewrapDataKeys {
        /// Of this key.
        name: KeyName,
        /// If it is no longer the key of that name, the answer is a conflict.
        id: KeyId,
        /// Under this version; if it is no longer the primary one, the answer is a conflict.
        to: VersionNumber,
        /// At most [`crate::limits::REWRAPS_PER_COMMAND_MAX`].
        items: Vec<Rewrapped>,
    },
    /// The end of a registered data key.
    DeleteDataKey {
        /// Which one.
        id: DataKeyId,
    },
    /// Other labels for a key.
    SetLabels {
        /// Which key.
        name: KeyName,
        /// Added, or given another value.
        set: Labels,
        /// Names of labels that are taken away; those that it does not have are passed over.
        remove: BTreeSet<String>,
    },
    /// Another name for a key, or another key for such a name.
    SetAlias {
        /// The name.
        alias: KeyName,
        /// Of this key.
        target: KeyName,
        /// What must be so before.
        expected: ExpectedAlias,
    },
    /// The end of an alias. Its key stays.
    DeleteAlias {
        /// Which one.
        alias: KeyName,
    },
    /// A key pair for one import.
    CreateImportJob(Box<NewImportJob>),
    /// Material from outside becomes a key, or a version of one.
    Import {
        /// By which it came.
        job: ImportJobId,
        /// What it becomes.
        target: ImportTarget,
        /// As the proposer wrapped it anew.
        material: Box<Material>,
        /// Of what the caller handed in, so that a repeated request is known.
        digest: [u8; 32],
    },
}

/// A new import job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewImportJob {
    /// Drawn by the proposer.
    pub id: ImportJobId,
    /// Into which the material is to go.
    pub keyring: KeyringName,
    /// How the material is to be wrapped.
    pub method: ImportMethod,
    /// How long it lives.
    pub lives: ImportLife,
    /// Under whose root key the private half was wrapped; if it is no longer the current one, the answer is a conflict.
    pub set: SetId,
    /// The private half.
    pub wrapped: Wrapped,
    /// As `SubjectPublicKeyInfo` in DER.
    pub public: Box<[u8]>,
    /// Of the private half, and of what is imported by it.
    pub protection: Protection,
}

/// What imported material becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportTarget {
    /// Version 1 of a new key.
    Key {
        /// What its owner chose.
        spec: KeySpec,
        /// Drawn by the proposer.
        id: KeyId,
        /// As in [`Change::CreateKey`].
        set: SetId,
    },
    /// The next version of a key.
    Version {
        /// Which key.
        name: KeyName,
        /// As in [`Change::RotateKey`].
        id: KeyId,
        /// As in [`Change::RotateKey`].
        version: VersionNumber,
    },
}

impl ImportTarget {
    /// The key's name.
    pub fn name(&self) -> &KeyName {
        match self {
            Self::Key { spec, .. } => &spec.name,
            Self::Version { name, .. } => name,
        }
    }

    /// Without what the proposer added.
    fn forget_proposer(&mut self) {
        match self {
            Self::Key { id, set, .. } => {
                *id = KeyId::default();
                *set = SetId::default();
            }
            Self::Version { id, version, .. } => {
                *id = KeyId::default();
                *version = VersionNumber::default();
            }
        }
    }
}

/// A new key, as its owner wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySpec {
    /// Must be free.
    pub name: KeyName,
    /// Fixed for ever.
    pub algorithm: Algorithm,
    /// Fixed for ever.
    pub protection: Protection,
    /// What people say of it.
    pub labels: Labels,
    /// Whether it begins `PRE_ACTIVE` rather than ACTIVE.
    pub pre_active: bool,
    /// When a tick is to activate it.
    pub activate_at: Option<TimeMs>,
    /// How old a primary version may become.
    pub rotate_every: Option<RotationPeriod>,
    /// What becomes of its registered data keys when it is rotated.
    pub rewrap: RewrapPolicy,
    /// Whether its material may leave the cluster, wrapped. Fixed for ever.
    pub exportable: bool,
}

impl Change {
    /// The operation's name in the audit log.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CreateKey { .. } => "CreateKey",
            Self::RotateKey { .. } => "RotateKey",
            Self::Transition { transition, .. } => transition.operation(),
            Self::SetRotation { .. } => "SetKeyRotation",
            Self::ScheduleDestruction { .. } => Transition::ScheduleDestruction.operation(),
            Self::Erased { .. } => "EraseKeyMaterial",
            Self::SetRewrap { .. } => "SetRewrapPolicy",
            Self::RequestRewrap { .. } => "RequestRewrap",
            Self::RewrapDataKeys { .. } => "RewrapDataKeys",
            Self::DeleteDataKey { .. } => "DeleteDataKey",
            Self::SetLabels { .. } => "UpdateKeyLabels",
            Self::SetAlias {
                expected: ExpectedAlias::Absent,
                ..
            } => "CreateAlias",
            Self::SetAlias { .. } => "UpdateAlias",
            Self::DeleteAlias { .. } => "DeleteAlias",
            Self::CreateImportJob(_) => "CreateImportJob",
            Self::Import { .. } => "ImportKey",
            Self::Grant(_) => "Grant",
            Self::Revoke(_) => "Revoke",
            Self::InitCustody(_) => "InitCustody",
            Self::Custody(event) => event.operation(),
        }
    }

    /// Whether only nodes say it, of what they did.
    pub(crate) fn is_of_nodes(&self) -> bool {
        matches!(self, Self::Erased { .. } | Self::RewrapDataKeys { .. })
    }

    /// Whether it is part of its key's story. Uses are not, nor what befalls registered data keys: of both there may be
    /// millions.
    pub(crate) fn is_told(&self) -> bool {
        !matches!(
            self,
            Self::RewrapDataKeys { .. } | Self::DeleteDataKey { .. }
        )
    }

    /// Whether the log remembers the request and answers a repeated one as the first time, so that whoever lost the
    /// answer may propose the same again. A ceremony that a client repeats gives other shares: the first answer, without
    /// those that belong to it, is of no use. And a share that is submitted once more may count once more, for another
    /// attempt or in another life of the node: then the log must say so once more.
    pub fn is_remembered(&self) -> bool {
        match self {
            Self::Custody(CustodyEvent::ShareAccepted { .. }) => {
                is_planted(Bug::CountShareUnrecorded)
            }
            Self::InitCustody(_) => false,
            Self::CreateKey { .. }
            | Self::RotateKey { .. }
            | Self::Transition { .. }
            | Self::SetRotation { .. }
            | Self::ScheduleDestruction { .. }
            | Self::Erased { .. }
            | Self::SetRewrap { .. }
            | Self::RequestRewrap { .. }
            | Self::RewrapDataKeys { .. }
            | Self::DeleteDataKey { .. }
            | Self::SetLabels { .. }
            | Self::SetAlias { .. }
            | Self::DeleteAlias { .. }
            | Self::CreateImportJob(_)
            | Self::Import { .. }
            | Self::Grant(_)
            | Self::Revoke(_)
            | Self::Custody(_) => true,
        }
    }

    /// What the client asked for, without what the proposer added: equal for retries of one
    /// request.
    pub(crate) fn fingerprint(&self) -> [u8; 16] {
        let mut asked = self.clone();
        let nothing = Material::from(Wrapped {
            kek: KekNumber(0),
            blob: Vec::new(),
            tag: Vec::new(),
        });
        match &mut asked {
            Self::CreateKey {
                id, set, material, ..
            } => {
                *id = KeyId::default();
                *set = SetId::default();
                **material = nothing;
            }
            Self::RotateKey {
                id,
                version,
                material,
                ..
            } => {
                *id = KeyId::default();
                *version = VersionNumber::default();
                **material = nothing;
            }
            Self::CreateImportJob(new) => {
                new.id = ImportJobId::default();
                new.set = SetId::default();
                new.wrapped = nothing.wrapped;
                new.public = Box::default();
            }
            Self::Import {
                target, material, ..
            } => {
                target.forget_proposer();
                **material = nothing;
            }
            Self::Custody(
                CustodyEvent::ShareAccepted { attempt, .. }
                | CustodyEvent::Unsealed { attempt, .. }
                | CustodyEvent::Cancelled { attempt },
            ) => *attempt = AttemptId::default(),
            // Nodes may be configured differently.
            Self::ScheduleDestruction { unused_for_ms, .. } => {
                *unused_for_ms = unused_for_ms.map(|_| 0);
            }
            Self::Transition { .. }
            | Self::SetRotation { .. }
            | Self::Erased { .. }
            | Self::SetRewrap { .. }
            | Self::RequestRewrap { .. }
            | Self::RewrapDataKeys { .. }
            | Self::DeleteDataKey { .. }
            | Self::SetLabels { .. }
            | Self::SetAlias { .. }
            | Self::DeleteAlias { .. }
            | Self::Grant(_)
            | Self::Revoke(_)
            | Self::InitCustody(_)
            | Self::Custody(_) => {}
        }
        codec::digest(&asked)
    }
}
