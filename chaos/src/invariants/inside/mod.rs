//! Properties that look into the simulated nodes after every step: their disks, logs, roles and states.

pub mod commits_are_on_a_quorum;
pub mod destroyed_is_erased;
pub mod disks_are_alike;
pub mod leader_ids_are_used_once;
pub mod leaders_are_complete;
pub mod lives_begin_durable;
pub mod logs_match;
pub mod node_ids_are_kept;
pub mod rewraps_come_to_an_end;
pub mod secrets_stay_inside;
pub mod states_are_equal;
pub mod votes_are_on_a_quorum;

use super::Violation;

/// A violation of one of these.
pub fn broken(invariant: &'static str, promise: &'static str, detail: String) -> Violation {
    Violation {
        invariant,
        promise,
        detail,
    }
}
