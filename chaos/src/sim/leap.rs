//! A leap of all clocks in the midst of a run, so that versions become as old as their keys' rotation periods: second by
//! second that would take an hour.
//!
//! No client waits for an answer meanwhile: a request id is forgotten after ten minutes, as documented, and then a call
//! that is sent once more after a lost answer is done twice.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How far clocks leap.
const FAR: Duration = Duration::from_secs(2 * 3_600);

/// The leap of a run, and whoever must stand still for it.
#[derive(Debug, Default)]
pub(crate) struct Leap {
    planned: Option<Duration>,
    is_near: AtomicBool,
    working: AtomicU64,
    /// In simulated milliseconds; 0: not yet.
    done_at_ms: AtomicU64,
}

/// A client's call.
pub(crate) struct Turn<'a>(&'a Leap);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Leap {
    /// At that time, if at all.
    pub(crate) fn at(planned: Option<Duration>) -> Self {
        Self {
            planned,
            ..Self::default()
        }
    }

    /// Lets a client work; `None`: it is to wait a while.
    pub(crate) fn turn(&self) -> Option<Turn<'_>> {
        if self.is_near.load(Ordering::Relaxed) {
            return None;
        }
        self.working.fetch_add(1, Ordering::Relaxed);
        Some(Turn(self))
    }

    /// When the clocks leapt; the beginning of the run if they did not.
    pub(crate) fn done_at(&self) -> Duration {
        Duration::from_millis(self.done_at_ms.load(Ordering::Relaxed))
    }

    /// How far ahead the clocks are.
    pub(crate) fn ahead(&self) -> Duration {
        if self.done_at() == Duration::ZERO {
            Duration::ZERO
        } else {
            FAR
        }
    }

    /// Leaps if it is time and nobody works. `may`: clients are at work, and faults happen. Whether it has leapt just now.
    pub(crate) fn step(&self, at: Duration, may: bool) -> bool {
        let is_done = self.done_at() != Duration::ZERO;
        let is_due = may && !is_done && self.planned.is_some_and(|planned| at >= planned);
        let leaps = is_due && self.working.load(Ordering::Relaxed) == 0;
        if leaps {
            let ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            self.done_at_ms.store(ms.max(1), Ordering::Relaxed);
        }
        self.is_near.store(is_due && !leaps, Ordering::Relaxed);
        leaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leaps_once_and_when_nobody_works() {
        let second = Duration::from_secs;
        let leap = Leap::at(Some(second(2)));
        assert!(!leap.step(second(1), true));
        let turn = leap.turn();
        assert!(turn.is_some());
        assert!(!leap.step(second(2), true), "somebody works");
        assert!(leap.turn().is_none());
        drop(turn);
        assert!(!leap.step(second(3), false), "too late");
        assert!(leap.turn().is_some());
        assert!(leap.step(second(3), true));
        assert_eq!((leap.ahead(), leap.done_at()), (FAR, second(3)));
        assert!(leap.turn().is_some());
        assert!(!leap.step(second(4), true));
        assert!(!Leap::at(None).step(second(4), true));
    }
}
