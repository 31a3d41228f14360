//! All that one seed draws before a run: size, timings, workload and faults.
//!
//! Not every seed uses every fault or every kind of call: seeds that leave some out reach what others hide (Groce et
//! al., "Swarm Testing", 2012).

use super::faults::FaultKind;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// What all runs have in common at the end: no faults, and the cluster must come back.
pub const HEALING: Duration = Duration::from_secs(25);
/// Of the healing phase: how long the workload goes on. Then it stops, and the nodes must become equal.
pub const HEALING_WORK: Duration = Duration::from_secs(17);
/// How soon after the last fault the cluster must have a leader and serve again.
pub const SERVICE_WITHIN: Duration = Duration::from_secs(10);

/// Which random numbers are drawn for what: each has a stream of its own, so that one more draw here changes nothing
/// there.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// The plan itself.
    Plan,
    /// Which faults, when.
    Nemesis,
    /// One client.
    Client(u64),
    /// Whoever unseals nodes.
    Custodians,
    /// What a node's operating system and HSM give, in one of its lives.
    Node(u64, u64),
    /// What a client's operating system gives.
    ClientEntropy(u64),
    /// Whoever tries whether the cluster serves again.
    Prober,
    /// What the disks are.
    Disks,
    /// What of its unsynced writes a disk keeps.
    Disk,
}

/// The random numbers of a stream.
pub fn rng(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let number = match stream {
        Stream::Plan => 1,
        Stream::Nemesis => 2,
        Stream::Custodians => 3,
        Stream::Disk => 4,
        Stream::Prober => 5,
        Stream::Disks => 6,
        Stream::Client(client) => 1_000 + client,
        Stream::ClientEntropy(client) => 2_000 + client,
        Stream::Node(node, life) => 10_000 + node * 100_000 + life,
    };
    rng.set_stream(number);
    rng
}

/// What a run is told from outside.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Draws everything.
    pub seed: u64,
    /// How long it lasts, in simulated time.
    pub length: Duration,
    /// What it is like.
    pub profile: Profile,
    /// What its disks are; `None`: as the seed draws it.
    pub disks: Option<Disks>,
}

/// What nodes store on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disks {
    /// A model of a disk.
    Memory,
    /// The same over RocksDB, compared.
    RocksDb,
}

/// What runs are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// As the seed draws it.
    #[default]
    Drawn,
    /// No faults at all: what the workload does in a calm world.
    Calm,
    /// Every kind of fault in every seed.
    Everything,
}

/// All that a seed draws.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Draws everything.
    pub seed: u64,
    /// Simulated time, healing included.
    pub length: Duration,
    /// Voters.
    pub nodes: u64,
    /// One step of the simulation.
    pub tick: Duration,
    /// The slowest message on a healthy link.
    pub latency_max: Duration,
    /// Of replication.
    pub raft: RaftTimes,
    /// What nodes store on.
    pub disks: Disks,
    /// How long a sync takes on a healthy disk.
    pub sync_delay: Duration,
    /// Clients at work.
    pub clients: u64,
    /// The mean pause of a client between two calls.
    pub pause: Duration,
    /// Kinds of calls and their weights, in the order of `kinds::Kind`.
    pub weights: Vec<u32>,
    /// Names of keys.
    pub keys: usize,
    /// Custodians, and how many of them unseal a node.
    pub custodians: (usize, usize),
    /// Faults begin then; before, the cluster is founded in peace, unless this is 0.
    pub faults_from: Duration,
    /// The mean time between two faults.
    pub fault_every: Duration,
    /// Kinds of faults that happen, with their weights.
    pub faults: Vec<(FaultKind, u32)>,
    /// How far a clock may be wrong.
    pub skew_max: Duration,
    /// When all clocks leap over a rotation period, if they do.
    pub leap_at: Option<Duration>,
}

/// Timing of replication.
#[derive(Clone, Copy, Debug)]
pub struct RaftTimes {
    /// Between heartbeats.
    pub heartbeat_ms: u64,
    /// Shortest election timeout.
    pub election_min_ms: u64,
    /// Longest election timeout.
    pub election_max_ms: u64,
    /// Entries between snapshots.
    pub snapshot_every: u64,
    /// Entries kept behind one.
    pub keep: u64,
}

