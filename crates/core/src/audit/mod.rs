//! The audit log: records, and the Merkle tree over them.

mod record;
mod tree;

pub use record::{AuditOutcome, AuditRecord};
pub use tree::AuditTree;
