//! What became of a command.

use crate::access::Action;
use crate::alias::AliasView;
use crate::codec::{self, DecodeError};
use crate::ids::{DataKeyId, ImportJobId, TimeMs, VersionNumber};
use crate::key::{KeyView, Protection, Purpose};
use crate::lifecycle::{KeyState, Transition};
use crate::names::{KeyName, KeyringName};
use crate::period::write_length;
use crate::uses::Verdict;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The answer of `apply`, the same on every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing to say: the cluster was formed, or time passed.
    None,
    /// Of a write.
    Written(Result<Written, Refusal>),
    /// Of a batch, one verdict a record and in their order.
    Verdicts(Vec<Verdict>),
    /// The batch breaks a limit, is too old to be remembered, is of a process that has ended, or
    /// has the id of another one; nothing was recorded.
    BatchRefused,
}

impl Outcome {
    /// As sent between nodes.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// From what was sent.
    ///
    /// # Errors
    /// If the bytes are damaged, or written by a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

/// A write that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Written {
    /// Something other than a key.
    Done,
    /// The key as it was right after.
    Key(Box<KeyView>),
    /// The alias as it was right after, or right before it was deleted.
    Alias(Box<AliasView>),
    /// The import job that was made.
    ImportJob(ImportJobId),
}

