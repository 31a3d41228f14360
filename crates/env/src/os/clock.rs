//! The system's clock.

use crate::Clock;
use conclave_core::TimeMs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time as the operating system has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsClock;

impl Clock for OsClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
    fn now(&self) -> TimeMs {
        // A clock before 1970 is a broken one; `apply` lets no time run backwards, so zero does no harm.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_this_century() {
        let year_ms = 365 * 24 * 3_600 * 1_000;
        let now = OsClock.now();
        assert!(now.0 > 55 * year_ms && now.0 < 130 * year_ms, "{now}");
    }
}
