//! Whatever can go wrong, when the seed says so: begins faults, and ends them.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a group of kinds is begun by one function, which tells some of them apart"
)]

use super::custodians::Desk;
use super::faults::FaultKind;
use super::links::{LinkFault, Links, Wrong};
use super::machine::{Machine, Order};
use super::network::Wires;
use super::plan::{Plan, Stream, rng};
use super::trace::Trace;
use super::watch::{Watch, leader};
use conclave_env::mem::Cut;
use conclave_env::{HsmError, StoreError};
use rand::{Rng as _, RngCore as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use turmoil::Sim;

/// How long an order to stop is waited for.
const STOP_MAX: Duration = Duration::from_secs(15);

/// What a step of the simulation works on.
pub(crate) struct Field<'a, 'b> {
    /// Simulated time.
    pub(crate) at: Duration,
    /// The simulator.
    pub(crate) sim: &'a mut Sim<'b>,
    /// All machines, in the order of their ids.
    pub(crate) machines: &'a [Machine],
    /// The watch.
    pub(crate) watch: &'a mut Watch,
}

/// How a fault ends.
enum Undo {
    Links(LinkFault),
    Slow(usize, usize),
    Lossy(usize, usize),
    Clock(u64),
    Disk(u64),
    DiskSpeed(u64),
    Hsm(u64),
    Plug(u64),
}

struct Active {
    kind: FaultKind,
    until: Duration,
    undo: Undo,
}

/// A node that is down.
struct Down {
    until: Duration,
    /// It was asked to stop, and may not have done so yet.
    stopping_since: Option<Duration>,
}

/// Whatever can go wrong.
pub(crate) struct Nemesis {
    plan: Arc<Plan>,
    rng: ChaCha8Rng,
    disk_rng: ChaCha8Rng,
    next: Duration,
    active: Vec<Active>,
    down: BTreeMap<u64, Down>,
    /// Which kind of crash a disk was told to make, by node.
    armed: BTreeMap<u64, FaultKind>,
    waits_for_ceremony: bool,
    links: Links,
    wires: Wires,
    desk: Desk,
    trace: Trace,
    /// Faults that took effect, by kind.
    pub(crate) counts: BTreeMap<FaultKind, u64>,
    /// Batches that were lost with the power.
    pub(crate) lost_writes: u64,
    is_over: bool,
}

impl Nemesis {
    /// As drawn. `others`: hosts besides the nodes'.
    pub(crate) fn new(
        plan: Arc<Plan>,
        others: &[String],
        wires: Wires,
        desk: Desk,
        trace: Trace,
    ) -> Self {
        Self {
            rng: rng(plan.seed, Stream::Nemesis),
            disk_rng: rng(plan.seed, Stream::Disk),
            next: plan.faults_from,
            links: Links::new(plan.nodes, others),
            plan,
            active: Vec::new(),
            down: BTreeMap::new(),
            armed: BTreeMap::new(),
            waits_for_ceremony: false,
            wires,
            desk,
            trace,
            counts: BTreeMap::new(),
            lost_writes: 0,
            is_over: false,
        }
    }

    /// One step.
    pub(crate) fn step(&mut self, field: &mut Field<'_, '_>) {
        self.end_what_is_over(field, false);
        self.notice_cuts(field);
        self.restart(field, false);
        if self.is_over {
            return;
        }
        if self.waits_for_ceremony
            && let Some(node) = self.desk.busy().first().copied()
        {
            self.waits_for_ceremony = false;
            let down = self.millis(100, 3_000);
            self.crash(field, node, FaultKind::CrashAtCeremony, down);
        }
        if field.at >= self.next && !self.plan.faults.is_empty() {
            let mean = self.plan.fault_every.as_secs_f64();
            let pause = -mean * (1.0 - self.rng.random::<f64>()).ln();
            self.next = field.at + Duration::from_secs_f64(pause.clamp(0.05, mean * 3.0));
            let kind = self.draw_kind();
            self.begin(field, kind);
        }
    }

    /// Ends all faults. Nodes whose bytes at rest were changed are taken out, as an operator would: whoever has lost
    /// what was durable does not come back under its id.
    pub(crate) fn heal(&mut self, field: &mut Field<'_, '_>) {
        self.is_over = true;
        self.end_what_is_over(field, true);
        for machine in field.machines {
            machine.disk.disarm();
        }
        self.restart(field, true);
        for machine in field.machines.iter().filter(|machine| machine.is_damaged()) {
            self.power_off(field, machine.id, true);
            self.down.remove(&machine.id);
        }
        self.trace.line(field.at, "all faults end");
    }

    fn draw_kind(&mut self) -> FaultKind {
        let total: u32 = self.plan.faults.iter().map(|(_, weight)| weight).sum();
        let mut at = self.rng.random_range(0..total);
        for (kind, weight) in &self.plan.faults {
            if at < *weight {
                return *kind;
            }
            at -= weight;
        }
        self.plan.faults[0].0
    }

    fn node(&mut self) -> u64 {
        self.rng.random_range(1..=self.plan.nodes)
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..=to))
    }

    fn took_effect(&mut self, at: Duration, kind: FaultKind, what: &str) {
        *self.counts.entry(kind).or_default() += 1;
        self.trace.line(at, &format!("fault {kind:?}: {what}"));
    }

    fn begin(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
        use FaultKind as F;
        match kind {
            F::CrashShort | F::CrashLong | F::CrashAll => self.begin_crash(field, kind),
            F::CrashBetweenWrites | F::CrashAtSnapshot | F::CrashAtInstall => {
                self.arm(field, kind);
            }
            F::CrashAtCeremony => self.waits_for_ceremony = true,
            F::Stop => self.stop(field),
            F::PartitionPair
            | F::PartitionOneWay
            | F::PartitionGroups
            | F::IsolateNode
            | F::IsolateLeader
            | F::Pause => self.begin_partition(field, kind),
            F::SlowLink | F::LossyLink => self.begin_bad_link(field, kind),
            F::Reset => {
                let rng = &mut self.rng;
                let one_in = rng.random_range(1..=4);
                let count = self.wires.reset(|| rng.random_ratio(1, one_in));
                self.took_effect(field.at, kind, &format!("{count} ends of connections"));
            }
            F::ClockSkew | F::ClockJump => self.begin_clock(field, kind),
            F::SlowDisk | F::FullDisk | F::BrokenDisk | F::Damage => self.begin_disk(field, kind),
            F::FailingHsm | F::LostSession | F::UnpluggedHsm => self.begin_hsm(field, kind),
            F::TransferLeader => {
                if let Some(node) = leader(field.machines)
                    && self.machine(field, node).order(Order::Transfer)
                {
                    self.took_effect(field.at, kind, &format!("from node {node}"));
                }
            }
            F::Seal => {
                let node = self.node();
                self.desk.ask_to_seal(node);
                self.took_effect(field.at, kind, &format!("node {node}"));
            }
        }
    }

    fn machine<'a>(&self, field: &Field<'a, '_>, node: u64) -> &'a Machine {
        let place = usize::try_from(node - 1).expect("ids are small");
        assert!(node <= self.plan.nodes, "ids are those of the plan");
        &field.machines[place]
    }

    fn begin_crash(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
        let nodes: Vec<u64> = match kind {
            FaultKind::CrashAll => (1..=self.plan.nodes).collect(),
            _ => vec![self.node()],
        };
        for node in nodes {
            let down = match kind {
                FaultKind::CrashLong => self.millis(4_000, 25_000),
                FaultKind::CrashAll => self.millis(200, 6_000),
                _ => self.millis(50, 1_500),
            };
            self.crash(field, node, kind, down);
        }
    }

    fn crash(&mut self, field: &mut Field<'_, '_>, node: u64, kind: FaultKind, down: Duration) {
        if !self.machine(field, node).is_up() || self.down.contains_key(&node) {
            return;
        }
        // A power failure, or the process alone.
        let is_power = kind == FaultKind::CrashAll || self.rng.random_ratio(3, 4);
        let lost = self.power_off(field, node, is_power);
        let until = field.at + down;
        self.down.insert(
            node,
            Down {
                until,
                stopping_since: None,
            },
        );
        let what = if is_power { "power" } else { "process" };
        let text = format!("node {node}, {what}, {lost} writes lost");
        self.took_effect(field.at, kind, &text);
    }

    /// The node ends at once. How many writes are lost.
    fn power_off(&mut self, field: &mut Field<'_, '_>, node: u64, is_power: bool) -> u64 {
        let machine = self.machine(field, node);
        let place = usize::try_from(node - 1).expect("ids are small");
        if is_power {
            // First, so that peers hear nothing of it.
            self.links.set_dark(field.sim, place, true);
        }
        machine.forget_node();
        field.sim.crash(super::machine::host(node).as_str());
        let lost = if is_power {
            machine.disk.crash(self.disk_rng.next_u64())
        } else {
            machine.disk.kill();
            0
        };
        self.armed.remove(&node);
        self.lost_writes += lost;
        field.watch.crashed(machine);
        lost
    }

    /// Has the power fail at an instant between two changes of the disk.
    fn arm(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
        let node = match kind {
            // Whoever is down comes back with a lag, and may be sent a snapshot.
            FaultKind::CrashAtInstall => self.down.keys().next().copied(),
            _ => None,
        };
        let node = node.unwrap_or_else(|| self.node());
        if self.armed.contains_key(&node) {
            return;
        }
        let cut = match kind {
            FaultKind::CrashAtSnapshot if self.rng.random() => Cut::BeforeCheckpoint,
            FaultKind::CrashAtSnapshot => Cut::AfterCheckpoint,
            FaultKind::CrashAtInstall if self.rng.random() => Cut::BeforeInstall,
            FaultKind::CrashAtInstall => Cut::AfterInstall,
            _ => Cut::Change(self.rng.random_range(1..=20)),
        };
        let machine = self.machine(field, node);
        machine.disk.cut_at(cut);
        self.armed.insert(node, kind);
        if kind == FaultKind::CrashAtSnapshot {
            machine.order(Order::Snapshot);
        }
        if kind == FaultKind::CrashAtInstall && !self.down.contains_key(&node) {
            // It must fall behind what the others keep.
            let links = self.links_of(node);
            let until = field.at + self.millis(6_000, 15_000);
            self.spoil(field, FaultKind::IsolateNode, &links, Wrong::Cut, until);
            for other in field.machines.iter().filter(|it| it.id != node) {
                other.order(Order::Snapshot);
            }
        }
        self.trace.line(
            field.at,
            &format!("node {node} will lose its power at {cut:?}"),
        );
    }

    fn notice_cuts(&mut self, field: &mut Field<'_, '_>) {
        for machine in field.machines {
            if !machine.disk.has_cut() {
                continue;
            }
            let kind = self.armed.get(&machine.id).copied();
            let kind = kind.unwrap_or(FaultKind::CrashBetweenWrites);
            let down = self.millis(50, 4_000);
            if machine.is_up() {
                self.crash(field, machine.id, kind, down);
            } else {
                machine.disk.crash(self.disk_rng.next_u64());
                field.watch.crashed(machine);
            }
        }
    }

    fn stop(&mut self, field: &mut Field<'_, '_>) {
        let node = self.node();
        if self.down.contains_key(&node) || !self.machine(field, node).order(Order::Stop) {
            return;
        }
        let until = field.at + self.millis(500, 5_000);
        let stopping_since = Some(field.at);
        self.down.insert(
            node,
            Down {
                until,
                stopping_since,
            },
        );
        self.took_effect(field.at, FaultKind::Stop, &format!("node {node}"));
    }

    fn restart(&mut self, field: &mut Field<'_, '_>, all: bool) {
        let due: Vec<u64> = self
            .down
            .iter()
            .filter(|(_, down)| all || down.until <= field.at)
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            let machine = self.machine(field, node);
            if machine.is_up() {
                let since = self.down.get(&node).and_then(|down| down.stopping_since);
                let overdue = since.is_none_or(|since| field.at >= since + STOP_MAX);
                if !overdue && !all {
                    continue;
                }
                self.power_off(field, node, false);
            } else {
                machine.forget_node();
                machine.disk.kill();
                field.watch.crashed(machine);
            }
            self.down.remove(&node);
            let place = usize::try_from(node - 1).expect("ids are small");
            self.links.set_dark(field.sim, place, false);
            field.sim.bounce(super::machine::host(node).as_str());
            self.trace.line(field.at, &format!("node {node} starts"));
        }
    }

    fn links_of(&self, node: u64) -> Vec<(usize, usize)> {
        let own = usize::try_from(node - 1).expect("ids are small");
        let nodes = usize::try_from(self.plan.nodes).expect("few nodes");
        (0..nodes)
            .filter(|it| *it != own)
            .map(|it| (own, it))
            .collect()
    }

    fn spoil(
        &mut self,
        field: &mut Field<'_, '_>,
        kind: FaultKind,
        links: &[(usize, usize)],
        wrong: Wrong,
        until: Duration,
    ) {
        let Some(fault) = self.links.spoil(field.sim, links, wrong) else {
            return;
        };
        let undo = Undo::Links(fault);
        self.active.push(Active { kind, until, undo });
        let name =
            |(a, b): &(usize, usize)| format!("{}-{}", self.links.name(*a), self.links.name(*b));
        let names: Vec<String> = links.iter().map(name).collect();
        self.took_effect(field.at, kind, &names.join(" "));
    }

    /// A node, and any other host.
    fn pair(&mut self) -> (usize, usize) {
        let nodes = usize::try_from(self.plan.nodes).expect("few nodes");
        let one = self.rng.random_range(0..nodes);
        let other = self.rng.random_range(1..self.links.count());
        (one, (one + other) % self.links.count())
    }

    fn begin_partition(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
        let links = match kind {
            FaultKind::PartitionPair => vec![self.pair()],
            FaultKind::PartitionOneWay => {
                let (a, b) = self.pair();
                vec![if self.rng.random() { (a, b) } else { (b, a) }]
            }
            FaultKind::IsolateLeader => match leader(field.machines) {
                Some(node) => self.links_of(node),
                None => return,
            },
            FaultKind::PartitionGroups => self.groups(),
            _ => {
                let node = self.node();
                self.links_of(node)
            }
        };
        let (wrong, longest) = match kind {
            FaultKind::PartitionOneWay => (Wrong::CutOneWay, 12_000),
            FaultKind::Pause => (Wrong::Held, 5_000),
            _ => (Wrong::Cut, 15_000),
        };
        let until = field.at + self.millis(300, longest);
        self.spoil(field, kind, &links, wrong, until);
    }

    fn groups(&mut self) -> Vec<(usize, usize)> {
        let nodes = usize::try_from(self.plan.nodes).expect("few nodes");
        let side: Vec<bool> = (0..nodes).map(|_| self.rng.random()).collect();
        let across = |a: usize| {
            let side = &side;
            ((a + 1)..nodes)
                .filter(move |b| side[a] != side[*b])
                .map(move |b| (a, b))
        };
        (0..nodes).flat_map(across).collect()
    }

    fn begin_bad_link(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
        let (a, b) = self.pair();
        let (one, other) = (self.links.name(a).to_owned(), self.links.name(b).to_owned());
        let undo = if kind == FaultKind::SlowLink {
            let latency = self.millis(50, 600);
            field
                .sim
                .set_link_max_message_latency(one.as_str(), other.as_str(), latency);
            Undo::Slow(a, b)
        } else {
            let rate = self.rng.random_range(0.005..0.1);
            field
                .sim
                .set_link_fail_rate(one.as_str(), other.as_str(), rate);
            Undo::Lossy(a, b)
        };
        let until = field.at + self.millis(1_000, 15_000);
        self.active.push(Active { kind, until, undo });
        self.took_effect(field.at, kind, &format!("{one}-{other}"));
    }

    fn begin_clock(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
        let node = self.node();
        let most = match kind {
            FaultKind::ClockSkew => self.plan.skew_max,
            _ => Duration::from_secs(120),
        };
        let most = i64::try_from(most.as_millis()).unwrap_or(0);
        let skew = self.rng.random_range(-most..=most);
        self.machine(field, node).set_skew_ms(skew);
        let until = field.at + self.millis(500, 20_000);
        let undo = Undo::Clock(node);
        self.active.push(Active { kind, until, undo });
        self.took_effect(field.at, kind, &format!("node {node} by {skew} ms"));
    }

    fn begin_disk(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
        let node = self.node();
        let machine = self.machine(field, node);
        let path = format!("disk of node {node}");
        if kind == FaultKind::Damage {
            // More than a minority that loses what was durable is more than Raft survives.
            let damaged = field.machines.iter().filter(|it| it.is_damaged()).count();
            let most = usize::try_from((self.plan.nodes - 1) / 2).unwrap_or(0);
            if damaged < most
                && let Some(row) = machine.disk.damage(self.disk_rng.next_u64())
            {
                machine.set_damaged();
                self.took_effect(field.at, kind, &format!("node {node}, {row}"));
            }
            return;
        }
        let (undo, longest) = if kind == FaultKind::SlowDisk {
            machine.disk.set_sync_delay(self.millis(30, 800));
            (Undo::DiskSpeed(node), 12_000)
        } else {
            let detail = "input/output error".to_owned();
            machine.disk.fail_writes(Some(match kind {
                FaultKind::FullDisk => StoreError::NoSpace { path },
                _ => StoreError::Io { path, detail },
            }));
            (Undo::Disk(node), 6_000)
        };
        let until = field.at + self.millis(200, longest);
        self.active.push(Active { kind, until, undo });
        self.took_effect(field.at, kind, &format!("node {node}"));
    }

    fn begin_hsm(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
        let node = self.node();
        let hsm = &self.machine(field, node).hsm;
        let until = field.at + self.millis(100, 6_000);
        let undo = match kind {
            FaultKind::FailingHsm => {
                hsm.fail(Some(HsmError::Failed {
                    operation: "answer",
                    detail: "simulated".to_owned(),
                }));
                Some(Undo::Hsm(node))
            }
            FaultKind::UnpluggedHsm => {
                hsm.set_connected(false);
                Some(Undo::Plug(node))
            }
            _ => {
                hsm.lose();
                None
            }
        };
        let active = undo.map(|undo| Active { kind, until, undo });
        self.active.extend(active);
        self.took_effect(field.at, kind, &format!("node {node}"));
    }

    fn end_what_is_over(&mut self, field: &mut Field<'_, '_>, all: bool) {
        let is_over = |active: &mut Active| all || active.until <= field.at;
        let over: Vec<Active> = self.active.extract_if(.., is_over).collect();
        for Active { kind, undo, .. } in over {
            self.undo(field, &undo);
            self.trace.line(field.at, &format!("{kind:?} ends"));
        }
    }

    fn undo(&mut self, field: &mut Field<'_, '_>, undo: &Undo) {
        match undo {
            Undo::Links(fault) => self.links.mend(field.sim, *fault),
            Undo::Slow(a, b) => {
                let (one, other) = (self.links.name(*a), self.links.name(*b));
                field
                    .sim
                    .set_link_max_message_latency(one, other, self.plan.latency_max);
            }
            Undo::Lossy(a, b) => {
                let (one, other) = (self.links.name(*a), self.links.name(*b));
                field.sim.set_link_fail_rate(one, other, 0.0);
            }
            Undo::Clock(node) => self.machine(field, *node).set_skew_ms(0),
            Undo::Disk(node) => self.machine(field, *node).disk.fail_writes(None),
            Undo::DiskSpeed(node) => {
                let usual = self.plan.sync_delay;
                self.machine(field, *node).disk.set_sync_delay(usual);
            }
            Undo::Hsm(node) => self.machine(field, *node).hsm.fail(None),
            Undo::Plug(node) => self.machine(field, *node).hsm.set_connected(true),
        }
    }
}
