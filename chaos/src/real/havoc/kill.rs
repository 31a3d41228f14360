//! SIGKILL: any node, the leader, two, or all at once, while clients work.

use super::arena::Arena;
use super::draws::Draws;
use super::report::Report;
use super::{Kind, Settings, trials};
use crate::real::{Cluster, NODES, Options};
use anyhow::Result;
use rand::seq::SliceRandom as _;
use tokio::time::sleep;

/// So often that trials meet checkpoints and purges under way.
const SNAPSHOT: (u64, u64) = (400, 100);

pub(super) async fn run(settings: Settings) -> Result<Report> {
    let options = Options {
        snapshot: SNAPSHOT,
        ..Options::default()
    };
    let arena = Arena::open(options, settings.seed).await?;
    trials(Kind::Kill, settings, arena, one).await
}

async fn one(arena: &mut Arena, draws: &mut Draws, report: &mut Report) -> Result<Vec<String>> {
    let leader = arena.cluster.leader().await?;
    let (victims, what) = victims(draws, leader);
    arena.go();
    sleep(draws.millis(50..=700)).await;
    let gap = draws.millis(0..=60);
    for id in &victims {
        arena.cluster.node(*id).kill()?;
        // All of them at the same instant, or one soon after the other.
        if draws.is(1, 2) {
            sleep(gap).await;
        }
    }
    report.count(what);
    report.count_many("processes killed", u64::try_from(victims.len())?);
    sleep(draws.millis(0..=600)).await;
    if draws.is(1, 5) {
        kill_as_it_starts(arena, draws, victims[0]).await?;
        report.count("killed again as it started");
        report.count("processes killed");
    }
    arena.bring_back(&victims).await?;
    sleep(draws.millis(0..=150)).await;
    Ok(Vec::new())
}

/// Whom it hits: half the time the leader alone, seldom all.
fn victims(draws: &mut Draws, leader: u64) -> (Vec<u64>, &'static str) {
    match draws.one(0..10) {
        0..5 => (vec![leader], "leader killed"),
        5..7 => {
            let follower = draws.one(Cluster::others(leader));
            (vec![follower], "follower killed")
        }
        7..9 => {
            let spared = draws.one(NODES);
            let mut victims: Vec<u64> = Cluster::others(spared).collect();
            victims.shuffle(&mut draws.0);
            (victims, "two nodes killed")
        }
        _ => {
            let mut victims: Vec<u64> = NODES.collect();
            victims.shuffle(&mut draws.0);
            (victims, "all nodes killed")
        }
    }
}

/// Recovery is interrupted, too.
async fn kill_as_it_starts(arena: &mut Arena, draws: &mut Draws, id: u64) -> Result<()> {
    arena.cluster.node(id).spawn()?;
    sleep(draws.millis(0..=400)).await;
    arena.cluster.node(id).kill()
}
