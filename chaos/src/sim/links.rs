//! Links between hosts: which are cut, which way, and which are held.

use super::machine::host;
use std::collections::{BTreeMap, BTreeSet};
use turmoil::Sim;

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Nothing gets through, either way.
    Cut,
    /// Nothing gets through from the first to the second.
    CutOneWay,
    /// All is held, either way, and comes later.
    Held,
}

/// What is wrong with all links. Faults overlap: a link works when the last of them has ended.
pub(crate) struct Links {
    hosts: Vec<String>,
    wrong: BTreeMap<u64, Vec<(usize, usize, Wrong)>>,
    /// Hosts without power: nothing answers there, not even a reset.
    dark: BTreeSet<usize>,
    last: u64,
}

/// A link fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkFault(u64);

impl Links {
    /// Between nodes 1 to `nodes` and other hosts, all well.
    pub(crate) fn new(nodes: u64, others: &[String]) -> Self {
        let hosts = (1..=nodes).map(host).chain(others.iter().cloned());
        Self {
            hosts: hosts.collect(),
            wrong: BTreeMap::new(),
            dark: BTreeSet::new(),
            last: 0,
        }
    }

    /// How many hosts there are.
    pub(crate) fn count(&self) -> usize {
        self.hosts.len()
    }

    /// A host's name.
    pub(crate) fn name(&self, host: usize) -> &str {
        &self.hosts[host]
    }

    /// Makes something wrong with some links; `None` if that cannot be combined with what is wrong already.
    pub(crate) fn spoil(
        &mut self,
        sim: &Sim<'_>,
        links: &[(usize, usize)],
        wrong: Wrong,
    ) -> Option<LinkFault> {
        let is_busy = |(a, b): &(usize, usize)| {
            let held = self.is_wrong(*a, *b, |it| it == Wrong::Held);
            let any = self.is_wrong(*a, *b, |_| true) || self.is_dark(*a, *b);
            held || (wrong == Wrong::Held && any)
        };
        if links.is_empty() || links.iter().any(is_busy) {
            return None;
        }
        self.last += 1;
        let faults = links.iter().map(|(a, b)| (*a, *b, wrong)).collect();
        self.wrong.insert(self.last, faults);
        for (a, b) in links {
            self.set(sim, *a, *b, false);
        }
        Some(LinkFault(self.last))
    }

    /// Ends a fault.
    pub(crate) fn mend(&mut self, sim: &Sim<'_>, fault: LinkFault) {
        for (a, b, wrong) in self.wrong.remove(&fault.0).unwrap_or_default() {
            self.set(sim, a, b, wrong == Wrong::Held);
        }
    }

    /// Takes the power from a host, or gives it back.
    pub(crate) fn set_dark(&mut self, sim: &Sim<'_>, host: usize, is_dark: bool) {
        if is_dark {
            self.dark.insert(host);
        } else {
            self.dark.remove(&host);
        }
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            self.set(sim, host, other, false);
        }
    }

    fn is_dark(&self, a: usize, b: usize) -> bool {
        self.dark.contains(&a) || self.dark.contains(&b)
    }

    fn is_wrong(&self, a: usize, b: usize, is: impl Fn(Wrong) -> bool) -> bool {
        let same = |(x, y): (usize, usize)| (x, y) == (a, b) || (y, x) == (a, b);
        let mut all = self.wrong.values().flatten();
        all.any(|(x, y, wrong)| same((*x, *y)) && is(*wrong))
    }

    /// Whether nothing gets through from one to another.
    fn is_cut(&self, from: usize, to: usize) -> bool {
        let mut all = self.wrong.values().flatten();
        all.any(|(x, y, wrong)| match wrong {
            Wrong::Cut => (*x, *y) == (from, to) || (*y, *x) == (from, to),
            Wrong::CutOneWay => (*x, *y) == (from, to),
            Wrong::Held => false,
        })
    }

    /// Makes a link what it should be.
    fn set(&self, sim: &Sim<'_>, a: usize, b: usize, was_held: bool) {
        let (one, other) = (self.hosts[a].as_str(), self.hosts[b].as_str());
        if was_held {
            sim.release(one, other);
        }
        if self.is_wrong(a, b, |it| it == Wrong::Held) && !self.is_dark(a, b) {
            sim.hold(one, other);
            return;
        }
        sim.repair(one, other);
        if self.is_dark(a, b) || (self.is_cut(a, b) && self.is_cut(b, a)) {
            sim.partition(one, other);
        } else if self.is_cut(a, b) {
            sim.partition_oneway(one, other);
        } else if self.is_cut(b, a) {
            sim.partition_oneway(other, one);
        }
    }
}
