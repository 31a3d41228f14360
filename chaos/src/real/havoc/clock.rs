//! A node's wall clock jumps. Nothing that is promised may hang on it: not who leads, not what is allowed, and the audit
//! log's times do not run backwards.
//!
//! The monotonic clock is left alone, as a jump of the wall clock leaves it alone.

use super::arena::Arena;
use super::draws::Draws;
use super::report::Report;
use super::{Kind, Settings, trials};
use crate::real::{Cluster, NODES, Options};
use anyhow::Result;
use rand::Rng as _;
use tokio::time::sleep;

/// As far as a clock jumps, either way.
const JUMP_SECONDS_MAX: i32 = 180;

pub(super) async fn run(settings: Settings) -> Result<Report> {
    let mut cluster = Cluster::prepare(Options::default())?;
    if let Err(why) = cluster.take_clocks().await {
        return Ok(Report::skipped(Kind::Clock, settings.seed, why.to_string()));
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
        arena.cluster.set_clock(victim, seconds.into())?;
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
