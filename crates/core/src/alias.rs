//! Aliases: other names of keys, which can be moved from one key to another.

use crate::ids::{KeyId, Revision, TimeMs};
use crate::names::KeyName;
use serde::{Deserialize, Serialize};

/// Where a name leads: one row, by the name. It and its key are of one keyring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The key.
    pub target: KeyId,
    /// When the alias was made.
    pub created_at: TimeMs,
    /// When it was last set.
    pub changed_at: TimeMs,
    /// At which it was last set.
    pub revision: Revision,
}

/// What must be so before an alias is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpectedAlias {
    /// There is none of the name.
    Absent,
    /// There is one, whichever key it is of.
    Present,
    /// There is one, of this key.
    Of(KeyName),
}

/// An alias as its users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasView {
    /// The alias itself.
    pub name: KeyName,
    /// The name of its key.
    pub key: KeyName,
    /// As the row has it.
    pub alias: Alias,
    /// Of which key it was before, if it was set or deleted.
    pub earlier: Option<KeyName>,
}
