//! What a node does without being asked: form the cluster, tick, rotate keys, wrap data keys anew, erase what was destroyed, watch its HSM,
//! and recover its storage.

use crate::context::NodeContext;
use crate::custody::{resume_from_token, seal_by_itself};
use crate::erasure::erase_destroyed;
use crate::limits::{
    FORM_INTERVAL, HSM_CHECK_INTERVAL, SHUTDOWN_MAX, STORAGE_PROBE_INTERVAL, STORAGE_REST,
    TICK_INTERVAL,
};
use crate::replica_slot::Slot;
use crate::rewrap::rewrap_data_keys;
use crate::rotation::rotate_due_keys;
use crate::stopping::pause;
use conclave_core::{Body, Command, Custody};
use conclave_env::HsmError;
use conclave_raft::{Replica, Role};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) fn spawn(
    context: &Arc<NodeContext>,
    stopping: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    tasks.spawn(lead(context.clone(), stopping.clone()));
    tasks.spawn(rotate_due_keys(context.clone(), stopping.clone()));
    tasks.spawn(rewrap_data_keys(context.clone(), stopping.clone()));
    tasks.spawn(erase_destroyed(context.clone(), stopping.clone()));
    tasks.spawn(watch_hsm(context.clone(), stopping.clone()));
    tasks.spawn(watch_storage(context.clone(), stopping.clone()));
}

/// While this node leads: forms the cluster once, and proposes a tick whenever something is due.
async fn lead(context: Arc<NodeContext>, mut stopping: watch::Receiver<bool>) {
    let mut interval = FORM_INTERVAL;
    while pause(&mut stopping, interval).await {
        let Ok(replica) = context.replica.get() else {
            continue;
        };
        if replica.with_state(|state| state.cluster().is_some()) {
            interval = TICK_INTERVAL;
        }
        if replica.status().role != Role::Leader {
            continue;
        }
        let now = context.env.clock.now();
        let body = replica.with_state(|state| match state.cluster() {
            None => {
                let (cluster, admins) = (context.config.cluster, context.config.admins.clone());
                Some(Body::Form { cluster, admins })
            }
            Some(_) => state.is_due(now).then_some(Body::Tick),
        });
        let Some(body) = body else { continue };
        let command = Command {
            node: context.config.node,
            time: now,
            body,
        };
        let deadline = Instant::now() + TICK_INTERVAL * 5;
        if let Err(error) = replica.propose(&command, deadline).await {
            tracing::debug!(%error, "a tick was not committed; the next one will be");
        }
    }
}

/// Seals the node when its HSM loses the root key or another ceremony replaces it, forgets unseal attempts whose time is
/// up, and takes up a root key that an earlier life left on the token.
async fn watch_hsm(context: Arc<NodeContext>, mut stopping: watch::Receiver<bool>) {
    let mut may_resume = true;
    while pause(&mut stopping, HSM_CHECK_INTERVAL).await {
        forget_expired_attempt(&context);
        if context.seal.reason().is_none() {
            may_resume = false;
            seal_if_lost(&context).await;
            continue;
        }
        if may_resume {
            may_resume = !resume(&context).await;
        }
        if let Err(error) = context.env.hsm.ping().await {
            tracing::warn!(%error, "the HSM does not answer");
        }
    }
}

/// Seals the node if its keys are of no use any more: the HSM lost them, or another ceremony replaced the root key.
async fn seal_if_lost(context: &NodeContext) {
    // A ceremony on this node commits its set before it puts its own keys in place; sealing in between would clear
    // the HSM under it. The next check sees what came of it.
    let Ok(_turn) = context.seal.turn.try_lock() else {
        return;
    };
    let (Ok(keys), Ok(replica)) = (context.seal.unsealed(), context.replica.get()) else {
        return;
    };
    let (set, health) = (keys.set(), keys.check_hsm().await);
    drop(keys);
    let replaced = |custody: &Custody| custody.set != set;
    let reason = match health {
        Err(error @ (HsmError::KeyGone | HsmError::Lost { .. })) => {
            format!("the HSM lost the root key: {error}")
        }
        Err(error) => {
            tracing::warn!(%error, "the HSM does not answer");
            return;
        }
        Ok(()) if replica.with_state(|state| state.custody().is_some_and(replaced)) => {
            "the root key was replaced by another ceremony".to_owned()
        }
        Ok(()) => return,
    };
    seal_by_itself(context, reason).await;
}

/// Whether there is nothing more to try.
async fn resume(context: &NodeContext) -> bool {
    let led = context
        .replica
        .get()
        .is_ok_and(|replica| replica.status().leader.is_some());
    if !led {
        return false;
    }
    match resume_from_token(context).await {
        Ok(resumed) => {
            // Without custody there may be a ceremony later, which unseals the node by itself.
            resumed || context.replica.get().is_ok_and(has_custody)
        }
        Err(error) => {
            tracing::warn!(%error, "the root key on the token could not be taken up");
            true
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a predicate of a result"
)]
fn has_custody(replica: Replica) -> bool {
    replica.with_state(|state| state.custody().is_some())
}

fn forget_expired_attempt(context: &NodeContext) {
    let mut slot = context.seal.attempt.lock();
    if slot
        .as_ref()
        .is_some_and(|attempt| Instant::now() >= attempt.expires_at())
    {
        *slot = None;
        tracing::info!("an unseal attempt was forgotten: its time was up");
    }
}

/// When storage fails: says so, takes the replica out (so that others lead and elect), and starts it again once the
/// disk takes writes.
async fn watch_storage(context: Arc<NodeContext>, mut stopping: watch::Receiver<bool>) {
    while pause(&mut stopping, STORAGE_PROBE_INTERVAL).await {
        if let Slot::Running(replica) = context.replica.peek() {
            let Some(fault) = replica.status().fault else {
                continue;
            };
            tracing::error!(
                fault,
                "storage failed: this node takes no part until it recovers"
            );
            context.replica.put(Slot::Failed(fault));
            replica.shutdown(SHUTDOWN_MAX / 2).await;
            if !pause(&mut stopping, STORAGE_REST).await {
                return;
            }
        }
        if let Err(error) = context.env.storage.probe() {
            tracing::debug!(%error, "storage still fails");
            context.replica.put(Slot::Failed(error.to_string()));
            continue;
        }
        match context.restart_replica().await {
            Ok(()) => tracing::info!("storage works again: this node takes part again"),
            Err(error) => {
                tracing::warn!(%error, "storage takes writes, but the node cannot take part");
                context.replica.put(Slot::Failed(error.to_string()));
            }
        }
    }
}
