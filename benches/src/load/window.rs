//! The time that counts: between warm-up and end. Opened and closed by one task, looked at by all callers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const NOT_YET: u64 = u64::MAX;

/// When what counts begins and ends.
#[derive(Debug)]
pub struct Window {
    origin: Instant,
    opened_ns: AtomicU64,
    closed_ns: AtomicU64,
}

/// A window that is not open yet.
impl Default for Window {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            opened_ns: AtomicU64::new(NOT_YET),
            closed_ns: AtomicU64::new(NOT_YET),
        }
    }
}

impl Window {
    /// From now on it counts.
    pub fn open(&self) {
        self.opened_ns
            .store(self.at(Instant::now()), Ordering::Release);
    }

    /// From now on it does not count any more.
    pub fn close(&self) {
        self.closed_ns
            .store(self.at(Instant::now()), Ordering::Release);
    }

    /// Whether callers should end.
    pub fn is_closed(&self) -> bool {
        self.closed_ns.load(Ordering::Acquire) != NOT_YET
    }

    /// Whether it was open already.
    pub fn was_open_at(&self, instant: Instant) -> bool {
        let opened = self.opened_ns.load(Ordering::Acquire);
        opened != NOT_YET && opened <= self.at(instant)
    }

    /// Whether it was closed already.
    pub fn was_closed_at(&self, instant: Instant) -> bool {
        self.closed_ns.load(Ordering::Acquire) <= self.at(instant)
    }

    /// How long it was open, or has been by now.
    pub fn length(&self) -> Duration {
        let opened = self.opened_ns.load(Ordering::Acquire);
        let until = self
            .closed_ns
            .load(Ordering::Acquire)
            .min(self.at(Instant::now()));
        Duration::from_nanos(until.saturating_sub(opened))
    }

    fn at(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(NOT_YET - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_open_and_close_is_inside() {
        let window = Window::default();
        let before = Instant::now();
        assert!(!window.was_open_at(before) && !window.was_closed_at(before));
        std::thread::sleep(Duration::from_millis(1));
        window.open();
        assert!(!window.was_open_at(before));
        let inside = Instant::now();
        assert!(window.was_open_at(inside) && !window.was_closed_at(inside));
        std::thread::sleep(Duration::from_millis(1));
        window.close();
        assert!(window.is_closed() && window.was_closed_at(Instant::now()));
        assert!(!window.was_closed_at(inside));
        assert!(window.length() >= Duration::from_millis(1));
    }
}
