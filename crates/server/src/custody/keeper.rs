//! Unsealing and sealing this node. Every step is in the audit log before it takes effect; only sealing does not wait
//! for a quorum when there is none.

use super::{Attempt, ShareProblem, SubmittedShare, check_share, root_label};
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::unsealed::{Unsealed, keep_from_swap};
use conclave_core::planted::{Bug, is_planted};
use conclave_core::{
    Action, AttemptId, Change, CustodianName, Custody, CustodyEvent, Scope, SetId, State,
};
use conclave_crypto::{RootKey, Share, ShareSet, root, share};
use conclave_env::HsmKey;
use std::time::Duration;
use tokio::time::Instant;

/// How long sealing waits for a quorum to record it.
const SEAL_RECORD_MAX: Duration = Duration::from_secs(3);

/// Counts one share; the last one that is needed unseals the node.
///
/// # Errors
/// [`ServiceError::Share`] names the owner of a share that does not count; the attempt goes on.
pub(crate) async fn submit(
    context: &NodeContext,
    caller: &Caller,
    submitted: SubmittedShare,
) -> Result<(), ServiceError> {
    let _turn = context.seal.turn.lock().await;
    let node = context.config.node;
    let replica = context.replica.get()?;
    context.catch_up(&replica, caller.deadline).await?;
    let (custody, may) =
        replica.with_state(|state| (state.custody().cloned(), may_unseal(state, caller)));
    // Whoever may not is told no more than that, by the log.
    if may && context.seal.reason().is_none() {
        return Err(ServiceError::NotSealed { node });
    }
    let custody = custody.ok_or(ServiceError::NoCustody)?;
    let named = CustodianName::new(&submitted.custodian).ok();
    let checked =
        check_share(context.config.cluster, &custody, submitted).and_then(|(name, share)| {
            let counted =
                |it: &Attempt| it.is_current(custody.set) && it.shares.contains_key(&name);
            let is_counted = context.seal.attempt.lock().as_ref().is_some_and(counted);
            if is_counted && !is_planted(Bug::CountShareTwice) {
                return Err(ShareProblem::Repeated {
                    custodian: name.to_string(),
                    node,
                });
            }
            Ok((name, share))
        });
    let (name, share) = match checked {
        Ok(good) => good,
        Err(problem) => {
            let reason = problem.reason().to_owned();
            let event = CustodyEvent::ShareRefused {
                custodian: named,
                reason,
            };
            context.write(caller, Change::Custody(event)).await?;
            return Err(problem.into());
        }
    };
    let attempt = attempt_for(context, custody.set);
    let event = CustodyEvent::ShareAccepted {
        custodian: name.clone(),
        set: custody.set,
        attempt,
    };
    context.write(caller, Change::Custody(event)).await?;
    // Another call may have unsealed the node before the caller was granted what it takes.
    if context.seal.reason().is_none() {
        return Err(ServiceError::NotSealed { node });
    }
    let enough = count(context, &custody, attempt, name, share);
    if enough {
        unseal(context, caller, &custody).await
    } else {
        Ok(())
    }
}

/// Whether the caller may unseal nodes, as far as this node has applied the log, which decides.
fn may_unseal(state: &State, caller: &Caller) -> bool {
    state.is_custodian(&caller.principal)
        || NodeContext::require(state.access(), caller, Action::Unseal, &Scope::All).is_ok()
}

/// The attempt under way, or one that may begin.
fn attempt_for(context: &NodeContext, set: SetId) -> AttemptId {
    let slot = context.seal.attempt.lock();
    let current = slot.as_ref().filter(|attempt| attempt.is_current(set));
    current.map_or_else(
        || {
            let mut id = [0; 16];
            context.env.entropy.fill(&mut id);
            AttemptId(id)
        },
        |attempt| attempt.id,
    )
}

