//! Lengths of time that people choose, within bounds.

use crate::ids::TimeMs;
use crate::limits::{DESTRUCTION_WAIT_MS, IMPORT_LIFE_MS, ROTATION_PERIOD_MS};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

macro_rules! period {
    ($(#[$doc:meta])* $name:ident, $error:ident, $bounds:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name(u64);

        /// Outside its bounds.
        #[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
        #[error($rule)]
        pub struct $error(u64);

        impl $name {
            /// Of so many milliseconds.
            ///
            /// # Errors
            /// If it is shorter or longer than it may be.
            pub fn from_ms(period_ms: u64) -> Result<Self, $error> {
                if $bounds.contains(&period_ms) {
                    Ok(Self(period_ms))
                } else {
                    Err($error(period_ms))
                }
            }

            /// In milliseconds.
            pub fn as_ms(self) -> u64 {
                self.0
            }

            pub(crate) fn after(self, time: TimeMs) -> TimeMs {
                TimeMs(time.0.saturating_add(self.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_length(self.0, f)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = $error;

            fn try_from(period_ms: u64) -> Result<Self, $error> {
                Self::from_ms(period_ms)
            }
        }

        impl From<$name> for u64 {
            fn from(period: $name) -> Self {
                period.0
            }
        }
    };
}

period!(
    /// How long an import job lives: 10 minutes to 7 days, in whole milliseconds.
    ImportLife,
    ImportLifeError,
    IMPORT_LIFE_MS,
    "an import job lives 10 minutes to 7 days, not {0} ms"
);
period!(
    /// How old a primary version may become: an hour to ten years, in whole milliseconds.
    RotationPeriod,
    RotationPeriodError,
    ROTATION_PERIOD_MS,
    "a rotation period is an hour to ten years, not {0} ms"
);
period!(
    /// How long a destruction that is scheduled waits: 1 to 90 days, in whole milliseconds.
    WaitingPeriod,
    WaitingPeriodError,
    DESTRUCTION_WAIT_MS,
    "a destruction waits 1 to 90 days, not {0} ms"
);

/// In the largest unit that leaves no rest: `90d`, `36h`, `5400s`, `3600001ms`.
pub(crate) fn write_length(length_ms: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (1_000, "s"), (1, "ms")];
    let whole = |(unit_ms, _): &(u64, _)| length_ms.is_multiple_of(*unit_ms);
    let (unit_ms, unit) = units.into_iter().find(whole).unwrap_or((1, "ms"));
    write!(
        f,
        "{}{unit}",
        length_ms.checked_div(unit_ms).unwrap_or_default()
    )
}
