//! The audit log: records, and the Merkle tree over them.

mod record;
mod tree;

pub use record::{AuditOutcome, AuditRecord};
pub(crate) use record::{MUTUAL_TLS, use_leaf};
pub use tree::AuditTree;
