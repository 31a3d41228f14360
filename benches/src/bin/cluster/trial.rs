//! Events whose length is measured. The instant of the event and those of all answers are of one clock, in one process.

use crate::world::{KEY, PRINCIPAL, World};
use anyhow::{Result, ensure};
use conclave_benches::outage::{Ask, Probe};
use conclave_chaos::real::{NODES, requests, until_in};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long clients are at work before the event.
const BEFORE: Duration = Duration::from_secs(2);
/// How long they go on after it at least.
const AFTER: Duration = Duration::from_secs(3);
/// How long they must have been served again at the end.
const STEADY: Duration = Duration::from_millis(500);
/// How long is waited for that.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long one attempt at a node that has just started may take.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Between two such attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// How the leader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Kill,
    Terminate,
}

/// The leader goes while one client encrypts and another creates keys; then it comes back.
pub(crate) async fn lose_leader(world: &mut World, way: Way) -> Result<Value> {
    let leader = world.cluster.leader().await?;
    let prefix = world.next_prefix();
    let client = || world.cluster.client_from(PRINCIPAL, leader);
    let uses = Probe::start(client()?, Ask::Encrypt(KEY.to_owned()));
    let writes = Probe::start(client()?, Ask::CreateKey(prefix));
    sleep(BEFORE).await;
    ensure!(
        uses.is_served_since(lately()) && writes.is_served_since(lately()),
        "the cluster does not serve: look at the nodes' logs"
    );
    let event = Instant::now();
    match way {
        Way::Kill => world.cluster.node(leader).kill()?,
        Way::Terminate => world.cluster.node(leader).terminate().await.map(drop)?,
    }
    let process_ended_ms = event.elapsed().as_secs_f64() * 1e3;
    let served_again = until_in(PATIENCE, "the clients to be served again", async || {
        let since = lately();
        let steady =
            uses.is_served_since(since.max(event)) && writes.is_served_since(since.max(event));
        (steady && event.elapsed() >= AFTER).then_some(())
    })
    .await;
    let (uses, writes) = (uses.end(event).await, writes.end(event).await);
    served_again?;
    world.cluster.boot(leader).await?;
    world.cluster.unseal(leader).await?;
    world.cluster.catches_up(leader).await?;
    Ok(json!({ "use": uses, "write": writes, "process_ended_ms": process_ended_ms }))
}

/// All nodes are killed, started and unsealed. Times count from the first start.
pub(crate) async fn cold_start(world: &mut World) -> Result<Value> {
    for id in NODES {
        world.cluster.node(id).kill()?;
    }
    let prefix = world.next_prefix();
    let begun = Instant::now();
    let now_ms = || begun.elapsed().as_secs_f64() * 1e3;
    for id in NODES {
        world.cluster.node(id).spawn()?;
    }
    for id in NODES {
        world.cluster.answers(id).await?;
    }
    let listening_ms = now_ms();
    for id in NODES {
        world.cluster.unseal(id).await?;
    }
    let unsealed_ms = now_ms();
    let mut first_use_ms = None;
    for id in NODES {
        let client = world
            .cluster
            .client_at(PRINCIPAL, id)?
            .with_deadline(ATTEMPT);
        let request = || requests::encrypt(KEY, &[7; 32]);
        in_time(begun, "a first use", async || {
            client.encrypt(request()).await.is_ok()
        })
        .await?;
        first_use_ms.get_or_insert(now_ms());
    }
    let used_on_all_ms = now_ms();
    let client = world.cluster.client(PRINCIPAL)?.with_deadline(ATTEMPT);
    let request = || requests::create_key(&prefix);
    in_time(begun, "a first write", async || {
        match client.create_key(request()).await {
            Ok(_) => true,
            // An attempt whose answer did not come in time may have been one too many.
            Err(error) => error.reason() == "KEY_EXISTS",
        }
    })
    .await?;
    Ok(json!({
        "listening_ms": listening_ms,
        "unsealed_ms": unsealed_ms,
        "first_use_ms": first_use_ms,
        "used_on_all_ms": used_on_all_ms,
        "first_write_ms": now_ms(),
    }))
}

/// Since when clients must have been served to be served steadily.
fn lately() -> Instant {
    Instant::now()
        .checked_sub(STEADY)
        .expect("this program has waited for longer than that")
}

async fn in_time(begun: Instant, what: &str, attempt: impl AsyncFn() -> bool) -> Result<()> {
    while !attempt().await {
        ensure!(
            begun.elapsed() < PATIENCE,
            "waited in vain for {what}: look at the nodes' logs"
        );
        sleep(PAUSE).await;
    }
    Ok(())
}
