//! What callers count.

use super::window::Window;
use super::work::Failure;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Instant;

/// The shortest latency that is told apart, in nanoseconds.
const LOWEST_NS: u64 = 1_000;
/// Longer ones count as this long: more than any deadline.
const HIGHEST_NS: u64 = 200_000_000_000;
/// Three digits: an error of 0.1 %.
const DIGITS: u8 = 3;

/// Answers and failures of some callers.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Good answers inside the window.
    pub requests: u64,
    /// Messages, keys or draws in them.
    pub items: u64,
    /// How long they took, in nanoseconds: those that began, or were due, inside the window, even if their answer came
    /// after it.
    pub latency: Histogram<u64>,
    /// Failures since the window opened: how many by reason, and the first text of each.
    pub errors: BTreeMap<String, (u64, String)>,
}

/// Nothing counted yet.
impl Default for Tally {
    fn default() -> Self {
        Self {
            requests: 0,
            items: 0,
            latency: Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
                .expect("the bounds are constants that fit"),
            errors: BTreeMap::new(),
        }
    }
}

impl Tally {
    /// Counts one request. `begun` is when it was due, in an open loop.
    pub fn note(&mut self, window: &Window, begun: Instant, result: Result<u64, Failure>) {
        let ended = Instant::now();
        if !window.was_open_at(ended) {
            return;
        }
        match result {
            Ok(items) => {
                if !window.was_closed_at(ended) {
                    self.requests += 1;
                    self.items += items;
                }
                if window.was_open_at(begun) {
                    let took = ended.saturating_duration_since(begun).as_nanos();
                    self.latency
                        .saturating_record(u64::try_from(took).unwrap_or(HIGHEST_NS));
                }
            }
            Err(Failure { reason, text }) => {
                self.errors.entry(reason).or_insert((0, text)).0 += 1;
            }
        }
    }

    /// Takes another one in.
    ///
    /// # Panics
    /// Never: all histograms have the same bounds.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.items += other.items;
        self.latency
            .add(&other.latency)
            .expect("all have the same bounds");
        for (reason, (count, text)) in &other.errors {
            self.errors
                .entry(reason.clone())
                .or_insert_with(|| (0, text.clone()))
                .0 += count;
        }
    }

    /// All failures.
    pub fn failed(&self) -> u64 {
        self.errors.values().map(|(count, _)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_in_the_warm_up_counts_for_the_rate_and_not_for_the_latency() {
        let window = Window::default();
        let mut tally = Tally::default();
        let early = Instant::now();
        tally.note(&window, early, Ok(1));
        assert_eq!(tally.requests, 0);
        std::thread::sleep(std::time::Duration::from_millis(1));
        window.open();
        tally.note(&window, early, Ok(1));
        assert_eq!((tally.requests, tally.latency.len()), (1, 0));
        tally.note(&window, Instant::now(), Ok(100));
        assert_eq!(
            (tally.requests, tally.items, tally.latency.len()),
            (2, 101, 1)
        );
        let late = Instant::now();
        window.close();
        tally.note(&window, late, Ok(1));
        assert_eq!((tally.requests, tally.latency.len()), (2, 2));
    }

    #[test]
    fn failures_are_counted_by_reason_and_the_first_text_is_kept() {
        let window = Window::default();
        window.open();
        let mut parts = [Tally::default(), Tally::default()];
        for (place, text) in [(0, "first"), (0, "second"), (1, "third")] {
            let failure = Failure {
                reason: "OVERLOADED".to_owned(),
                text: text.to_owned(),
            };
            parts[place].note(&window, Instant::now(), Err(failure));
        }
        let mut all = Tally::default();
        for part in &parts {
            all.add(part);
        }
        assert_eq!(all.errors["OVERLOADED"], (3, "first".to_owned()));
        assert_eq!(all.failed(), 3);
    }
}
