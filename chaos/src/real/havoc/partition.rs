//! Nodes that do not reach each other: one cut off, one that hears and is not heard, two that have only the third in
//! common; where the kernel can, slow and lossy links too. Clients go on reaching all of them.

use super::arena::Arena;
use super::draws::Draws;
use super::namespaces::{self, Links, host};
use super::report::Report;
use super::{Kind, Settings, trials};
use crate::real::{Cluster, NODES, Options};
use anyhow::{Context as _, Result};
use tokio::time::sleep;

/// Drops from one node to another.
type Cut = (u64, u64);

/// What befalls the network.
enum Weather {
    /// Packets that are dropped.
    Cuts(Vec<Cut>),
    /// Packets to a node are late or lost, as netem is told.
    Bad(u64, String),
}

pub(super) async fn run(settings: Settings) -> Result<Report> {
    let links = Links::around_us().context("partitions are made in a world of namespaces only")?;
    if !links.can_delay() {
        eprintln!("SKIPPED: slow and lossy links: this kernel has no netem");
    }
    let options = Options {
        hosts: [host(1), host(2), host(3)],
        ..Options::default()
    };
    let mut cluster = Cluster::prepare(options)?;
    for id in NODES {
        cluster.node(id).start_through(links.prefix(id));
    }
    cluster.boot_all().await?;
    cluster.found().await?;
    let arena = Arena::with(cluster, settings.seed).await?;
    let links = &links;
    let trial = async |arena: &mut Arena, draws: &mut Draws, report: &mut Report| {
        one(arena, links, draws, report).await
    };
    trials(Kind::Partition, settings, arena, trial).await
}

async fn one(
    arena: &mut Arena,
    links: &Links,
    draws: &mut Draws,
    report: &mut Report,
) -> Result<Vec<String>> {
    let leader = arena.cluster.leader().await?;
    let (weather, what) = weather(draws, leader, links.can_delay());
    report.count(what);
    arena.go();
    sleep(draws.millis(50..=500)).await;
    begin(&weather)?;
    sleep(draws.millis(200..=5_000)).await;
    end(&weather)?;
    sleep(draws.millis(0..=500)).await;
    // Nobody restarted; a node that was alone finds its place by itself.
    for id in NODES {
        arena.cluster.catches_up(id).await?;
    }
    Ok(Vec::new())
}

fn weather(draws: &mut Draws, leader: u64, can_delay: bool) -> (Weather, &'static str) {
    let follower = draws.one(Cluster::others(leader));
    let third = NODES.sum::<u64>() - leader - follower;
    let both = |one: u64, other: u64| [(one, other), (other, one)];
    match draws.one(0..if can_delay { 10 } else { 8 }) {
        0 | 1 => {
            let cuts = Cluster::others(leader)
                .flat_map(|id| both(leader, id))
                .collect();
            (Weather::Cuts(cuts), "leader cut off")
        }
        2 => {
            let cuts = Cluster::others(follower)
                .flat_map(|id| both(follower, id))
                .collect();
            (Weather::Cuts(cuts), "follower cut off")
        }
        3 => {
            let cuts = Cluster::others(leader).map(|id| (leader, id)).collect();
            (Weather::Cuts(cuts), "leader not heard")
        }
        4 => {
            let cuts = Cluster::others(leader).map(|id| (id, leader)).collect();
            (Weather::Cuts(cuts), "leader deaf")
        }
        5 => (
            Weather::Cuts(both(leader, follower).into()),
            "leader and one follower apart",
        ),
        6 => (
            Weather::Cuts(both(follower, third).into()),
            "followers apart",
        ),
        7 => {
            let cuts = vec![(leader, follower), (follower, third), (third, leader)];
            (Weather::Cuts(cuts), "heard in a ring only")
        }
        8 => {
            let lost = draws.one(5..=40);
            (
                Weather::Bad(follower, format!("loss {lost}%")),
                "lossy link",
            )
        }
        _ => {
            let (late, spread) = (draws.one(20..=400), draws.one(1..=20));
            (
                Weather::Bad(leader, format!("delay {late}ms {spread}ms")),
                "slow link",
            )
        }
    }
}

fn begin(weather: &Weather) -> Result<()> {
    match weather {
        Weather::Cuts(cuts) => cuts
            .iter()
            .try_for_each(|(from, to)| namespaces::cut(*from, *to)),
        Weather::Bad(id, how) => namespaces::delay(*id, how),
    }
}

fn end(weather: &Weather) -> Result<()> {
    match weather {
        Weather::Cuts(cuts) => cuts
            .iter()
            .try_for_each(|(from, to)| namespaces::mend(*from, *to)),
        Weather::Bad(id, _) => namespaces::undelay(*id),
    }
}
