//! What befalls links.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a group of kinds is begun by one function, which tells some of them apart"
)]

use super::{Active, Field, Nemesis, Undo};
use crate::sim::faults::FaultKind;
use crate::sim::links::Wrong;
use crate::sim::watch::leader;
use rand::Rng as _;
use std::time::Duration;

impl Nemesis {
    pub(super) fn links_of(&self, node: u64) -> Vec<(usize, usize)> {
        let own = usize::try_from(node - 1).expect("ids are small");
        let nodes = usize::try_from(self.plan.nodes).expect("few nodes");
        (0..nodes)
            .filter(|it| *it != own)
            .map(|it| (own, it))
            .collect()
    }

    pub(super) fn spoil(
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
    pub(super) fn pair(&mut self) -> (usize, usize) {
        let nodes = usize::try_from(self.plan.nodes).expect("few nodes");
        let one = self.rng.random_range(0..nodes);
        let other = self.rng.random_range(1..self.links.count());
        (one, (one + other) % self.links.count())
    }

    pub(super) fn begin_partition(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
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

    pub(super) fn groups(&mut self) -> Vec<(usize, usize)> {
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

    pub(super) fn begin_bad_link(&mut self, field: &mut Field<'_, '_>, kind: FaultKind) {
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
}
