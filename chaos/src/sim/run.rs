//! One run, from seed to report.

use super::custodians::{Custodians, Desk};
use super::leap::Leap;
use super::machine::{EPOCH_MS, Machine, host};
use super::nemesis::{Field, Nemesis};
use super::network::Wires;
use super::plan::{Disks, HEALING_WORK, Plan, Stream, Wish, rng};
use super::report::Report;
use super::scratch::Scratch;
use super::shared::Shared;
use super::trace::Trace;
use super::watch::Watch;
use super::workload::Worker;
use crate::history::{Answer, History, Recorder};
use crate::invariants::Violation;
use crate::invariants::inside::broken;
use rand::RngCore as _;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};
use turmoil::Sim;

/// If anything is to be destroyed or wrapped anew at the end: how long the run goes on, for that to be done, and what is
/// destroyed to be erased by every node.
const EPILOGUE: Duration = Duration::from_secs(25);
/// How far into it the date comes, by a leap of all clocks. By then no client waits for an answer.
const LEAP_AT: Duration = Duration::from_secs(3);
/// What destructions wait, and how far the log's time, which never runs backwards, may be ahead of a leader's clock: clocks
/// are wrong by three minutes together at most.
const LEAP: Duration = Duration::from_secs(86_400 + 180);

/// Hosts on which clients live.
const CLIENT_HOSTS: u64 = 2;

/// One run.
pub(super) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) shared: Shared,
    pub(super) desk: Desk,
    pub(super) machines: Vec<Machine>,
    pub(super) watch: Watch,
    pub(super) nemesis: Nemesis,
    pub(super) trace: Trace,
    pub(super) healing_since: Option<Duration>,
    pub(super) has_epilogue: bool,
    /// Removed last.
    pub(super) scratch: Option<Scratch>,
}

/// Simulates a seed. `freeze` is told the simulated time before each step; whoever wants runs that repeat to the byte
/// makes every clock of the process stand there.
///
/// # Panics
/// If there is no room for the real disks of a seed that runs on them.
pub fn simulate(wish: &Wish, out: Option<Box<dyn Write + Send>>, freeze: fn(Duration)) -> Report {
    freeze(Duration::ZERO);
    let plan = Arc::new(Plan::draw(wish));
    let trace = Trace::new(out);
    trace.line(Duration::ZERO, &format!("{plan:?}"));
    let mut sim = build(&plan);
    let mut run = Run::new(&plan, &trace);
    run.add_hosts(&mut sim);
    let mut violations = Vec::new();
    while sim.elapsed() < run.end(sim.elapsed()) {
        freeze(sim.elapsed());
        if let Err(violation) = run.step(&mut sim) {
            violations.push(violation);
            break;
        }
    }
    let at = sim.elapsed();
    if violations.is_empty() {
        violations.extend(run.settle(at));
    }
    // Before the hosts go, so that nothing holds a node when its runtime ends.
    let report = run.report(at, violations);
    for machine in &run.machines {
        machine.forget_node();
        sim.crash(host(machine.id).as_str());
    }
    trace.flush();
    report
}

fn build<'a>(plan: &Plan) -> Sim<'a> {
    turmoil::Builder::new()
        .rng_seed(rng(plan.seed, Stream::Plan).next_u64() ^ plan.seed)
        .epoch(UNIX_EPOCH + Duration::from_millis(EPOCH_MS))
        .simulation_duration(plan.length * 2)
        .tick_duration(plan.tick)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(plan.latency_max)
        .repair_rate(0.5)
        .tcp_capacity(65_536)
        .build()
}

fn recorder(trace: &Trace) -> Recorder {
    let trace = trace.clone();
    Recorder::told_to(Arc::new(move |at, text| trace.line(at, text)))
}

fn client_host(number: u64) -> String {
    format!("clients-{number}")
}

