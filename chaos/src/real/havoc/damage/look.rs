//! What a damaged node does, and whether it may.

use super::image::Image;
use crate::answers::context_of;
use crate::history::Message;
use crate::real::havoc::arena::judged;
use crate::real::havoc::draws::Draws;
use crate::real::havoc::ledger::Ledger;
use crate::real::{Cluster, NODES, requests, until_in};
use anyhow::{Context as _, Result, bail, ensure};
use conclave_client::Client;
use conclave_client::v1::{DecryptRequest, ListKeysRequest, NodeStatus, RaftRole, ReadConsistency};
use std::time::Duration;

/// How long a node may take until it refuses, takes itself out, or takes part.
const DECIDED_MAX: Duration = Duration::from_secs(30);
/// Messages that a node that serves opens.
const MESSAGES: usize = 12;
/// What the product says of storage that lost or changed something durable.
const DAMAGED: &str = "is damaged";

/// What became of the damaged node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It did not start.
    Refused,
    /// It started, and left replication when it saw the damage.
    TookItselfOut,
    /// It takes part.
    Served,
}

/// Starts the damaged node with the one that lags, and sees that nothing is wrong with what follows.
pub(super) async fn look(
    cluster: &mut Cluster,
    image: &Image,
    draws: &mut Draws,
) -> Result<(Ending, Vec<String>)> {
    let log = cluster.node(image.victim).log_bytes();
    cluster.node(image.victim).spawn()?;
    cluster.node(image.lagging).spawn()?;
    let (mut ending, mut broken) = (decided(cluster, image).await?, Vec::new());
    if ending == Ending::Served {
        match serves(cluster, image, draws).await {
            Ok(found) => broken = found,
            // It may see the damage later, when it reads there.
            Err(error) => match decided_against(cluster, image).await? {
                Some(late) => ending = late,
                None => return Err(error),
            },
        }
    }
    if ending != Ending::Served {
        let said = cluster.node(image.victim).log_since(log);
        if !said.contains(DAMAGED) {
            let last = said.lines().last().unwrap_or("nothing");
            broken.push(format!(
                "{ending:?}, and did not say that something is damaged: {last}"
            ));
        }
        if draws.is(1, 4) {
            broken.extend(others_serve(cluster, image).await?);
        }
    }
    Ok((ending, broken))
}

/// Waits until the node refuses, takes itself out, or is one of a pair that has a leader.
async fn decided(cluster: &mut Cluster, image: &Image) -> Result<Ending> {
    let decided = until_in(DECIDED_MAX, "the damaged node's decision", async || {
        if let Some(ending) = decided_against(cluster, image).await.transpose() {
            return Some(ending);
        }
        let victim = cluster.status(image.victim).await.ok()?;
        let other = cluster.status(image.lagging).await.ok()?;
        let leads = |it: &NodeStatus| it.role() == RaftRole::Leader;
        let agreed = victim.term == other.term && victim.leader_id == other.leader_id;
        (agreed && (leads(&victim) || leads(&other))).then_some(Ok(Ending::Served))
    });
    decided.await?
}

async fn decided_against(cluster: &mut Cluster, image: &Image) -> Result<Option<Ending>> {
    if let Some(status) = cluster.node(image.victim).reap()? {
        ensure!(
            status.code().is_some(),
            "it was ended by a signal: {status}"
        );
        return Ok(Some(Ending::Refused));
    }
    let Ok(status) = cluster.status(image.victim).await else {
        return Ok(None);
    };
    let is_out = status.role() == RaftRole::Stopped && !status.storage_fault.is_empty();
    Ok(is_out.then_some(Ending::TookItselfOut))
}

/// The node that takes part has all that it had, opens what it is given, and agrees with the undamaged ones.
async fn serves(cluster: &mut Cluster, image: &Image, draws: &mut Draws) -> Result<Vec<String>> {
    let victim = image.victim;
    cluster.unseal(victim).await.context("unsealing it")?;
    let mut ledger = Ledger::default();
    ledger.read_on(&cluster.client_at("admin", victim)?).await?;
    let mut broken = judged(image.history.clone(), &ledger, cluster);
    broken.extend(opens(cluster, image, draws).await?);
    cluster.node(image.away).spawn()?;
    cluster.answers(image.away).await?;
    cluster.catches_up(image.away).await?;
    cluster.catches_up(victim).await?;
    cluster.catches_up(image.lagging).await?;
    ledger
        .read_on(&cluster.client_at("admin", image.away)?)
        .await?;
    for id in NODES {
        let status = cluster.status(id).await?;
        let root = ledger.root(status.audit_size);
        if root.as_ref().map(<[u8; 32]>::as_slice) != Some(status.audit_root.as_slice()) {
            broken.push(format!(
                "node {id} has another log of {} records",
                status.audit_size
            ));
        }
    }
    let there = keys(&cluster.client_at("admin", image.away)?).await?;
    for id in [victim, image.lagging] {
        if keys(&cluster.client_at("admin", id)?).await? != there {
            broken.push(format!(
                "the keys on node {id} are not those on node {}",
                image.away
            ));
        }
    }
    Ok(broken)
}

/// Messages that were given out open as what they were, or are refused for a reason of the rules.
async fn opens(cluster: &Cluster, image: &Image, draws: &mut Draws) -> Result<Vec<String>> {
    let app = cluster.client_at("app", image.victim)?;
    let messages = &image.history.messages;
    let mut broken = Vec::new();
    if messages.is_empty() {
        bail!("the image has no messages");
    }
    for _ in 0..MESSAGES {
        let Message {
            key,
            plaintext,
            ciphertext,
            version,
            ..
        } = draws.one(messages);
        let request = DecryptRequest {
            context: context_of(key),
            ..requests::decrypt(ciphertext)
        };
        match app.decrypt(request).await {
            Ok(opened) if opened.plaintext.expose() == plaintext => {}
            Ok(_) => broken.push(format!(
                "a message under version {version} of {key} opens wrongly"
            )),
            Err(error) if ["KEY_STATE", "PERMISSION_DENIED"].contains(&error.reason()) => {}
            Err(error) => bail!("a message under version {version} of {key}: {error}"),
        }
    }
    Ok(broken)
}

/// All keys as a node has them by itself.
async fn keys(admin: &Client) -> Result<Vec<conclave_client::v1::Key>> {
    let mut keys = Vec::new();
    let mut request = ListKeysRequest {
        page_size: 1_000,
        consistency: ReadConsistency::Local.into(),
        ..ListKeysRequest::default()
    };
    loop {
        let page = admin.list_keys(request.clone()).await?;
        keys.extend(page.keys);
        if page.next_page_token.is_empty() {
            return Ok(keys);
        }
        request.page_token = page.next_page_token;
    }
}

/// Without the damaged node, the others have all that was acknowledged.
async fn others_serve(cluster: &mut Cluster, image: &Image) -> Result<Vec<String>> {
    cluster.node(image.victim).stop_now()?;
    cluster.node(image.away).spawn()?;
    cluster.answers(image.away).await?;
    cluster
        .catches_up(image.lagging)
        .await
        .context("the others do not serve without it")?;
    let mut ledger = Ledger::default();
    ledger
        .read_on(&cluster.client_at("admin", image.lagging)?)
        .await?;
    Ok(judged(image.history.clone(), &ledger, cluster))
}
