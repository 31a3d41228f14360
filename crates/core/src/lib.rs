//! The rules: pure, replicated state and `apply`.
//!
//! Every node feeds the same commands to its [`State`] and so ends in the same one. No I/O, no
//! clock, no randomness, no cryptography but SHA-256: plaintext keys cannot get here.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "tests"
    )
)]

pub mod access;
pub mod alias;
pub mod audit;
mod codec;
pub mod command;
pub mod context;
pub mod custody;
pub mod data_key;
pub mod destruction;
pub mod history;
mod ids;
pub mod import;
pub mod key;
pub mod lifecycle;
pub mod limits;
mod names;
pub mod outcome;
mod period;
pub mod planted;
mod state;
pub mod uses;

pub use access::{Access, Action, Grant, Role, Scope};
pub use alias::{Alias, AliasView, ExpectedAlias};
pub use audit::{AuditOutcome, AuditRecord, AuditTree};
pub use codec::DecodeError;
pub use command::{Actor, Body, Change, Command, ImportTarget, KeySpec, NewImportJob, Write};
pub use context::{EncryptionContext, Labels, Pairs, PairsError};
pub use custody::{Custodian, Custody, CustodyEvent, RootWrapped};
pub use data_key::{DataKey, DataKeyUse, NewDataKey, RewrapPolicy, Rewrapped};
pub use destruction::{Destroyed, Destruction};
pub use ids::{
    AttemptId, AuditSequence, ClusterId, DataKeyId, Generation, ImportJobId, KekNumber, KeyId,
    LogIndex, NodeId, RequestId, Revision, SetId, TimeMs, VersionNumber,
};
pub use import::{ImportJob, ImportMethod};
pub use key::{
    Algorithm, Key, KeyInfo, KeyVersion, KeyView, Material, Protection, Purpose, Usage,
    VersionView, Versions, Wrapped,
};
pub use lifecycle::{KeyState, Transition};
pub use names::{CustodianName, KeyName, KeyringName, NameError, PrincipalName};
pub use outcome::{Outcome, Refusal, Written};
pub use period::{
    ImportLife, ImportLifeError, RotationPeriod, RotationPeriodError, WaitingPeriod,
    WaitingPeriodError,
};
pub use state::{
    AliasPage, CorruptRow, Denial, DueRewrap, KeyFilter, KeyListing, KeyPage, LabelFilter,
    RowChange, SeenKeyrings, State, Table, UsePermit,
};
pub use uses::{BatchId, Direction, Operation, UseBatch, UseRecord, UseRefusal, UsedKey, Verdict};
