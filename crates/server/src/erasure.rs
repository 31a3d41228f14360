//! The job that erases from this node's disk what was destroyed, and tells the log. A sealed node does it too: it takes
//! no key.

use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::{ERASURE_PATIENCE, TICK_INTERVAL};
use crate::stopping::pause;
use conclave_core::planted::{Bug, is_planted};
use conclave_core::{Change, KeyState, Refusal, Revision};
use conclave_raft::{EraseError, Replica};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) async fn erase_destroyed(
    context: Arc<NodeContext>,
    mut stopping: watch::Receiver<bool>,
) {
    while pause(&mut stopping, TICK_INTERVAL).await {
        let Ok(replica) = context.replica.get() else {
            continue;
        };
        let due = replica.with_state(|state| state.erasure_due(context.config.node));
        let Some(through) = due else { continue };
        forget(&context, &replica);
        match erase(&replica, through).await {
            Ok(()) => {}
            Err(error @ EraseError::Unfinished { .. }) => {
                tracing::info!(%error, "what was destroyed is not erased from this node yet");
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "what was destroyed could not be erased from this node");
                continue;
            }
        }
        // A use that was decided before may have loaded one once more.
        forget(&context, &replica);
        tell(&context, through).await;
    }
}

async fn erase(replica: &Replica, through: Revision) -> Result<(), EraseError> {
    if is_planted(Bug::SayErased) {
        return Ok(());
    }
    replica.erase(through).await
}

/// From memory and from the HSM, if the node is unsealed.
fn forget(context: &NodeContext, replica: &Replica) {
    let Ok(unsealed) = context.seal.unsealed() else {
        return;
    };
    replica.with_state(|state| {
        unsealed.forget_versions(|id, number| {
            let version = state.key_by_id(id).and_then(|key| key.versions.get(number));
            version.is_some_and(|version| version.state == KeyState::Destroyed)
        });
    });
}

async fn tell(context: &NodeContext, through: Revision) {
    let deadline = Instant::now() + ERASURE_PATIENCE;
    match context
        .write_as_node(Change::Erased { through }, deadline)
        .await
    {
        // It was told before, and the answer was lost.
        Ok(_) | Err(ServiceError::Refused(Refusal::Conflict)) => {
            tracing::info!(%through, "what was destroyed is erased from this node");
        }
        Err(error) => {
            tracing::warn!(%error, "that this node has erased what was destroyed is not in the log yet");
        }
    }
}
