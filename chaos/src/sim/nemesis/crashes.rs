//! Nodes that end, in all ways, and start again.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a group of kinds is begun by one function, which tells some of them apart"
)]

use super::{Down, Field, Nemesis};
use crate::sim::faults::FaultKind;
use crate::sim::links::Wrong;
use crate::sim::machine::{Order, host};
use conclave_env::mem::Cut;
use rand::{Rng as _, RngCore as _};
use std::time::Duration;

/// How long an order to stop is waited for.
const STOP_MAX: Duration = Duration::from_secs(15);

impl Nemesis {
    pub(super) fn begin_crash(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
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

    pub(super) fn crash(
        &mut self,
        field: &mut Field<'_, '_>,
        node: u64,
        kind: FaultKind,
        down: Duration,
    ) {
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
    pub(super) fn power_off(
        &mut self,
        field: &mut Field<'_, '_>,
        node: u64,
        is_power: bool,
    ) -> u64 {
        let machine = self.machine(field, node);
        let place = usize::try_from(node - 1).expect("ids are small");
        if is_power {
            // First, so that peers hear nothing of it.
            self.links.set_dark(field.sim, place, true);
        }
        machine.forget_node();
        field.sim.crash(host(node).as_str());
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
    pub(super) fn arm(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
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

    pub(super) fn notice_cuts(&mut self, field: &mut Field<'_, '_>) {
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

    pub(super) fn stop(&mut self, field: &mut Field<'_, '_>) {
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

    pub(super) fn restart(&mut self, field: &mut Field<'_, '_>, all: bool) {
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
            field.sim.bounce(host(node).as_str());
            self.trace.line(field.at, &format!("node {node} starts"));
        }
    }
}
