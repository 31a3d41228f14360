//! SIGTERM under load: an orderly end in time, and nothing acknowledged is lost.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Cluster, History, NODES, Options, requests};
use std::time::Duration;

const STOP_MAX: Duration = Duration::from_secs(10);
/// How long clients may wait while a node stops.
const OUTAGE_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn each_node_stops_in_order_under_load() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/work"))
        .await?;
    let leader = cluster.leader().await?;
    let follower = Cluster::others(leader).next().context("there are two")?;
    for id in [follower, leader] {
        let history = History::begin(&cluster, "demo/work", &format!("stop-{id}"))?;
        history.reaches(30).await?;
        let exit = cluster.node(id).terminate().await?;
        ensure!(
            exit.code == Some(0),
            "node {id} ended with {:?}: {}",
            exit.code,
            exit.log
        );
        ensure!(
            exit.took < STOP_MAX,
            "node {id} took {} ms",
            exit.took.as_millis()
        );
        let served = history.successes();
        history.reaches(served + 10).await?;
        let pause = history.longest_pause();
        eprintln!(
            "node {id} stopped in {} ms; nobody served for {} ms",
            exit.took.as_millis(),
            pause.as_millis()
        );
        ensure!(
            pause < OUTAGE_MAX,
            "nobody served for {} ms",
            pause.as_millis()
        );
        history.end().await?.must_hold(&cluster).await?;
        cluster.boot(id).await?;
        cluster.unseal(id).await?;
        cluster.catches_up(id).await?;
    }
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_cluster_stops_under_load_and_nothing_is_lost() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/work"))
        .await?;
    let history = History::begin(&cluster, "demo/work", "all")?;
    history.reaches(50).await?;
    for id in NODES {
        let exit = cluster.node(id).terminate().await?;
        ensure!(
            exit.code == Some(0),
            "node {id} ended with {:?}: {}",
            exit.code,
            exit.log
        );
        ensure!(
            exit.took < STOP_MAX,
            "node {id} took {} ms",
            exit.took.as_millis()
        );
    }
    for id in NODES {
        cluster.node(id).spawn()?;
    }
    cluster.leader().await?;
    for id in NODES {
        cluster.catches_up(id).await?;
        cluster.unseal(id).await?;
    }
    history.end().await?.must_hold(&cluster).await?;
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn power_fails_everywhere_and_nothing_acknowledged_is_lost() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/work"))
        .await?;
    let history = History::begin(&cluster, "demo/work", "power")?;
    history.reaches(50).await?;
    for id in NODES {
        cluster.node(id).kill()?;
    }
    for id in NODES {
        cluster.node(id).spawn()?;
    }
    cluster.leader().await?;
    for id in NODES {
        cluster.catches_up(id).await?;
        cluster.unseal(id).await?;
    }
    history.end().await?.must_hold(&cluster).await?;
    cluster.finish()
}
