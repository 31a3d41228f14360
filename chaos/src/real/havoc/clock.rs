//! A node's wall clock jumps. Nothing that is promised may hang on it: not who leads, not what is allowed, and the audit
//! log's times do not run backwards.
//!
//! The clock is that of libfaketime, loaded into each node, which reads how far it is off from a file. The monotonic
//! clock is left alone, as a jump of the wall clock leaves it alone.

use super::arena::Arena;
use super::draws::Draws;
use super::report::Report;
use super::{Kind, Settings, trials};
use crate::real::{Cluster, NODES, Options};
use anyhow::Result;
use rand::Rng as _;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::time::sleep;

/// Where Debian's package libfaketime puts it, and others.
const LIBRARIES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];
/// As far as a clock jumps, either way.
const JUMP_SECONDS_MAX: i32 = 180;

pub(super) async fn run(settings: Settings) -> Result<Report> {
    let Some(library) = LIBRARIES.iter().map(Path::new).find(|path| path.is_file()) else {
        let why = "libfaketime is missing: apt-get install faketime";
        return Ok(Report::skipped(Kind::Clock, settings.seed, why));
    };
    let mut cluster = Cluster::prepare(Options::default())?;
    for id in NODES {
        set(&cluster, id, 0)?;
        let environment = [
            ("LD_PRELOAD", library.as_os_str().to_owned()),
            (
                "FAKETIME_TIMESTAMP_FILE",
                offset_file(&cluster, id).into_os_string(),
            ),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ];
        let environment = environment.map(|(name, value)| (name.into(), value));
        cluster.node(id).with_environment(environment.into());
    }
    if !has_effect(&mut cluster).await? {
        let why = "libfaketime does not change a node's clock here";
        return Ok(Report::skipped(Kind::Clock, settings.seed, why));
    }
    cluster.boot_all().await?;
    cluster.found().await?;
    let arena = Arena::with(cluster, settings.seed).await?;
    trials(Kind::Clock, settings, arena, one).await
}

async fn one(arena: &mut Arena, draws: &mut Draws, report: &mut Report) -> Result<Vec<String>> {
    let leader = arena.cluster.leader().await?;
    let victim = if draws.is(1, 2) {
        leader
    } else {
        draws.one(NODES)
    };
    report.count(if victim == leader {
        "leader's clock jumped"
    } else {
        "follower's clock jumped"
    });
    let term = arena.cluster.status(leader).await?.term;
    arena.go();
    sleep(draws.millis(50..=400)).await;
    for _ in 0..draws.one(1..=3) {
        let seconds = draws.0.random_range(-JUMP_SECONDS_MAX..=JUMP_SECONDS_MAX);
        set(&arena.cluster, victim, seconds)?;
        sleep(draws.millis(100..=800)).await;
    }
    if draws.is(1, 4) {
        // Its memory of the time before is lost, too.
        arena.cluster.node(victim).kill()?;
        arena.bring_back(&[victim]).await?;
        report.count("killed after its clock jumped");
        return Ok(Vec::new());
    }
    let now = arena
        .cluster
        .status(arena.cluster.leader().await?)
        .await?
        .term;
    if now == term {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "node {victim}'s clock jumped, and the term went from {term} to {now}"
    )])
}

/// Whether a node's log shows another year when its clock is more than a year off.
async fn has_effect(cluster: &mut Cluster) -> Result<bool> {
    let mut years = Vec::new();
    for seconds in [0, 400 * 24 * 3_600] {
        set(cluster, 1, seconds)?;
        let log = cluster.node(1).run_task("check").await?.log;
        let last = log.lines().last().unwrap_or_default();
        years.push(last.chars().take(4).collect::<String>());
    }
    set(cluster, 1, 0)?;
    Ok(years[0] != years[1])
}

fn offset_file(cluster: &Cluster, id: u64) -> PathBuf {
    cluster.layout().node_dir(id).join("clock")
}

/// Sets how far a node's clock is off from now on. Written aside, so that no half of it is read.
fn set(cluster: &Cluster, id: u64, seconds: i32) -> Result<()> {
    let path = offset_file(cluster, id);
    let aside = path.with_extension("new");
    fs::write(&aside, format!("{seconds:+}\n"))?;
    Ok(fs::rename(aside, path)?)
}