/// Why a write was not done. Nothing changed but the audit log.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The caller lacks the role.
    #[error("the caller holds no role that allows to {}", describe(*.0))]
    PermissionDenied(ActionName),
    /// The cluster is not formed yet.
    #[error("the cluster is not formed yet: retry when it has a leader")]
    NotFormed,
    /// No such key.
    #[error("there is no key {0}")]
    KeyNotFound(KeyName),
    /// The name is taken.
    #[error("there is a key {0} already: names are never given twice")]
    KeyExists(KeyName),
    /// No such version.
    #[error("key {name} has no version {version}")]
    VersionNotFound {
        /// Of the key.
        name: KeyName,
        /// As asked for.
        version: VersionNumber,
    },
    /// The state machine has no such step.
    #[error("{what} is {from}, and {}", impossible(*.transition))]
    WrongState {
        /// The key, or a version of it.
        what: String,
        /// Where it is.
        from: KeyState,
        /// What was asked for.
        transition: Transition,
    },
    /// Only an active key can be rotated.
    #[error("key {name} is {state}: only an ACTIVE key can be rotated")]
    NotRotatable {
        /// Of the key.
        name: KeyName,
        /// Where it is.
        state: KeyState,
    },
    /// The proposer's material was made for a state that has passed. Not shown to users: the node
    /// tries again.
    #[error("the key changed meanwhile: retry")]
    Conflict,
    /// A limit is reached.
    #[error("{what}: the limit is {max}")]
    LimitReached {
        /// What there are too many of.
        what: LimitedThing,
        /// The limit.
        max: u64,
    },
    /// A value of the command is outside its rules.
    #[error("the request is malformed: {0}")]
    Malformed(Malformation),
    /// The root key's custody is settled.
    #[error("the root key is in custody already, and all keys depend on it: there is one ceremony")]
    CustodySettled,
    /// There is no custody.
    #[error("the root key has not been made yet: run `conclave custody init`")]
    NoCustody,
    /// Shares of a set that is no longer the current one.
    #[error("the shares are of a set that was replaced: use the current ones")]
    StaleSet,
    /// Nobody could administer the cluster.
    #[error("this is the last admin on '*': grant another one first")]
    LastAdmin,
    /// The same request id asked for something else before.
    #[error("this request id was used for another request: draw a new one for each")]
    RequestReused,
    /// What is to be destroyed was used not long ago.
    #[error(
        "{what} was used {} before, and what was used in the last {} is not destroyed: find out who still needs it, or \
         insist (`--force`)",
        Length(*.ago_ms), Length(*.unused_for_ms)
    )]
    RecentlyUsed {
        /// The key, or a version of it.
        what: String,
        /// How long ago it was last used.
        ago_ms: u64,
        /// The node's rule.
        unused_for_ms: u64,
    },
    /// What is to be destroyed wraps registered data keys.
    #[error(
        "{what} wraps {count} registered data keys, which nobody could read any more: have them wrapped anew (`conclave \
         key rotate`, `conclave key rewrap`), delete them, or insist (`--force`)"
    )]
    DataKeysLeft {
        /// The key, or a version of it.
        what: String,
        /// How many.
        count: u64,
    },
    /// No such data key.
    #[error("there is no registered data key {0}")]
    DataKeyNotFound(DataKeyId),
    /// Nothing of a destroyed key can be changed.
    #[error("key {0} is DESTROYED: nothing of it can be changed any more")]
    Destroyed(KeyName),
    /// No such alias.
    #[error("there is no alias {0}")]
    AliasNotFound(KeyName),
    /// The name is an alias's.
    #[error("there is an alias {alias} already, of key {key}: keys and aliases share their names")]
    AliasExists {
        /// The name.
        alias: KeyName,
        /// Its key.
        key: KeyName,
    },
    /// Keys are changed by their own names only.
    #[error(
        "{alias} is an alias of key {key}: this takes the key's own name, so that nobody changes another key than meant"
    )]
    NamedByAlias {
        /// The name.
        alias: KeyName,
        /// Its key.
        key: KeyName,
    },
    /// An alias and its key are of one keyring.
    #[error(
        "alias {alias} and key {key} are of different keyrings: an alias is of its key's keyring, whose roles say who may use \
         it"
    )]
    AliasKeyring {
        /// The name.
        alias: KeyName,
        /// The key.
        key: KeyName,
    },
    /// An alias moves between keys of one purpose only.
    #[error(
        "alias {alias} is of key {earlier}, which is for {from}, and key {key} is for {to}: whoever uses the alias would find \
         a key that cannot do what they ask for; delete the alias first, if that is meant"
    )]
    AliasPurpose {
        /// The name.
        alias: KeyName,
        /// The key that it is of.
        earlier: KeyName,
        /// What that is for.
        from: Purpose,
        /// The key that it was to be of.
        key: KeyName,
        /// What that is for.
        to: Purpose,
    },
    /// Somebody else was quicker.
    #[error("alias {alias} is of key {key} by now: look again before you move it")]
    AliasMoved {
        /// The name.
        alias: KeyName,
        /// The key that it is of.
        key: KeyName,
    },
    /// No such import job.
    #[error("there is no import job {0}: it is over, or never was")]
    ImportJobNotFound(ImportJobId),
    /// Its time is up.
    #[error("import job {id} is over: make another one, and wrap the material anew")]
    ImportJobExpired {
        /// Which one.
        id: ImportJobId,
        /// Since when.
        at: TimeMs,
    },
    /// It was used.
    #[error(
        "import job {0} was used, and each is good for one import: make another one, and wrap the material anew"
    )]
    ImportJobUsed(ImportJobId),
    /// It is for another keyring.
    #[error("import job {id} is for keyring {keyring}: make one for the keyring of the key")]
    ImportJobElsewhere {
        /// Which one.
        id: ImportJobId,
        /// Its keyring.
        keyring: KeyringName,
    },
    /// It is for another protection: what was in memory is no key of an HSM, and what an HSM unwraps never gets out.
    #[error(
        "import job {id} is for keys at protection {}, and this one is at {}: make a job of the key's protection, and wrap the \
         material anew",
        .protection.as_str(),
        .asked.as_str()
    )]
    ImportJobProtection {
        /// Which one.
        id: ImportJobId,
        /// Its protection.
        protection: Protection,
        /// The key's.
        asked: Protection,
    },
}

struct Length(u64);

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // To the second: nobody asks for more.
        write_length(self.0.div_ceil(1_000).saturating_mul(1_000), f)
    }
}

