//! The end of key material: asked for, waited for, done, and erased from every node.

use crate::ids::{AuditSequence, Revision, TimeMs};
use serde::{Deserialize, Serialize};

/// That a key or a version is to be destroyed, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destruction {
    /// When it is due; once it is done, when it was.
    pub at: TimeMs,
    /// The audit record of whoever asked for it.
    pub asked: AuditSequence,
    /// Once it is done.
    pub done: Option<Destroyed>,
}

/// Material that is gone from the state. Nodes then erase it from their disks, up to this revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroyed {
    /// The audit record that says so.
    pub record: AuditSequence,
    /// Of the key right after.
    pub revision: Revision,
}
