//! The audit log: records, and the Merkle tree over them.

mod proof;
mod record;
mod tree;

pub use proof::{Subtree, inclusion_path, root_by_path, root_over};
pub use record::{AuditOutcome, AuditRecord};
pub(crate) use record::{MUTUAL_TLS, use_leaf};
pub use tree::{AuditTree, Hash, leaf_hash};