impl Run {
    fn new(plan: &Arc<Plan>, trace: &Trace) -> Self {
        let scratch = (plan.disks == Disks::RocksDb)
            .then(|| Scratch::make().expect("a directory for the real disks"));
        // RocksDB names its databases by chance, and the names are in the files of a checkpoint.
        let wires = Wires::new(scratch.is_none());
        let desk = Desk::default();
        let machines: Vec<Machine> = (1..=plan.nodes)
            .map(|id| Machine::new(plan, id, &wires, scratch.as_ref()))
            .collect();
        let shared = Shared {
            plan: Arc::clone(plan),
            wires: wires.clone(),
            recorder: recorder(trace),
            is_founded: Arc::default(),
            is_over: Arc::default(),
            leap: Arc::new(Leap::at(plan.leap_at)),
            plaintexts: Arc::default(),
            clients: Arc::default(),
        };
        let clients: Vec<String> = (0..CLIENT_HOSTS).map(client_host).collect();
        Self {
            watch: Watch::new(&machines, trace.clone()),
            nemesis: Nemesis::new(
                Arc::clone(plan),
                &clients,
                wires,
                desk.clone(),
                trace.clone(),
            ),
            plan: Arc::clone(plan),
            shared,
            desk,
            machines,
            trace: trace.clone(),
            healing_since: None,
            has_epilogue: false,
            scratch,
        }
    }

    fn add_hosts(&self, sim: &mut Sim<'_>) {
        for machine in &self.machines {
            let machine = machine.clone();
            sim.host(host(machine.id), move || {
                let machine = machine.clone();
                async move {
                    machine.live().await;
                    Ok(())
                }
            });
        }
        for number in 0..CLIENT_HOSTS {
            let (shared, desk) = (self.shared.clone(), self.desk.clone());
            sim.host(client_host(number), move || {
                let (shared, desk) = (shared.clone(), desk.clone());
                async move {
                    let clients = (0..shared.plan.clients).filter(|it| it % CLIENT_HOSTS == number);
                    let workers = clients.map(|it| Worker::new(shared.clone(), it).run());
                    let workers = futures::future::join_all(workers);
                    // Custodians sit where the first clients do.
                    let is_first = number == 0;
                    let custodians =
                        is_first.then(|| Custodians::new(shared.clone(), desk.clone()));
                    let custodians =
                        futures::future::OptionFuture::from(custodians.map(Custodians::run));
                    let prober = is_first.then(|| Custodians::probe(shared, desk));
                    let prober = futures::future::OptionFuture::from(prober);
                    futures::join!(workers, custodians, prober);
                    Ok(())
                }
            });
        }
    }

    /// When it ends, as it looks at `at`.
    fn end(&mut self, at: Duration) -> Duration {
        if at >= self.plan.length && !self.has_epilogue {
            self.has_epilogue = self.watch.ledger.awaits_something();
        }
        if self.has_epilogue {
            self.plan.length + EPILOGUE
        } else {
            self.plan.length
        }
    }

    fn step(&mut self, sim: &mut Sim<'_>) -> Result<(), Violation> {
        let at = sim.elapsed();
        self.set_clocks(at);
        let mut field = Field {
            at,
            sim,
            machines: &self.machines,
            watch: &mut self.watch,
        };
        if self.healing_since.is_none() && at >= self.plan.healing_from() {
            self.healing_since = Some(at);
            self.desk.hurry();
            self.nemesis.heal(&mut field);
        }
        self.nemesis.step(&mut field);
        if let Err(error) = sim.step() {
            return Err(broken(
                "nodes_go_on",
                "P2",
                format!("a host failed: {error}"),
            ));
        }
        if self
            .healing_since
            .is_some_and(|since| at >= since + HEALING_WORK)
        {
            self.shared.is_over.store(true, Ordering::Relaxed);
        }
        self.check_refusals(at)?;
        self.watch.look(sim.elapsed(), &self.machines)
    }

    fn set_clocks(&self, at: Duration) {
        let is_founded = self.shared.is_founded.load(Ordering::Relaxed);
        let may_leap = is_founded && at < self.plan.healing_from();
        if self.shared.leap.step(at, may_leap) {
            self.trace.line(at, "all clocks leap");
        }
        let last = if at >= self.plan.length + LEAP_AT {
            LEAP
        } else {
            Duration::ZERO
        };
        for machine in &self.machines {
            machine.set_clock(at + self.shared.leap.ahead() + last);
        }
    }

