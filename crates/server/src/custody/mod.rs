//! The root key's way in and out: the ceremony, unsealing by shares, and sealing.

mod attempt;
mod ceremony;
mod keeper;
mod share_check;

pub(crate) use attempt::Attempt;
pub(crate) use ceremony::hold_ceremony;
pub(crate) use keeper::{cancel, resume_from_token, seal, seal_by_itself, submit};
pub use share_check::ShareProblem;
pub(crate) use share_check::{SubmittedShare, check_share};

use conclave_core::{ClusterId, Generation};

/// The label of the root key on a token.
fn root_label(cluster: ClusterId, generation: Generation) -> String {
    format!("conclave-root-{cluster}-g{generation}")
}