fn impossible(transition: Transition) -> String {
    match transition {
        Transition::CancelDestruction => "no destruction of it is scheduled".to_owned(),
        Transition::Activate
        | Transition::Suspend
        | Transition::Resume
        | Transition::Deactivate
        | Transition::MarkCompromised
        | Transition::ScheduleDestruction
        | Transition::Destroy => {
            format!("from there it cannot become {}", transition.target())
        }
    }
}

/// An action, by its stored name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionName {
    /// See [`Action::CreateKey`].
    CreateKey,
    /// See [`Action::RotateKey`].
    RotateKey,
    /// See [`Action::ChangeState`].
    ChangeState,
    /// See [`Action::ManageAccess`].
    ManageAccess,
    /// See [`Action::InitCustody`].
    InitCustody,
    /// See [`Action::Seal`].
    Seal,
    /// See [`Action::Unseal`].
    Unseal,
    /// See [`Action::DestroyKey`].
    DestroyKey,
    /// See [`Action::DestroyKey`]; of a registered data key.
    DeleteDataKey,
    /// See [`Action::LabelKey`].
    LabelKey,
    /// See [`Action::ManageAliases`].
    ManageAliases,
    /// See [`Action::CreateKey`]; with material from outside.
    ImportKey,
}

impl ActionName {
    /// The action that it names.
    pub fn action(self) -> Action {
        match self {
            Self::CreateKey | Self::ImportKey => Action::CreateKey,
            Self::RotateKey => Action::RotateKey,
            Self::ChangeState => Action::ChangeState,
            Self::ManageAccess => Action::ManageAccess,
            Self::InitCustody => Action::InitCustody,
            Self::Seal => Action::Seal,
            Self::Unseal => Action::Unseal,
            Self::DestroyKey | Self::DeleteDataKey => Action::DestroyKey,
            Self::LabelKey => Action::LabelKey,
            Self::ManageAliases => Action::ManageAliases,
        }
    }
}

fn describe(action: ActionName) -> &'static str {
    match action {
        ActionName::CreateKey => "create keys in this keyring (it takes admin)",
        ActionName::ImportKey => "import keys into this keyring (it takes admin)",
        ActionName::RotateKey => "rotate keys of this keyring (it takes admin or operator)",
        ActionName::ChangeState => {
            "change the state of keys of this keyring (it takes admin or operator)"
        }
        ActionName::DestroyKey => "destroy keys of this keyring (it takes admin)",
        ActionName::DeleteDataKey => "delete data keys of this keyring (it takes admin)",
        ActionName::LabelKey => "label keys of this keyring (it takes admin or operator)",
        ActionName::ManageAliases => "set or delete aliases of this keyring (it takes admin)",
        ActionName::ManageAccess => "manage access to this keyring (it takes admin)",
        ActionName::InitCustody => "hold the ceremony (it takes admin on '*')",
        ActionName::Seal => "seal a node (it takes admin or operator on '*', or a custodian)",
        ActionName::Unseal => {
            "take part in unsealing (it takes a custodian, or admin or operator on '*')"
        }
    }
}

/// What there can be too many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitedThing {
    /// In the cluster.
    Keys,
    /// Of a key.
    Versions,
    /// In the cluster.
    Grants,
    /// Of a key.
    Labels,
    /// Of a key, names and values together.
    LabelBytes,
    /// In the cluster.
    Aliases,
    /// Of a key.
    AliasesOfKey,
    /// In the cluster.
    ImportJobs,
}

impl std::fmt::Display for LimitedThing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keys => "the cluster holds as many keys as it may",
            Self::Versions => "the key has as many versions as it may: create another key",
            Self::Grants => "the cluster holds as many grants as it may",
            Self::Labels => "the key would have more labels than it may: remove some",
            Self::Aliases => "the cluster holds as many aliases as it may: delete some",
            Self::AliasesOfKey => "the key has as many aliases as it may: delete some",
            Self::LabelBytes => "the key's labels would have more bytes than they may: remove some",
            Self::ImportJobs => "the cluster holds as many import jobs as it may",
        })
    }
}

