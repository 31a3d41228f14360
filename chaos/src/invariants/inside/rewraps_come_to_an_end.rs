//! What is to be wrapped anew is, whichever nodes fail meanwhile: long after the last fault and the last call no registered
//! data key is left under a version that another one should replace (P2, P6).

use super::broken;
use crate::invariants::Violation;
use conclave_core::State;

/// Looks at what the committed log makes.
///
/// # Errors
/// With how many are left.
pub fn check(committed: &State) -> Result<(), Violation> {
    match committed.due_rewrap(1) {
        None => Ok(()),
        Some(due) => Err(broken(
            "rewraps_come_to_an_end",
            "P2, P6",
            format!(
                "{} data keys are left, some of them under version {} of {}",
                committed.all_rewraps_left(),
                due.from,
                due.key.info.name
            ),
        )),
    }
}
