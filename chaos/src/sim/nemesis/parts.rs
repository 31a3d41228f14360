//! What befalls the parts of a machine: its clock, its disk, its HSM.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a group of kinds is begun by one function, which tells some of them apart"
)]

use super::{Active, Field, Nemesis, Undo};
use crate::sim::faults::FaultKind;
use conclave_env::{HsmError, StoreError};
use rand::{Rng as _, RngCore as _};
use std::time::Duration;

impl Nemesis {
    pub(super) fn begin_clock(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
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

    pub(super) fn begin_disk(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
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

    pub(super) fn begin_hsm(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
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
}
