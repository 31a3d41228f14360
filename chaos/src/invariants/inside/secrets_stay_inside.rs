//! Neither the root key nor a share nor anything in clear is ever on a disk: not in a log, a row, or a snapshot (P3,
//! P4; the classes "unwrapped secret written back" and "plaintext in the audit log").

use super::broken;
use crate::invariants::Violation;
use conclave_env::mem::MemStorage;

/// Searches a disk.
///
/// # Errors
/// With what was found, and where.
pub fn check(
    node: u64,
    disk: &MemStorage,
    secrets: &[(&'static str, Vec<u8>)],
) -> Result<(), Violation> {
    for (what, secret) in secrets {
        if let Some(place) = disk.find(secret) {
            return Err(broken(
                "secrets_stay_inside",
                "P3, P4",
                format!("{what} is on the disk of node {node}, in {place}"),
            ));
        }
    }
    Ok(())
}
