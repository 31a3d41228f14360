//! Trials: real nodes are killed, frozen, cut off, starved of disk, damaged and given wrong clocks while clients work,
//! and after each trial everything that was promised must still be so. The program `havoc` runs them.
//!
//! What is drawn of a trial (victims, instants, files, bits) repeats from a seed; what the machine's scheduler makes of
//! it does not. The oracle is [`crate::invariants`], over what clients were answered and the audit log.

mod arena;
mod clock;
mod damage;
mod disk_full;
mod draws;
mod freeze;
mod kill;
mod ledger;
mod namespaces;
mod partition;
mod report;
mod worker;
mod workload;

pub use namespaces::World;
pub use report::Report;

use anyhow::Result;
use arena::Arena;
use draws::Draws;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// What is done to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and later SIGCONT.
    Freeze,
    /// Bits flipped, files cut short or gone, while a node is down.
    Damage,
    /// No room on a node's disk.
    DiskFull,
    /// Nodes that do not reach each other, in network namespaces.
    Partition,
    /// A node's wall clock jumps.
    Clock,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Kill,
        Self::Freeze,
        Self::Damage,
        Self::DiskFull,
        Self::Partition,
        Self::Clock,
    ];

    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Damage => "damage",
            Self::DiskFull => "disk-full",
            Self::Partition => "partition",
            Self::Clock => "clock",
        }
    }

    /// Keeps the draws of kinds apart, and stays what it is.
    fn number(self) -> u64 {
        match self {
            Self::Kill => 1,
            Self::Freeze => 2,
            Self::Damage => 3,
            Self::DiskFull => 4,
            Self::Partition => 5,
            Self::Clock => 6,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which trials are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Draws repeat from it.
    pub seed: u64,
    /// The number of the first trial.
    pub first: u64,
    /// How many.
    pub trials: u64,
    /// Of kind damage: only files that are called like this.
    pub file: String,
}

/// After so many trials all invariants look at the whole run.
const JUDGE_EVERY: u64 = 40;

/// Runs trials of one kind.
///
/// # Errors
/// If they cannot be run at all. What a trial finds is in the report.
pub async fn run(kind: Kind, settings: Settings) -> Result<Report> {
    let begun = Instant::now();
    let mut report = match kind {
        Kind::Kill => kill::run(settings).await,
        Kind::Freeze => freeze::run(settings).await,
        Kind::Damage => damage::run(settings).await,
        Kind::DiskFull => disk_full::run(settings).await,
        Kind::Partition => partition::run(settings).await,
        Kind::Clock => clock::run(settings).await,
    }?;
    report.took(begun.elapsed());
    Ok(report)
}

/// Trials of one kind on one cluster, until one of them finds something.
///
/// # Errors
/// If the run cannot be ended in order.
async fn trials(
    kind: Kind,
    settings: Settings,
    mut arena: Arena,
    mut one: impl AsyncFnMut(&mut Arena, &mut Draws, &mut Report) -> Result<Vec<String>>,
) -> Result<Report> {
    let mut report = Report::new(kind, settings.seed);
    let end = settings.first + settings.trials;
    let mut leader = None;
    for trial in settings.first..end {
        let begun = Instant::now();
        let mut draws = Draws::of_trial(settings.seed, kind, trial);
        let mut broken = settle(one(&mut arena, &mut draws, &mut report).await);
        if broken.is_empty() {
            broken = settle(arena.check(&mut draws).await);
        }
        if broken.is_empty() {
            note_leader(&mut arena, &mut report, &mut leader).await;
        }
        if broken.is_empty() && (trial + 1 == end || trial % JUDGE_EVERY == JUDGE_EVERY - 1) {
            broken = arena.judge();
        }
        report.trials += 1;
        progress(kind, trial, end, begun.elapsed());
        report.blame(trial, broken);
        if !report.is_well() {
            break;
        }
    }
    let (calls, acknowledged) = arena.counts();
    report.count_many("calls", u64::try_from(calls)?);
    report.count_many("calls acknowledged", u64::try_from(acknowledged)?);
    report.count_many("audit records", arena.records());
    arena.close(report.is_well()).await?;
    Ok(report)
}

/// Counts changes of leaders, by which one sees that something happened at all.
async fn note_leader(arena: &mut Arena, report: &mut Report, last: &mut Option<u64>) {
    let now = arena.cluster.leader().await.ok();
    if last.is_some() && now != *last {
        report.count("trials that began and ended with different leaders");
    }
    *last = now;
}

/// A trial that cannot be carried through found something too.
fn settle(found: Result<Vec<String>>) -> Vec<String> {
    found.unwrap_or_else(|error| vec![format!("{error:#}")])
}

fn progress(kind: Kind, trial: u64, end: u64, took: Duration) {
    eprintln!(
        "{kind}: trial {trial}, {} left, took {} ms",
        end - trial - 1,
        took.as_millis()
    );
}