/// Adds a share to the attempt towards which it was recorded; one that ended meanwhile begins with it. Whether there are
/// enough now.
fn count(
    context: &NodeContext,
    custody: &Custody,
    id: AttemptId,
    name: CustodianName,
    share: Share,
) -> bool {
    let mut slot = context.seal.attempt.lock();
    let current = slot
        .take()
        .filter(|attempt| attempt.id == id && attempt.is_current(custody.set));
    let attempt = slot.insert(current.unwrap_or_else(|| Attempt::new(id, custody.set)));
    keep_from_swap(share.expose());
    let is_twice = attempt.shares.insert(name, share).is_some();
    let planted = usize::from(is_twice && is_planted(Bug::CountShareTwice));
    attempt.shares.len() + planted >= usize::from(custody.threshold)
}

/// Rebuilds the root key from the attempt's shares and unseals the node. The attempt ends either way.
async fn unseal(
    context: &NodeContext,
    caller: &Caller,
    custody: &Custody,
) -> Result<(), ServiceError> {
    let attempt = context.seal.attempt.lock().take();
    let attempt = attempt.expect("only called when it has enough shares");
    let attempt_id = attempt.id;
    let root_key = if is_planted(Bug::CountShareTwice) {
        RootKey::new(conclave_crypto::Secret::zeroed())
    } else {
        rebuild(context, custody, &attempt)?
    };
    drop(attempt);
    let event = CustodyEvent::Unsealed {
        set: custody.set,
        attempt: attempt_id,
    };
    let next = next_request(context, caller);
    context.write(&next, Change::Custody(event)).await?;
    let cluster = context.config.cluster;
    let label = root_label(cluster, custody.generation);
    let handle = context.env.hsm.import_root(&label, root_key.expose()).await;
    drop(root_key);
    let opened = match handle {
        Ok(root) => open(context, custody, root).await,
        Err(error) => Err(error.into()),
    };
    match opened {
        Ok(()) => {
            tracing::info!("enough shares were submitted, and this node is unsealed");
            Ok(())
        }
        Err(error) => {
            seal_by_itself(context, format!("unsealing failed: {error}")).await;
            Err(error)
        }
    }
}

/// A request of its own for what follows from a caller's request, so that both are remembered.
fn next_request(context: &NodeContext, caller: &Caller) -> Caller {
    let mut id = [0; 16];
    context.env.entropy.fill(&mut id);
    caller.with_request(conclave_core::RequestId(id))
}

fn rebuild(
    context: &NodeContext,
    custody: &Custody,
    attempt: &Attempt,
) -> Result<RootKey, ServiceError> {
    let count = u8::try_from(custody.custodians.len()).unwrap_or(u8::MAX);
    let (set_id, generation, threshold) = (custody.set, custody.generation, custody.threshold);
    let set = ShareSet {
        set_id,
        generation,
        threshold,
        count,
    };
    let shares: Vec<_> = attempt.shares.values().collect();
    let broken = |detail: String| ServiceError::Share(ShareProblem::NotRebuilt { detail });
    let root_key = share::combine(&shares, &set).map_err(|e| broken(e.to_string()))?;
    root::verify_check_value(
        &root_key,
        context.config.cluster,
        set_id,
        generation,
        &custody.check_value,
    )
    .map_err(|_| broken("the check value is another".to_owned()))?;
    Ok(root_key)
}

async fn open(context: &NodeContext, custody: &Custody, root: HsmKey) -> Result<(), ServiceError> {
    let keys = Unsealed::open(&context.env, context.config.cluster, custody, root).await?;
    context.seal.open(keys);
    Ok(())
}

/// Unseals the node with the root key that an earlier life left on the token, if residency is `token`.
///
/// # Errors
/// As the HSM and replication have them; the node stays sealed.
pub(crate) async fn resume_from_token(context: &NodeContext) -> Result<bool, ServiceError> {
    let _turn = context.seal.turn.lock().await;
    let replica = context.replica.get()?;
    let Some(custody) = replica.with_state(|state| state.custody().cloned()) else {
        return Ok(false);
    };
    if context.seal.reason().is_none() {
        return Ok(true);
    }
    let label = root_label(context.config.cluster, custody.generation);
    let Some(root) = context.env.hsm.find_root(&label).await? else {
        return Ok(false);
    };
    let deadline = Instant::now() + SEAL_RECORD_MAX;
    context
        .write_as_node(Change::Custody(CustodyEvent::Resumed), deadline)
        .await?;
    open(context, &custody, root).await?;
    tracing::info!("the root key was found on the token, and this node is unsealed");
    Ok(true)
}

