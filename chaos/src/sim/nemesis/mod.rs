//! Whatever can go wrong, when the seed says so: begins faults, and ends them.

mod crashes;
mod partitions;
mod parts;

use super::custodians::Desk;
use super::faults::FaultKind;
use super::links::{LinkFault, Links};
use super::machine::{Machine, Order};
use super::network::Wires;
use super::plan::{Plan, Stream, rng};
use super::trace::Trace;
use super::watch::{Watch, leader};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use turmoil::Sim;

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
