//! RocksDB reads, keeps and recovers what the model of a disk does, on the seeds that run on both (P5; the model is what
//! `crates/env/src/store.rs` promises).

use super::broken;
use crate::invariants::Violation;
use conclave_env::mem::MemStorage;

/// Asks a disk.
///
/// # Errors
/// With the first difference.
pub fn check(node: u64, disk: &MemStorage) -> Result<(), Violation> {
    disk.difference().map_or(Ok(()), |difference| {
        Err(broken(
            "disks_are_alike",
            "P5",
            format!("node {node}: {difference}"),
        ))
    })
}
