//! Does what a plan says.

use super::access::{Connected, connect};
use super::machine::Meter;
use super::nodes::Counters;
use super::pacer::Pacer;
use super::plan::Plan;
use super::real;
use super::report::{Measured, Report};
use super::tally::Tally;
use super::window::Window;
use super::work::Work;
use anyhow::{Context as _, Result};
use conclave_client::Client;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Callers share that many tallies, so that they seldom wait for each other.
const SHARDS: usize = 16;
/// Between two looks at the nodes.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// How long it has been measured; none during the warm-up.
    pub seconds: Option<f64>,
    /// Good answers by now.
    pub requests: u64,
    /// Failures by now.
    pub failed: u64,
}

impl Progress {
    /// Good answers a second by now; none during the warm-up.
    pub fn per_second(&self) -> Option<f64> {
        Some(real(self.requests) / self.seconds?.max(0.001))
    }
}

struct Shared {
    work: Work,
    window: Arc<Window>,
    shards: Vec<Mutex<Tally>>,
    pacer: Option<Arc<Pacer>>,
    /// Requests that may still be begun.
    budget: Option<AtomicU64>,
}

impl Shared {
    /// One caller, to the end.
    async fn call(&self, client: Client, shard: usize) {
        while let Some(begun) = self.begin().await {
            let result = self.work.once(&client).await;
            self.shards[shard].lock().note(&self.window, begun, result);
        }
    }

    /// Waits until another request may begin, and says from when its latency counts; none at the end.
    async fn begin(&self) -> Option<Instant> {
        if let Some(pacer) = &self.pacer {
            return pacer.next().await;
        }
        if let Some(budget) = &self.budget {
            let left = |left: u64| left.checked_sub(1);
            budget
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
                .ok()?;
        }
        (!self.window.is_closed()).then(Instant::now)
    }

    fn progress(&self, seconds: Option<f64>) -> Progress {
        let mut progress = Progress {
            seconds,
            requests: 0,
            failed: 0,
        };
        for shard in &self.shards {
            let tally = shard.lock();
            progress.requests += tally.requests;
            progress.failed += tally.failed();
        }
        progress
    }

    fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        self.shards.iter().for_each(|shard| sum.add(&shard.lock()));
        sum
    }
}

/// Does what the plan says, and tells twice a second how far it is.
///
/// # Errors
/// If the cluster cannot be reached, or refuses the preparations. Failed requests are no error: they are counted.
pub async fn run(plan: &Plan, mut tell: impl FnMut(Progress)) -> Result<Report> {
    plan.check()?;
    let Connected { clients, transport } = connect(&plan.access)?;
    let first = clients
        .first()
        .context("give at least one connection")?
        .clone();
    let work = Work::prepare(plan, &first)
        .await
        .context("prepare the load")?;
    let window = Arc::new(Window::default());
    if plan.requests.is_some() {
        window.open();
    }
    let (pacer, ticking) = plan
        .rate
        .map(|rate| Pacer::start(rate, window.clone()))
        .transpose()?
        .unzip();
    let shared = Arc::new(Shared {
        work,
        window,
        shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        pacer,
        budget: plan.requests.map(AtomicU64::new),
    });
    // With a number of requests everything counts, so the meter begins before the first of them.
    let mut meter = Meter::begin(&plan.pids)?;
    let mut before = Counters::read(&first).await;
    let mut callers = JoinSet::new();
    for place in 0..plan.callers as usize {
        let (shared, client) = (shared.clone(), clients[place % clients.len()].clone());
        callers.spawn(async move { shared.call(client, place % SHARDS).await });
    }
    if plan.requests.is_none() {
        tell(shared.progress(None));
        sleep(Duration::from_secs_f64(plan.warmup_seconds())).await;
        before = Counters::read(&first).await;
        meter = Meter::begin(&plan.pids)?;
        shared.window.open();
    }
    watch(plan, &shared, &mut meter, &mut callers, &mut tell).await;
    shared.window.close();
    let usage = meter.end()?;
    let after = Counters::read(&first).await;
    while callers.join_next().await.is_some() {}
    if let Some(thread) = ticking {
        thread.join().ok().context("the pacer ended badly")?;
    }
    let measured = Measured {
        transport,
        length: shared.window.length(),
        tally: shared.sum(),
        usage,
        counted: after.since(&before),
        not_sent: shared.pacer.as_ref().map_or(0, |pacer| pacer.not_sent()),
    };
    Ok(Report::new(plan, measured))
}

/// Until time is up, or all callers have ended.
async fn watch(
    plan: &Plan,
    shared: &Shared,
    meter: &mut Meter,
    callers: &mut JoinSet<()>,
    tell: &mut impl FnMut(Progress),
) {
    let end = meter.begun() + Duration::from_secs_f64(plan.seconds);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let ended = async { while callers.join_next().await.is_some() {} };
        tokio::select! {
            () = sleep(left.min(LOOK_INTERVAL)) => {}
            () = ended => break,
        }
        meter.look();
        tell(shared.progress(Some(meter.begun().elapsed().as_secs_f64())));
        if Instant::now() >= end {
            break;
        }
    }
}