    /// A node whose disk is whole starts.
    fn check_refusals(&self, at: Duration) -> Result<(), Violation> {
        for machine in self.machines.iter().filter(|it| !it.is_damaged()) {
            // A disk that takes no writes, or has lost its power, is a reason.
            let fatal =
                |refusal: &String| refusal.contains("damaged") || refusal.contains("belongs to");
            if let Some(refusal) = machine.refused().filter(fatal) {
                let problem = format!(
                    "node {} refuses to start at {} ms: {refusal}",
                    machine.id,
                    at.as_millis()
                );
                return Err(broken("nodes_go_on", "P2", problem));
            }
        }
        Ok(())
    }

    fn report(&self, at: Duration, violations: Vec<Violation>) -> Report {
        let (_, wire) = self.shared.wires.digest();
        for violation in &violations {
            self.trace.line(at, &format!("VIOLATION {violation}"));
        }
        let (calls, acknowledged, by_kind) = self.shared.recorder.look(count_calls);
        let faults = self.nemesis.counts.iter();
        Report {
            seed: self.plan.seed,
            nodes: self.plan.nodes,
            simulated_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            calls,
            acknowledged,
            records: self
                .watch
                .ledger
                .entries
                .last()
                .map_or(0, |it| it.audit_size),
            entries: self.watch.ledger.count(),
            faults: faults
                .map(|(kind, count)| (format!("{kind:?}"), *count))
                .collect(),
            seen: self.seen(by_kind),
            healed_ms: self
                .healed_after()
                .map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            trace: hex::encode(self.trace.digest()),
            wire: hex::encode(wire),
            tail: if violations.is_empty() {
                Vec::new()
            } else {
                self.trace.tail()
            },
            violations: violations.into_iter().map(Into::into).collect(),
        }
    }

    fn seen(&self, by_kind: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let mut seen = by_kind;
        let parts = [&self.watch.seen, &self.watch.ledger.seen, &self.desk.seen()];
        for (what, count) in parts.into_iter().flatten() {
            *seen.entry((*what).to_owned()).or_default() += count;
        }
        let clients = ["client with a stream", "client with single calls"];
        for (what, count) in clients.into_iter().zip(&*self.shared.clients) {
            seen.insert(what.to_owned(), count.load(Ordering::Relaxed));
        }
        if self.plan.disks == Disks::RocksDb {
            seen.insert("run on RocksDB".to_owned(), 1);
        }
        if self.shared.leap.ahead() > Duration::ZERO {
            seen.insert("leap of all clocks".to_owned(), 1);
        }
        seen.insert(
            "write lost with the power".to_owned(),
            self.nemesis.lost_writes,
        );
        seen
    }
}

/// A refusal that is to be reached for its reason.
fn special(reason: &str) -> Option<&'static str> {
    match reason {
        "KEY_COMPROMISED" => Some("call refused for what is compromised"),
        "KEY_PURPOSE" => Some("call refused for what the key is for"),
        "MAC_INVALID" | "SIGNATURE_INVALID" => Some("call refused for what was changed"),
        _ => None,
    }
}

/// All calls, those that were acknowledged, and these by operation.
fn count_calls(history: &History) -> (u64, u64, BTreeMap<String, u64>) {
    let mut by_kind: BTreeMap<String, u64> = BTreeMap::new();
    let mut acknowledged = 0;
    for call in &history.calls {
        let name = call.asked.operation().unwrap_or("a read");
        if let Some((_, Answer::Refused(reason))) = &call.ended
            && let Some(what) = special(reason)
        {
            *by_kind.entry(what.to_owned()).or_default() += 1;
        }
        let what = match &call.ended {
            Some(_) if call.acknowledged().is_some() => {
                acknowledged += 1;
                format!("call {name}")
            }
            Some((_, Answer::Refused(_))) => "call refused".to_owned(),
            _ => "call unknown".to_owned(),
        };
        *by_kind.entry(what).or_default() += 1;
    }
    let repeats = u64::try_from(history.repeats.len()).unwrap_or(0);
    by_kind.insert("call repeated".to_owned(), repeats);
    (
        u64::try_from(history.calls.len()).unwrap_or(0),
        acknowledged,
        by_kind,
    )
}
