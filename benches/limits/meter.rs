//! Counting what workers do within a window of time, and what CPU time that took.

use crate::cpu::{self, Machine};
use crate::report::Line;
use anyhow::{Context as _, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

const WARMING_UP: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Tells workers whether their calls count. Clones are the same window.
#[derive(Clone, Default)]
pub(crate) struct Window(Arc<AtomicU8>);

/// Threads whose CPU time is of interest, by what their names begin with.
pub(crate) struct Threads {
    /// Of the server, or of whoever works if there is no server.
    pub(crate) workers: &'static str,
    /// Of the client.
    pub(crate) clients: Option<&'static str>,
}

/// What the window cost.
pub(crate) struct Cost {
    seconds: f64,
    workers: Duration,
    clients: Option<Duration>,
    others_percent: f64,
}

impl Window {
    /// Whether workers should stop.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == OVER
    }

    fn is_counting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == COUNTING
    }

    /// Blocks: lets the workers warm up for a fifth of `length`, counts for `length`, and tells them to stop, also if
    /// this fails.
    pub(crate) fn watch(&self, length: Duration, threads: &Threads) -> Result<Cost> {
        let cost = self.count(length, threads);
        self.0.store(OVER, Ordering::Relaxed);
        cost
    }

    fn count(&self, length: Duration, threads: &Threads) -> Result<Cost> {
        self.0.store(WARMING_UP, Ordering::Relaxed);
        std::thread::sleep(length / 5);
        let clients = || threads.clients.map(cpu::of_threads).transpose();
        let (workers_before, clients_before) = (cpu::of_threads(threads.workers)?, clients()?);
        let (machine, began) = (Machine::now()?, Instant::now());
        self.0.store(COUNTING, Ordering::Relaxed);
        std::thread::sleep(length);
        self.0.store(WARMING_UP, Ordering::Relaxed);
        let seconds = began.elapsed().as_secs_f64();
        let others = Machine::now()?.others_since(&machine);
        let cpus = f64::from(u32::try_from(std::thread::available_parallelism()?.get())?);
        Ok(Cost {
            seconds,
            workers: cpu::of_threads(threads.workers)?.saturating_sub(workers_before),
            clients: clients()?
                .zip(clients_before)
                .map(|(after, before)| after.saturating_sub(before)),
            others_percent: others.as_secs_f64() / seconds / cpus * 100.0,
        })
    }
}

/// The calls of one worker, or of several.
#[derive(Default)]
pub(crate) struct Tally {
    calls: u64,
    /// How long each took, if that was measured.
    nanos: Vec<u32>,
}

impl Tally {
    /// One call that has just ended.
    pub(crate) fn call(&mut self, window: &Window, took: Duration) {
        if window.is_counting() {
            self.calls += 1;
            let nanos = took.as_nanos().try_into();
            self.nanos.push(nanos.unwrap_or(u32::MAX));
        }
    }

    /// Calls that have just ended, too short to be measured each.
    pub(crate) fn calls(&mut self, window: &Window, count: u32) {
        if window.is_counting() {
            self.calls += u64::from(count);
        }
    }

    /// Adds another worker's.
    pub(crate) fn merge(&mut self, other: Self) {
        self.calls += other.calls;
        self.nanos.extend(other.nanos);
    }

    /// How long so many per cent of the calls took at most, in microseconds.
    fn percentile_us(&self, percent: usize) -> Option<f64> {
        let last = self.nanos.len().checked_sub(1)?;
        let nanos = self.nanos[(self.nanos.len() * percent / 100).min(last)];
        Some(f64::from(nanos) / 1_000.0)
    }

    /// The figures of a measure.
    ///
    /// # Errors
    /// If no call ended within the window.
    pub(crate) fn into_line(mut self, limit: String, cost: &Cost) -> Result<Line> {
        ensure!(
            self.calls > 0,
            "{limit}: no call ended in time, so measure for longer"
        );
        self.nanos.sort_unstable();
        let calls = f64::from(u32::try_from(self.calls).context("fewer calls, please")?);
        let each_us = |time: Duration| time.as_secs_f64() * 1e6 / calls;
        Ok(Line {
            limit,
            rate_per_s: calls / cost.seconds,
            p50_us: self.percentile_us(50),
            p99_us: self.percentile_us(99),
            cpu_us: each_us(cost.workers),
            client_cpu_us: cost.clients.map(each_us),
            others_cpu_percent: cost.others_percent,
        })
    }
}

/// Measures what threads of their own do, each with a worker of its own.
///
/// # Errors
/// What a worker answers.
///
/// # Panics
/// If a worker does.
pub(crate) fn on_threads<W>(limit: String, length: Duration, workers: Vec<W>) -> Result<Line>
where
    W: FnOnce(&Window) -> Result<Tally> + Send,
{
    const NAME: &str = "worker";
    let window = Window::default();
    std::thread::scope(|scope| {
        let window = &window;
        let spawn = |worker: W| {
            let builder = std::thread::Builder::new().name(NAME.to_owned());
            builder.spawn_scoped(scope, move || worker(window))
        };
        let threads: Vec<_> = workers.into_iter().map(spawn).collect();
        let names = Threads {
            workers: NAME,
            clients: None,
        };
        let cost = window.watch(length, &names);
        let mut tally = Tally::default();
        for thread in threads {
            tally.merge(thread?.join().expect("a worker panics only for a bug")?);
        }
        tally.into_line(limit, &cost?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_sorted_calls() {
        let mut tally = Tally {
            calls: 200,
            nanos: (1..=200).rev().map(|n| n * 1_000).collect(),
        };
        tally.nanos.sort_unstable();
        assert_eq!(tally.percentile_us(50), Some(101.0));
        assert_eq!(tally.percentile_us(99), Some(199.0));
        assert_eq!(Tally::default().percentile_us(99), None);
    }

    #[test]
    fn calls_outside_the_window_do_not_count() {
        let window = Window::default();
        let mut tally = Tally::default();
        tally.call(&window, Duration::from_micros(1));
        window.0.store(COUNTING, Ordering::Relaxed);
        tally.call(&window, Duration::from_micros(2));
        tally.calls(&window, 3);
        window.0.store(OVER, Ordering::Relaxed);
        tally.calls(&window, 5);
        assert_eq!((tally.calls, tally.nanos), (4, vec![2_000]));
    }
}
