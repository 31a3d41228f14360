//! A disk that is full, or goes read-only, under the leader.

use anyhow::{Result, ensure};
use conclave_chaos::real::{
    Cluster, History, LoopDisk, MemoryDisk, NODES, Options, can_mount, requests, until,
};
use conclave_client::v1::{self, RaftRole};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

const DISK_MIB: u64 = 64;
/// Uses at once when a disk is to be filled.
const WRITERS: usize = 32;
/// How long the others may take until they serve.
const OUTAGE_MAX: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_its_node_out_until_there_is_room() -> Result<()> {
    if !can_mount("a full disk") {
        return Ok(());
    }
    let mut cluster = Cluster::prepare(Options::default())?;
    let mut disks = Vec::new();
    for id in NODES {
        disks.push(MemoryDisk::mount(
            &cluster.layout().data_dir(id),
            DISK_MIB << 20,
        )?);
    }
    cluster.boot_all().await?;
    cluster.found().await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/work"))
        .await?;

    let leader = cluster.leader().await?;
    for disk in &disks {
        disk.resize((8 * DISK_MIB) << 20)?;
    }
    let disk = &mut disks[usize::try_from(leader - 1)?];
    disk.resize(DISK_MIB << 20)?;
    let history = History::begin(&cluster, "demo/work", "full")?;
    history.reaches(20).await?;
    disk.fill()?;
    write_until_it_fails(&cluster, leader).await?;
    out_of_the_cluster(&cluster, &history, leader).await?;
    disk.make_room().await?;
    let what = format!("node {leader} takes part again");
    until(&what, async || {
        cluster
            .status(leader)
            .await
            .ok()
            .filter(|status| status.storage_fault.is_empty())
    })
    .await?;
    let done = history.end().await?;
    cluster.catches_up(leader).await?;
    done.must_hold(&cluster).await?;
    // It was not restarted, so it needs no custodians.
    let (_, plaintext, ciphertext) = done.messages.last().expect("some were encrypted");
    let opened = cluster
        .client_at("app", leader)?
        .decrypt(requests::decrypt(ciphertext))
        .await?;
    ensure!(opened.plaintext.expose() == plaintext);
    drop(disks);
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_goes_read_only_takes_its_node_out() -> Result<()> {
    if !can_mount("a read-only disk") {
        return Ok(());
    }
    let mut cluster = Cluster::prepare(Options::default())?;
    let mut disks = Vec::new();
    for id in NODES {
        match LoopDisk::mount(&cluster.layout().data_dir(id), DISK_MIB * 2) {
            Ok(disk) => disks.push(disk),
            Err(error) => {
                eprintln!("SKIPPED: a read-only disk: there are no loop devices here ({error})");
                return cluster.finish();
            }
        }
    }
    cluster.boot_all().await?;
    cluster.found().await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/work"))
        .await?;

    let leader = cluster.leader().await?;
    let history = History::begin(&cluster, "demo/work", "read-only")?;
    history.reaches(20).await?;
    let place = usize::try_from(leader - 1)?;
    disks[place].fail()?;
    out_of_the_cluster(&cluster, &history, leader).await?;
    let done = history.end().await?;
    done.must_hold(&cluster).await?;

    // The disk is repaired, and the node comes back with what it had.
    cluster.node(leader).terminate().await?;
    drop(disks.remove(place));
    let path = cluster.layout().data_dir(leader);
    let repair = Command::new("e2fsck")
        .arg("-fy")
        .arg(path.with_extension("image"))
        .output()?;
    ensure!(
        repair.status.code().is_some_and(|code| code < 4),
        "{repair:?}"
    );
    disks.push(LoopDisk::mount(&path, DISK_MIB * 2)?);
    cluster.boot(leader).await?;
    cluster.catches_up(leader).await?;
    cluster.unseal(leader).await?;
    done.must_hold(&cluster).await?;
    drop(disks);
    cluster.finish()
}

/// A database has room in reserve: records with all the context that they may have use it up.
async fn write_until_it_fails(cluster: &Cluster, node: u64) -> Result<()> {
    let app = cluster.client("app")?;
    let context = BTreeMap::from([("k".to_owned(), "x".repeat((8 << 10) - 16))]);
    let what = format!("the storage of node {node} fails");
    until(&what, async || {
        let request = || v1::EncryptRequest {
            context: context.clone(),
            ..requests::encrypt("demo/work", b"x")
        };
        // Some fail with the node, which is what they are for.
        drop(join_all((0..WRITERS).map(|_| app.encrypt(request()))).await);
        let status = cluster.status(node).await.ok()?;
        (!status.storage_fault.is_empty()).then_some(())
    })
    .await
}

/// The node says what is wrong, leads no more and does not try to, and the others serve.
async fn out_of_the_cluster(cluster: &Cluster, history: &History, node: u64) -> Result<()> {
    let what = format!("node {node} says that its storage failed");
    let fault = until(&what, async || {
        let status = cluster.status(node).await.ok()?;
        (!status.storage_fault.is_empty()).then_some(status)
    })
    .await?;
    ensure!(
        fault.role() == RaftRole::Stopped,
        "node {node} is {:?}",
        fault.role()
    );
    let leader = until("another leader", async || {
        cluster.leader().await.ok().filter(|leader| *leader != node)
    })
    .await?;
    let term = cluster.status(leader).await?.term;
    // Several election timeouts long, the others are not disturbed.
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        let served = history.successes();
        history.reaches(served + 5).await?;
        let status = cluster.status(leader).await?;
        ensure!(
            status.term == term,
            "there was an election in term {}",
            status.term
        );
        ensure!(cluster.status(node).await?.role() != RaftRole::Leader);
    }
    let pause = history.longest_pause();
    eprintln!(
        "nobody served for {} ms; {}",
        pause.as_millis(),
        fault.storage_fault
    );
    ensure!(
        pause < OUTAGE_MAX,
        "nobody served for {} ms",
        pause.as_millis()
    );
    Ok(())
}
