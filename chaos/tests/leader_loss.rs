//! The leader is killed while clients work, again and again.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Acknowledged, Cluster, History, Options, requests};
use conclave_client::v1::SealState;
use std::env;
use std::time::Duration;
use tokio::time::Instant;

/// How often the leader is killed.
const ROUNDS: &str = "CONCLAVE_ROUNDS";
/// How long the others may take until they serve.
const OUTAGE_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_leader_is_killed() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/work"))
        .await?;
    let rounds = env::var(ROUNDS).map_or(Ok(20), |text| text.parse::<u32>())?;
    let mut all = Acknowledged::default();
    let mut outages = Vec::new();
    for round in 1..=rounds {
        let (done, outage) = one_round(&mut cluster, round)
            .await
            .with_context(|| format!("round {round}"))?;
        outages.push(outage);
        all.keys.extend(done.keys);
        all.messages.extend(done.messages);
    }
    // What was acknowledged in the first round holds after the last one.
    all.must_hold(&cluster).await?;
    outages.sort();
    eprintln!(
        "{rounds} leaders killed; {} keys and {} messages hold; served again after {} to {} ms",
        all.keys.len(),
        all.messages.len(),
        outages.first().map_or(0, Duration::as_millis),
        outages.last().map_or(0, Duration::as_millis),
    );
    cluster.finish()
}

async fn one_round(cluster: &mut Cluster, round: u32) -> Result<(Acknowledged, Duration)> {
    let leader = cluster.leader().await?;
    let history = History::begin(cluster, "demo/work", &format!("r{round}"))?;
    history.reaches(30).await?;
    let killed = Instant::now();
    cluster.node(leader).kill()?;
    let outage = history.serves_again(killed, OUTAGE_MAX).await?;
    ensure!(
        outage < OUTAGE_MAX,
        "nobody served for {} ms",
        outage.as_millis()
    );
    let served = history.successes();
    history.reaches(served + 30).await?;
    let done = history.end().await?;
    ensure!(
        !done.messages.is_empty() && !done.keys.is_empty(),
        "nothing was done"
    );
    done.must_hold(cluster).await?;
    let status = cluster.boot(leader).await?;
    ensure!(
        status.seal() != SealState::Unsealed,
        "a restarted node is unsealed"
    );
    let status = cluster.catches_up(leader).await?;
    ensure!(
        status.seal() == SealState::Sealed,
        "node {leader} is {:?}",
        status.seal()
    );
    cluster.unseal(leader).await?;
    let (_, plaintext, ciphertext) = done.messages.last().context("there is one")?;
    let client = cluster.client_at("app", leader)?;
    let opened = client.decrypt(requests::decrypt(ciphertext)).await?;
    ensure!(
        opened.plaintext.expose() == plaintext,
        "the restarted node opens it wrongly"
    );
    Ok((done, outage))
}
