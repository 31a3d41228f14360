//! The ceremony: a root key is drawn, split, given to the custodians, and put into this node's HSM.

use super::root_label;
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::unsealed::{Unsealed, random};
use conclave_core::{
    Action, Change, ClusterId, Custodian, CustodianName, Custody, Generation, Refusal, Scope,
    SetId, outcome::Malformation,
};
use conclave_crypto::{RootKey, Share, ShareFile, ShareSet, encrypt_to, root, share};
use conclave_env::HsmKey;
use std::collections::BTreeSet;

/// What the ceremony gives: for each custodian a share that only that custodian can read.
pub(crate) struct Ceremony {
    pub(crate) shares: Vec<(CustodianName, Vec<u8>)>,
    pub(crate) custody: Custody,
}

/// Holds the ceremony on this node, which is unsealed afterwards.
///
/// # Errors
/// [`ServiceError::Refused`] if there was one that counts, [`ServiceError::Invalid`] if a recipient is not one, or as
/// the HSM and replication have them; then no root key exists.
pub(crate) async fn hold_ceremony(
    context: &NodeContext,
    caller: &Caller,
    custodians: Vec<(CustodianName, String)>,
    threshold: u8,
) -> Result<Ceremony, ServiceError> {
    let _turn = context.seal.turn.lock().await;
    check_before(context, caller, &custodians, threshold).await?;
    let drawn = draw(context, custodians, threshold).await?;
    let cluster = context.config.cluster;
    let keys = Unsealed::open(&context.env, cluster, &drawn.custody, drawn.root).await?;
    if let Err(error) = settle(context, caller, &drawn.custody).await {
        context.env.hsm.clear().await?;
        context.seal.close("the ceremony failed".to_owned());
        return Err(error);
    }
    context.seal.open(keys);
    tracing::info!(
        threshold,
        "the root key was made, and this node is unsealed"
    );
    let names = drawn.custody.custodians.iter().map(|it| it.name.clone());
    Ok(Ceremony {
        shares: names.zip(drawn.shares).collect(),
        custody: drawn.custody,
    })
}

/// A root key that is in this node's HSM and with nobody else yet.
struct Drawn {
    root: HsmKey,
    custody: Custody,
    /// As only its custodian can read each.
    shares: Vec<Vec<u8>>,
}

async fn draw(
    context: &NodeContext,
    custodians: Vec<(CustodianName, String)>,
    threshold: u8,
) -> Result<Drawn, ServiceError> {
    let (env, cluster, generation) = (&context.env, context.config.cluster, Generation(1));
    let mut set_id = [0; 16];
    env.entropy.fill(&mut set_id);
    let count = u8::try_from(custodians.len()).unwrap_or(u8::MAX);
    let set = ShareSet {
        set_id: SetId(set_id),
        generation,
        threshold,
        count,
    };
    let root_key = RootKey::new(random(env, b"conclave/1/root-key").await?);
    let shares = share::split(&root_key, &set);
    let shares = shares.map_err(|e| ServiceError::invalid("threshold", e))?;
    let digests: Vec<_> = shares.iter().map(Share::digest).collect();
    let shares = encrypt(cluster, &custodians, set, shares)?;
    let check_value = root::check_value(&root_key, cluster, set.set_id, generation);
    let label = root_label(cluster, generation);
    let root = env.hsm.import_root(&label, root_key.expose()).await;
    drop(root_key);
    let root = root?;
    let (wrapped, audit_verifier_key) = Unsealed::create(env, cluster, generation, root).await?;
    let custodian = |((name, recipient), share_digest)| Custodian {
        name,
        recipient,
        share_digest,
    };
    let custody = Custody {
        set: set.set_id,
        generation,
        threshold,
        custodians: custodians.into_iter().zip(digests).map(custodian).collect(),
        check_value,
        wrapped,
        audit_verifier_key,
        confirmed: false,
    };
    Ok(Drawn {
        root,
        custody,
        shares,
    })
}

/// Commits the result. Another ceremony may have been quicker, on another node; then this one does not count.
async fn settle(
    context: &NodeContext,
    caller: &Caller,
    custody: &Custody,
) -> Result<(), ServiceError> {
    let change = Change::InitCustody(Box::new(custody.clone()));
    context.write(caller, change).await?;
    let replica = context.replica.get()?;
    context.catch_up(&replica, caller.deadline).await?;
    let ours = |it: &Custody| it.set == custody.set;
    if replica.with_state(|state| state.custody().is_some_and(ours)) {
        Ok(())
    } else {
        Err(ServiceError::Contended)
    }
}

/// Finds out early what `apply` would refuse, before an HSM is touched.
async fn check_before(
    context: &NodeContext,
    caller: &Caller,
    custodians: &[(CustodianName, String)],
    threshold: u8,
) -> Result<(), ServiceError> {
    let names: BTreeSet<_> = custodians.iter().map(|(name, _)| name).collect();
    let count = custodians.len();
    let numbers = (2..=255).contains(&count) && (2..=count).contains(&usize::from(threshold));
    if !numbers || names.len() != count {
        return Err(ServiceError::Refused(Refusal::Malformed(
            Malformation::Custody,
        )));
    }
    let replica = context.replica.get()?;
    context.catch_up(&replica, caller.deadline).await?;
    replica.with_state(|state| {
        // Before that nobody holds a role, which would look like a refusal for good.
        if state.cluster().is_none() {
            return Err(ServiceError::Refused(Refusal::NotFormed));
        }
        NodeContext::require(state.access(), caller, Action::InitCustody, &Scope::All)?;
        let settled =
            |custody: &Custody| custody.confirmed || state.keys("", None).next().is_some();
        if state.custody().is_some_and(settled) {
            return Err(ServiceError::Refused(Refusal::CustodySettled));
        }
        Ok(())
    })
}

/// Each share as only its custodian can read it.
fn encrypt(
    cluster: ClusterId,
    custodians: &[(CustodianName, String)],
    set: ShareSet,
    shares: Vec<Share>,
) -> Result<Vec<Vec<u8>>, ServiceError> {
    let one = |((name, recipient), share): (&(CustodianName, String), Share)| {
        let custodian = name.clone();
        let file = ShareFile {
            cluster,
            set,
            custodian,
            share,
        }
        .to_bytes();
        encrypt_to(recipient, file.expose())
            .map_err(|e| ServiceError::invalid("custodians.recipient", format!("of {name}: {e}")))
    };
    custodians.iter().zip(shares).map(one).collect()
}
