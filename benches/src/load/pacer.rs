//! The open loop: requests fall due at instants that no answer can put off.
//!
//! A request's latency counts from when it was due, not from when a caller had time for it, so a cluster that is late
//! is not measured less often (coordinated omission). The pacer has a thread of its own, since the runtime's timers go
//! by whole milliseconds; what it is late itself, about a tenth of one, counts as latency too.

use super::real;
use super::window::Window;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Between two looks at least, so that a high rate does not take a core.
const PAUSE_MIN: Duration = Duration::from_micros(100);
/// Between two looks at most, so that the end is seen.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Tells callers when requests are due.
#[derive(Debug)]
pub(super) struct Pacer {
    begun: Instant,
    rate: f64,
    due: Semaphore,
    given: AtomicU64,
    taken: AtomicU64,
}

impl Pacer {
    /// Starts, and ends when the window closes.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn start(rate: f64, window: Arc<Window>) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let pacer = Arc::new(Self {
            begun: Instant::now(),
            rate,
            due: Semaphore::new(0),
            given: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        });
        let thread = {
            let pacer = pacer.clone();
            thread::Builder::new()
                .name("pacer".to_owned())
                .spawn(move || pacer.pace(&window))?
        };
        Ok((pacer, thread))
    }

    fn pace(&self, window: &Window) {
        let mut given = 0;
        while !window.is_closed() {
            let due = self.due_by(self.begun.elapsed());
            if due > given {
                self.given.store(due, Ordering::Relaxed);
                self.due
                    .add_permits(usize::try_from(due - given).unwrap_or_default());
                given = due;
            }
            let until_next = self
                .instant(given)
                .saturating_duration_since(Instant::now());
            thread::sleep(until_next.clamp(PAUSE_MIN, PAUSE_MAX));
        }
        self.due.close();
    }

    /// Waits until a request is due that no other caller took, and says when it fell due; none at the end.
    pub(super) async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        Some(self.instant(self.taken.fetch_add(1, Ordering::Relaxed)))
    }

    /// Requests that fell due and that no caller had time for. To be asked at the end.
    pub(super) fn not_sent(&self) -> u64 {
        self.given
            .load(Ordering::Relaxed)
            .saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// How many have fallen due after so long; the first one does at once.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate and a time are positive, and their product is far below 2^64"
    )]
    fn due_by(&self, elapsed: Duration) -> u64 {
        (elapsed.as_secs_f64() * self.rate) as u64 + 1
    }

    fn instant(&self, place: u64) -> Instant {
        self.begun + Duration::from_secs_f64(real(place) / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_fall_due_at_the_rate_whether_anybody_takes_them_or_not() {
        let window = Arc::new(Window::default());
        let (pacer, thread) = Pacer::start(1_000.0, window.clone()).unwrap();
        let first = pacer.next().await.unwrap();
        let second = pacer.next().await.unwrap();
        assert_eq!(second - first, Duration::from_millis(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
        // It fell due long ago, and that is from when its latency counts.
        assert!(pacer.next().await.unwrap().elapsed() > Duration::from_millis(40));
        window.close();
        thread.join().unwrap();
        assert!(pacer.not_sent() > 40);
        assert!(pacer.next().await.is_none());
    }
}
