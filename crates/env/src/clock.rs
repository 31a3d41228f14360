//! Wall time.

use conclave_core::TimeMs;

/// Tells the time of day. Not for timeouts: those are tokio's.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch. May jump either way.
    fn now(&self) -> TimeMs;
}
