//! No room on one node's disk: the node says so and stays out until there is room, and the others serve.

use super::arena::Arena;
use super::draws::Draws;
use super::report::Report;
use super::{Kind, Settings, trials};
use crate::real::{Cluster, MemoryDisk, NODES, Options, can_mount, requests, until};
use anyhow::{Context as _, Result, ensure};
use conclave_client::v1::{EncryptRequest, RaftRole};
use futures::future::join_all;
use std::collections::BTreeMap;
use tokio::time::sleep;

const DISK_BYTES: u64 = 64 << 20;
/// Of the disks that do not become full.
const LARGE_DISK_BYTES: u64 = 2 << 30;
/// Uses at once when a disk is to be filled.
const WRITERS: usize = 32;
/// Records with all the context that they may have, since a database has room in reserve.
const CONTEXT_BYTES: usize = (8 << 10) - 16;
/// Calls that must be answered while the node is out.
const SERVED: usize = 20;
const FILLER: &str = "demo/filler";

pub(super) async fn run(settings: Settings) -> Result<Report> {
    if !can_mount("full disks") {
        let why = "this process may not mount file systems";
        return Ok(Report::skipped(Kind::DiskFull, settings.seed, why));
    }
    let mut cluster = Cluster::prepare(Options::default())?;
    let mut disks = Vec::new();
    for id in NODES {
        disks.push(MemoryDisk::mount(
            &cluster.layout().data_dir(id),
            LARGE_DISK_BYTES,
        )?);
    }
    cluster.boot_all().await?;
    cluster.found().await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key(FILLER))
        .await?;
    let arena = Arena::with(cluster, settings.seed).await?;
    let disks = &mut disks;
    let trial = async |arena: &mut Arena, draws: &mut Draws, report: &mut Report| {
        one(arena, disks, draws, report).await
    };
    trials(Kind::DiskFull, settings, arena, trial).await
}

async fn one(
    arena: &mut Arena,
    disks: &mut [MemoryDisk],
    draws: &mut Draws,
    report: &mut Report,
) -> Result<Vec<String>> {
    let leader = arena.cluster.leader().await?;
    let victim = if draws.is(1, 2) {
        leader
    } else {
        draws.one(NODES)
    };
    report.count(if victim == leader {
        "leader's disk full"
    } else {
        "follower's disk full"
    });
    let place = usize::try_from(victim - 1)?;
    let disk = disks.get_mut(place).context("a disk for each node")?;
    arena.go();
    sleep(draws.millis(100..=1_000)).await;
    // What it has already, and little more.
    disk.resize(used_bytes(&arena.cluster, victim)? + DISK_BYTES)?;
    disk.fill()?;
    let fault = write_until_it_fails(&arena.cluster, victim).await;
    let served = match fault {
        Ok(()) => out_of_the_cluster(arena, victim).await,
        Err(error) => Err(error),
    };
    disk.make_room().await?;
    disk.resize(LARGE_DISK_BYTES)?;
    served?;
    until(&format!("node {victim} takes part again"), async || {
        let status = arena.cluster.status(victim).await.ok()?;
        status.storage_fault.is_empty().then_some(())
    })
    .await?;
    arena.rest().await;
    arena.cluster.catches_up(victim).await?;
    // It did not restart, so that it needs no custodians; if its keys are gone, that is wrong.
    arena.bring_back(&[]).await?;
    Ok(Vec::new())
}

fn used_bytes(cluster: &Cluster, id: u64) -> Result<u64> {
    let stat = rustix::fs::statvfs(cluster.layout().data_dir(id))?;
    Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
}

async fn write_until_it_fails(cluster: &Cluster, node: u64) -> Result<()> {
    let app = cluster.client("app")?;
    let context = BTreeMap::from([("k".to_owned(), "x".repeat(CONTEXT_BYTES))]);
    until(&format!("the storage of node {node} fails"), async || {
        let request = || EncryptRequest {
            context: context.clone(),
            ..requests::encrypt(FILLER, b"x")
        };
        // Some fail with the node, which is what they are for.
        drop(join_all((0..WRITERS).map(|_| app.encrypt(request()))).await);
        let status = cluster.status(node).await.ok()?;
        (!status.storage_fault.is_empty()).then_some(())
    })
    .await
}

/// The node says what is wrong and takes no part; the others have a leader and serve.
async fn out_of_the_cluster(arena: &mut Arena, node: u64) -> Result<()> {
    let status = arena.cluster.status(node).await?;
    ensure!(
        status.role() == RaftRole::Stopped,
        "node {node} has no room and is {:?}",
        status.role()
    );
    until("another leader", async || {
        arena
            .cluster
            .leader()
            .await
            .ok()
            .filter(|leader| *leader != node)
    })
    .await?;
    arena.work.settles(SERVED).await?;
    let status = arena.cluster.status(node).await?;
    ensure!(
        status.role() != RaftRole::Leader,
        "node {node} leads without room"
    );
    Ok(())
}
