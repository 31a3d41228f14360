//! What many seeds came to.

use conclave_chaos::sim::Report;
use conclave_chaos::sim::faults::FaultKind;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a line of progress is written where nobody watches.
const LINE_EVERY: Duration = Duration::from_secs(20);
/// So many seeds must reach everything.
const ENOUGH_SEEDS: u64 = 60;
/// Rare states that a campaign must reach, besides every kind of fault.
const RARE: [&str; 34] = [
    "leader change during a batch",
    "retry verdict",
    "snapshot installed",
    "snapshot taken",
    "log truncated",
    "batch committed twice",
    "write committed twice",
    "write lost with the power",
    "unseal",
    "unseal race",
    "share submitted twice",
    "forged share",
    "sealed on request",
    "call refused",
    "call MarkKeyCompromised",
    "call refused for what is compromised",
    "call ScheduleKeyDestruction",
    "call GenerateMac",
    "call VerifyMac",
    "call Sign",
    "call Verify",
    "call refused for what was changed",
    "call refused for what the key is for",
    "call SetKeyRotation",
    "leap of all clocks",
    "version made by the cluster",
    "call CancelKeyDestruction",
    "key destroyed",
    "material erased",
    "call unknown",
    "call repeated",
    "run on RocksDB",
    "client with a stream",
    "client with single calls",
];

/// What many seeds came to.
pub(crate) struct Summary {
    twice: bool,
    first: u64,
    last: u64,
    begun: Instant,
    last_line: Option<Instant>,
    took: Duration,
    seeds: u64,
    bad: Vec<(u64, String)>,
    simulated_ms: u64,
    calls: u64,
    acknowledged: u64,
    records: u64,
    faults: u64,
    healed_ms: Vec<u64>,
    seeds_by_fault: BTreeMap<String, u64>,
    seen: BTreeMap<String, u64>,
}

impl Summary {
    pub(crate) fn new(twice: bool) -> Self {
        Self {
            twice,
            first: u64::MAX,
            last: 0,
            begun: Instant::now(),
            last_line: None,
            took: Duration::ZERO,
            seeds: 0,
            bad: Vec::new(),
            simulated_ms: 0,
            calls: 0,
            acknowledged: 0,
            records: 0,
            faults: 0,
            healed_ms: Vec::new(),
            seeds_by_fault: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.first = self.first.min(report.seed);
        self.last = self.last.max(report.seed);
        if let Some(first) = report.violations.first() {
            self.bad.push((report.seed, first.invariant.clone()));
        }
        self.simulated_ms += report.simulated_ms;
        self.calls += report.calls;
        self.acknowledged += report.acknowledged;
        self.records += report.records;
        self.faults += report.fault_count();
        self.healed_ms.push(report.healed_ms);
        for kind in report.faults.keys() {
            *self.seeds_by_fault.entry(kind.clone()).or_default() += 1;
        }
        for (what, count) in &report.seen {
            *self.seen.entry(what.clone()).or_default() += count;
        }
    }

    pub(crate) fn finish(&mut self) {
        self.took = self.begun.elapsed();
        self.healed_ms.sort_unstable();
        self.bad.sort_unstable();
    }

    pub(crate) fn is_time_for_a_line(&mut self) -> bool {
        let due = self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if due {
            self.last_line = Some(Instant::now());
        }
        due
    }

    pub(crate) fn progress(&self, of: usize) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        format!(
            "{} of {of} seeds, {:.1} simulated hours, {} faults, {} calls, {:.2} seeds/s, {} broke",
            self.seeds,
            hours(self.simulated_ms),
            self.faults,
            self.calls,
            float(self.seeds) / seconds,
            self.bad.len()
        )
    }

    /// What was to be reached and was not.
    fn missed(&self) -> Vec<String> {
        if self.seeds < ENOUGH_SEEDS {
            return Vec::new();
        }
        let kinds = FaultKind::ALL.iter().map(|kind| format!("{kind:?}"));
        let missed_kinds = kinds.filter(|kind| !self.seeds_by_fault.contains_key(kind));
        let rare = RARE
            .iter()
            .filter(|what| self.seen.get(**what).is_none_or(|count| *count == 0));
        missed_kinds
            .chain(rare.map(|what| (*what).to_owned()))
            .collect()
    }

    pub(crate) fn is_good(&self) -> bool {
        self.bad.is_empty() && self.missed().is_empty()
    }

    /// The summary, for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} seeds, {} to {}{}",
            self.seeds,
            self.first,
            self.last,
            if self.twice {
                ", each in two processes"
            } else {
                ""
            }
        )];
        let share = |count: &u64| 100.0 * float(*count) / float(self.seeds.max(1));
        let kinds = self.seeds_by_fault.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{kind} {:.0} %", share(count)))
            .collect();
        lines.push(format!(
            "faults, in what share of the seeds: {}",
            kinds.join(", ")
        ));
        let seen: Vec<String> = self
            .seen
            .iter()
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        lines.push(format!("reached: {}", seen.join(", ")));
        let at = |part: f64| {
            let count = self.healed_ms.len();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a place in a list"
            )]
            let place = (part * count.saturating_sub(1) as f64) as usize;
            self.healed_ms.get(place).copied().unwrap_or(0)
        };
        lines.push(format!(
            "served again after the last fault: median {} ms, worst {} ms",
            at(0.5),
            at(1.0)
        ));
        lines.extend(
            self.missed()
                .into_iter()
                .map(|what| format!("NEVER REACHED: {what}")),
        );
        for (seed, invariant) in &self.bad {
            lines.push(format!("BROKE: seed {seed}, {invariant}"));
        }
        lines.push(self.last_line_text());
        lines
    }

    fn last_line_text(&self) -> String {
        let seconds = self.took.as_secs_f64().max(0.001);
        format!(
            "simulate: {} seeds, {} broke; {:.2} simulated hours in {:.0} s ({:.0} simulated seconds a second); {} calls, \
             {} acknowledged, {} audit records, {} faults ({:.1} a simulated minute)",
            self.seeds,
            self.bad.len(),
            hours(self.simulated_ms),
            seconds,
            float(self.simulated_ms) / 1_000.0 / seconds,
            self.calls,
            self.acknowledged,
            self.records,
            self.faults,
            float(self.faults) / (hours(self.simulated_ms) * 60.0).max(0.001),
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn float(number: u64) -> f64 {
    number as f64
}

fn hours(ms: u64) -> f64 {
    float(ms) / 3_600_000.0
}
