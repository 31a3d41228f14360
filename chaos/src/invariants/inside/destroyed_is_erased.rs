//! What was destroyed leaves every disk (P6): a node that has told the log that it erased it holds it nowhere, and every
//! node that is whole tells so in the end.

use super::broken;
use crate::invariants::Violation;
use conclave_core::{KeyId, KeyState, NodeId, State, VersionNumber};

/// The wrapped material of a version, as it was proposed and accepted.
pub struct Material {
    /// Of which key.
    pub key: KeyId,
    /// Of which version.
    pub version: VersionNumber,
    /// What it looks like on a disk.
    pub blob: Vec<u8>,
}

/// Holds a node's disk, which `find` searches, against its own state.
///
/// # Errors
/// With what was found, and where; or that the node has not erased what it should.
pub fn check(
    node: u64,
    state: &State,
    materials: &[Material],
    find: impl Fn(&[u8]) -> Option<String>,
) -> Result<(), Violation> {
    let problem = |detail| Err(broken("destroyed_is_erased", "P6", detail));
    for Material { key, version, blob } in materials {
        let found = state
            .key_by_id(*key)
            .and_then(|it| it.versions.get(*version));
        let Some(gone) = found.filter(|it| it.state == KeyState::Destroyed) else {
            continue;
        };
        let done = gone.destruction.as_ref().and_then(|it| it.done);
        let is_told = done.is_some_and(|done| state.has_erased(NodeId(node), done.revision));
        if let Some(place) = find(blob).filter(|_| is_told) {
            return problem(format!(
                "node {node} says that it has erased version {version} of key {key}, which is in {place}"
            ));
        }
    }
    match state.erasure_due(NodeId(node)) {
        None => Ok(()),
        Some(through) => problem(format!(
            "node {node} has not erased what was destroyed up to {through}, long after"
        )),
    }
}