/// Forgets the shares submitted so far.
///
/// # Errors
/// [`ServiceError::Refused`] if the caller is no custodian, admin or operator; [`ServiceError::Invalid`] if another
/// attempt than the one named is under way.
pub(crate) async fn cancel(
    context: &NodeContext,
    caller: &Caller,
    attempt: &[u8],
) -> Result<(), ServiceError> {
    let _turn = context.seal.turn.lock().await;
    let under_way = context.seal.attempt.lock().as_ref().map(|it| it.id);
    let is_it = |id: AttemptId| id.as_bytes().as_slice() == attempt;
    if !attempt.is_empty() && !under_way.is_some_and(is_it) {
        return Err(ServiceError::invalid(
            "attempt_id",
            "no such attempt is under way",
        ));
    }
    let replica = context.replica.get()?;
    if replica.with_state(|state| may_unseal(state, caller))
        && !is_planted(Bug::KeepCancelledShares)
    {
        // Before it is recorded: nobody may know that it is, and then a share that was taken back would still count.
        *context.seal.attempt.lock() = None;
    }
    let event = CustodyEvent::Cancelled {
        attempt: under_way.unwrap_or_default(),
    };
    context.write(caller, Change::Custody(event)).await?;
    *context.seal.attempt.lock() = None;
    Ok(())
}

/// Seals the node because somebody asks for it. If no quorum records it in time the node is sealed all the same, for
/// sealing takes power away and gives none.
///
/// # Errors
/// [`ServiceError::Forbidden`] or [`ServiceError::Refused`] if the caller may not.
pub(crate) async fn seal(
    context: &NodeContext,
    caller: &Caller,
    reason: String,
) -> Result<(), ServiceError> {
    let _turn = context.seal.turn.lock().await;
    if let Ok(replica) = context.replica.get() {
        replica.with_state(|state| {
            if state.is_custodian(&caller.principal) {
                return Ok(());
            }
            NodeContext::require(state.access(), caller, Action::Seal, &Scope::All)
        })?;
    } else {
        return Err(ServiceError::Storage {
            fault: "who may seal cannot be read: stop the node to seal it".to_owned(),
        });
    }
    let event = CustodyEvent::Sealed {
        reason: reason.clone(),
    };
    let record = context.write(caller, Change::Custody(event));
    match tokio::time::timeout(SEAL_RECORD_MAX, record).await {
        Ok(Err(error @ ServiceError::Refused(_))) => return Err(error),
        Ok(Err(error)) => tracing::warn!(%error, "sealed without a record in the audit log"),
        Err(_) => tracing::warn!("sealed without a record in the audit log: no quorum in time"),
        Ok(Ok(_)) => {}
    }
    close(
        context,
        format!("{} asked for it: {reason}", caller.principal),
    )
    .await;
    Ok(())
}

/// Seals the node because of what befell it.
pub(crate) async fn seal_by_itself(context: &NodeContext, reason: String) {
    close(context, reason.clone()).await;
    tracing::warn!(reason, "this node sealed itself");
    let event = CustodyEvent::Sealed { reason };
    let deadline = Instant::now() + SEAL_RECORD_MAX;
    if let Err(error) = context
        .write_as_node(Change::Custody(event), deadline)
        .await
    {
        tracing::warn!(%error, "sealed without a record in the audit log");
    }
}

async fn close(context: &NodeContext, reason: String) {
    context.seal.close(reason);
    if let Err(error) = context.env.hsm.clear().await {
        tracing::warn!(%error, "the HSM could not be cleared; its handles are forgotten");
    }
}