/// A rule that a command breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Malformation {
    /// Material that is empty, too large, or not what keys of the purpose have.
    Wrapped,
    /// Threshold, number, names or recipients of custodians.
    Custody,
    /// A text is too long.
    Text,
    /// A date for a key that is not `PRE_ACTIVE`.
    ActivationDate,
    /// An algorithm that the protection does not offer.
    AlgorithmProtection,
    /// A step that takes more to be said, or a date.
    Transition,
    /// Labels to be removed that are too many or too long, or to be set as well.
    Labels,
    /// A key inside HSMs that is to be exportable.
    Exportable,
}

impl std::fmt::Display for Malformation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wrapped => "material is empty, too large, or not what keys of this purpose have",
            Self::Custody => {
                "custody takes 2 to 255 custodians of different names, a threshold from 2 to their \
                 number, and recipients of 1 to 4096 bytes"
            }
            Self::Text => "a text is longer than 512 bytes",
            Self::ActivationDate => "an activation date goes with a key that begins PRE_ACTIVE",
            Self::AlgorithmProtection => {
                "the algorithm is offered at protection SOFTWARE only: no HSM has it"
            }
            Self::Exportable => "keys of protection HSM are never exportable",
            Self::Transition => "this step cannot be asked for by itself",
            Self::Labels => {
                "labels to be removed are at most 32 with 8 KiB together, and none of them is set as well"
            }
        })
    }
}

impl Refusal {
    /// The name in the audit log and in errors. Stable: programs depend on it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PermissionDenied(_) => "PERMISSION_DENIED",
            Self::NotFormed => "CLUSTER_NOT_FORMED",
            Self::KeyNotFound(_) => "KEY_NOT_FOUND",
            Self::KeyExists(_) => "KEY_EXISTS",
            Self::VersionNotFound { .. } => "VERSION_NOT_FOUND",
            Self::WrongState { .. } | Self::NotRotatable { .. } | Self::Destroyed(_) => "KEY_STATE",
            Self::Conflict => "CONFLICT",
            Self::LimitReached { .. } => "LIMIT_REACHED",
            Self::Malformed(_) => "MALFORMED",
            Self::CustodySettled => "CUSTODY_SETTLED",
            Self::NoCustody => "CUSTODY_NOT_INITIALIZED",
            Self::StaleSet => "SHARE_SET_REPLACED",
            Self::LastAdmin => "LAST_ADMIN",
            Self::RequestReused => "REQUEST_ID_REUSED",
            Self::RecentlyUsed { .. } => "KEY_IN_USE",
            Self::DataKeysLeft { .. } => "DATA_KEYS_LEFT",
            Self::DataKeyNotFound(_) => "DATA_KEY_NOT_FOUND",
            Self::AliasNotFound(_) => "ALIAS_NOT_FOUND",
            Self::AliasExists { .. } => "ALIAS_EXISTS",
            Self::NamedByAlias { .. } => "NAMED_BY_ALIAS",
            Self::AliasKeyring { .. } => "ALIAS_KEYRING",
            Self::AliasPurpose { .. } => "ALIAS_PURPOSE",
            Self::AliasMoved { .. } => "ALIAS_MOVED",
            Self::ImportJobNotFound(_) => "IMPORT_JOB_NOT_FOUND",
            Self::ImportJobExpired { .. } => "IMPORT_JOB_EXPIRED",
            Self::ImportJobUsed(_) => "IMPORT_JOB_USED",
            Self::ImportJobElsewhere { .. } => "IMPORT_JOB_KEYRING",
            Self::ImportJobProtection { .. } => "IMPORT_JOB_PROTECTION",
        }
    }
}
