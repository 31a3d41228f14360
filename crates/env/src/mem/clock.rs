//! A clock that is set by hand.

use crate::Clock;
use conclave_core::TimeMs;
use parking_lot::Mutex;
use std::sync::Arc;

/// Shows what it was last set to. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct MemClock {
    now: Arc<Mutex<TimeMs>>,
}

impl MemClock {
    /// A clock that shows `now`.
    pub fn new(now: TimeMs) -> Self {
        Self {
            now: Arc::new(Mutex::new(now)),
        }
    }

    /// Sets it, forwards or backwards.
    pub fn set(&self, now: TimeMs) {
        *self.now.lock() = now;
    }

    /// Moves it forwards by so many milliseconds.
    pub fn advance_ms(&self, by_ms: u64) {
        let mut now = self.now.lock();
        now.0 = now.0.saturating_add(by_ms);
    }
}

impl Clock for MemClock {
    fn now(&self) -> TimeMs {
        *self.now.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_either_way() {
        let clock = MemClock::new(TimeMs(1_000));
        let same = clock.clone();
        clock.advance_ms(500);
        assert_eq!(same.now(), TimeMs(1_500));
        clock.set(TimeMs(7));
        assert_eq!(same.now(), TimeMs(7));
    }
}
