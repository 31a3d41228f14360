//! The data directories of a whole cluster at one instant.
//!
//! To give one node back an old copy of its directory would break Raft: it would have forgotten what it promised since.
//! To give all nodes back what all had at one instant is no loss of any of them, as nothing of what came after is left
//! anywhere. So each trial begins from the same image, and ends with all nodes killed.

use crate::history::History;
use crate::real::havoc::arena::Arena;
use crate::real::havoc::draws::Draws;
use crate::real::{Cluster, NODES};
use anyhow::Result;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tokio::time::sleep;

/// Calls between two events of the image's making.
const CALLS: usize = 80;

/// A cluster that stands still. What was acknowledged last is on two nodes only.
pub(super) struct Image {
    dir: TempDir,
    /// Has all that was acknowledged, and will be damaged.
    pub(super) victim: u64,
    /// Lacks what was acknowledged last.
    pub(super) lagging: u64,
    /// Has all that was acknowledged, and is away at first.
    pub(super) away: u64,
    /// What clients were answered by then.
    pub(super) history: History,
}

impl Image {
    /// Lets clients work, the last while without one node; then kills all nodes and copies what they have.
    pub(super) async fn take(arena: &mut Arena, draws: &mut Draws) -> Result<Self> {
        let leader = arena.cluster.leader().await?;
        let lagging = draws.one(Cluster::others(leader));
        // One of those that have all.
        let victim = draws.one(Cluster::others(lagging));
        let away = NODES
            .into_iter()
            .find(|id| *id != lagging && *id != victim)
            .unwrap_or(leader);
        arena.go();
        arena.work.settles(CALLS).await?;
        // Each start flushes what the log before holds, and begins other files.
        for _ in 0..draws.one(0..=2) {
            arena.cluster.node(victim).kill()?;
            arena.bring_back(&[victim]).await?;
            arena.work.settles(CALLS).await?;
        }
        arena.cluster.node(lagging).freeze()?;
        sleep(draws.millis(200..=1_200)).await;
        // Half the time while clients work: the last writes may be torn then.
        let abrupt = draws.is(1, 2);
        if !abrupt {
            arena.rest().await;
        }
        for id in [victim, away, lagging] {
            arena.cluster.node(id).kill()?;
        }
        arena.rest().await;
        let image = Self {
            dir: TempDir::with_prefix("conclave-image-")?,
            victim,
            lagging,
            away,
            history: arena.work.recorder().history(),
        };
        for id in NODES {
            copy(&arena.cluster.layout().data_dir(id), &image.copy_of(id))?;
        }
        Ok(image)
    }

    /// Gives all nodes, none of which may run, what they had.
    pub(super) fn restore(&self, cluster: &Cluster) -> Result<()> {
        for id in NODES {
            let data_dir = cluster.layout().data_dir(id);
            fs::remove_dir_all(&data_dir)?;
            copy(&self.copy_of(id), &data_dir)?;
        }
        Ok(())
    }

    fn copy_of(&self, id: u64) -> std::path::PathBuf {
        self.dir.path().join(format!("node{id}"))
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