fn pick<T: Copy>(rng: &mut ChaCha8Rng, choices: &[(T, u32)]) -> T {
    let total: u32 = choices.iter().map(|(_, weight)| weight).sum();
    let mut at = rng.random_range(0..total);
    for (choice, weight) in choices {
        if at < *weight {
            return *choice;
        }
        at -= weight;
    }
    choices[0].0
}

fn millis(rng: &mut ChaCha8Rng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

impl Plan {
    /// What a seed draws.
    pub fn draw(wish: &Wish) -> Self {
        // From a stream of its own: a seed draws the same world on both.
        let disks = pick(
            &mut rng(wish.seed, Stream::Disks),
            &[(Disks::Memory, 9), (Disks::RocksDb, 1)],
        );
        let rng = &mut rng(wish.seed, Stream::Plan);
        let nodes = pick(rng, &[(3, 84), (5, 12), (7, 4)]);
        let tick = pick(rng, &[(1, 1), (2, 3), (5, 8)]);
        let custodians = rng.random_range(2..=5);
        Self {
            seed: wish.seed,
            length: wish.length,
            nodes,
            tick: Duration::from_millis(tick),
            latency_max: millis(rng, 5..=25),
            raft: RaftTimes::draw(rng),
            disks: wish.disks.unwrap_or(disks),
            sync_delay: millis(rng, 1..=6),
            clients: rng.random_range(3..=6),
            pause: millis(rng, 100..=350),
            weights: draw_weights(rng),
            keys: rng.random_range(3..=9),
            custodians: (custodians, rng.random_range(2..=custodians)),
            faults_from: pick(rng, &[(Duration::ZERO, 1), (Duration::from_secs(6), 4)]),
            fault_every: millis(rng, 1_500..=4_500),
            faults: draw_faults(rng, wish.profile),
            skew_max: millis(rng, 0..=60_000),
            leap_at: draw_leap(rng, wish.length),
        }
    }

    /// When faults end.
    pub fn healing_from(&self) -> Duration {
        self.length.saturating_sub(HEALING)
    }
}

/// While clients work under faults, and soon enough for keys to be rotated after it.
fn draw_leap(rng: &mut ChaCha8Rng, length: Duration) -> Option<Duration> {
    let part = rng.random_range(20..=60);
    let at = length.saturating_sub(HEALING) * part / 100;
    rng.random_ratio(3, 5).then_some(at)
}

impl RaftTimes {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let heartbeat_ms = rng.random_range(80..=200);
        let election_min_ms = heartbeat_ms * rng.random_range(3..=5) + 100;
        let snapshot_every = pick(rng, &[(40, 2), (150, 3), (500, 2), (5_000, 1)]);
        Self {
            heartbeat_ms,
            election_min_ms,
            election_max_ms: election_min_ms + rng.random_range(200..=1_000),
            snapshot_every,
            keep: rng.random_range(0..=snapshot_every / 2),
        }
    }
}

/// Any kind of call may be missing, but for those without which there is nothing to do.
fn draw_weights(rng: &mut ChaCha8Rng) -> Vec<u32> {
    let draw = |kind| match pick(rng, &[(0, 1), (2, 3), (5, 3), (12, 1)]) {
        0 if super::kinds::INDISPENSABLE.contains(&kind) => 2,
        weight => weight,
    };
    (0..super::kinds::KINDS).map(draw).collect()
}

fn draw_faults(rng: &mut ChaCha8Rng, profile: Profile) -> Vec<(FaultKind, u32)> {
    let mut kinds = FaultKind::ALL.to_vec();
    kinds.shuffle(rng);
    let count = match profile {
        Profile::Drawn => rng.random_range(kinds.len() / 3..=kinds.len()),
        Profile::Calm => 0,
        Profile::Everything => kinds.len(),
    };
    kinds.truncate(count);
    // In an order of their own, whatever the shuffle was.
    kinds.sort_unstable();
    kinds
        .into_iter()
        .map(|kind| (kind, rng.random_range(1..=4)))
        .collect()
}
