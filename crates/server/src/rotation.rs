//! New versions of keys: what their material is bound to, and the job that makes them when a key's period has passed.

use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::{ROTATION_GRACE, ROTATION_PATIENCE, ROTATIONS_PER_TURN_MAX, TICK_INTERVAL};
use crate::stopping::pause;
use conclave_core::{
    Algorithm, Change, Key, KeyId, KeyName, Protection, Refusal, TimeMs, VersionNumber,
};
use conclave_raft::{Replica, Role};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// To what the material of a key's next version is bound.
pub(crate) struct NextVersion {
    name: KeyName,
    id: KeyId,
    version: VersionNumber,
    algorithm: Algorithm,
    protection: Protection,
}

impl NextVersion {
    /// As this node knows the key.
    pub(crate) fn of(key: &Key) -> Self {
        Self {
            name: key.info.name.clone(),
            id: key.info.id,
            version: key.next_version(),
            algorithm: key.info.algorithm,
            protection: key.info.protection,
        }
    }

    /// Stands for a key that this node does not know: `apply` knows better, and answers that there is none, or a
    /// conflict.
    pub(crate) fn unknown(name: KeyName) -> Self {
        Self {
            name,
            id: KeyId::default(),
            version: VersionNumber(1),
            algorithm: Algorithm::Aes256Gcm,
            protection: Protection::Software,
        }
    }

    /// Makes the material.
    ///
    /// # Errors
    /// If the node is sealed, or the HSM fails.
    pub(crate) async fn make(self, context: &NodeContext) -> Result<Change, ServiceError> {
        let Self {
            name,
            id,
            version,
            algorithm,
            protection,
        } = self;
        let unsealed = context.seal.unsealed()?;
        let material = unsealed
            .generate(&context.env, id, version, algorithm, protection)
            .await?;
        Ok(Change::RotateKey {
            name,
            id,
            version,
            material: Box::new(material),
        })
    }
}

/// Rotates keys whose period has passed. The leader does; if it does not (it may be sealed), any other node does after a
/// while, and two that do the same do it once.
pub(crate) async fn rotate_due_keys(
    context: Arc<NodeContext>,
    mut stopping: watch::Receiver<bool>,
) {
    while pause(&mut stopping, TICK_INTERVAL).await {
        let (Ok(replica), Ok(_)) = (context.replica.get(), context.seal.unsealed()) else {
            continue;
        };
        for next in due_now(&context, &replica) {
            let name = next.name.clone();
            if let Err(error) = rotate(&context, next).await {
                tracing::warn!(key = %name, %error, "a key was not rotated though its period has passed: tried again");
                break;
            }
        }
    }
}

fn due_now(context: &NodeContext, replica: &Replica) -> Vec<NextVersion> {
    let grace = if replica.status().role == Role::Leader {
        0
    } else {
        u64::try_from(ROTATION_GRACE.as_millis()).unwrap_or(u64::MAX)
    };
    let at = TimeMs(context.env.clock.now().0.saturating_sub(grace));
    replica.with_state(|state| {
        let due = state.due_rotations(at);
        due.take(ROTATIONS_PER_TURN_MAX)
            .map(NextVersion::of)
            .collect()
    })
}

async fn rotate(context: &NodeContext, next: NextVersion) -> Result<(), ServiceError> {
    let change = next.make(context).await?;
    let deadline = Instant::now() + ROTATION_PATIENCE;
    match context.write_as_node(change, deadline).await {
        // Somebody else was quicker, or the period was changed.
        Ok(_) | Err(ServiceError::Refused(Refusal::Conflict)) => Ok(()),
        Err(error) => Err(error),
    }
}
