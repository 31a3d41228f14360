//! Waiting for something to become true, with a bound.

use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until `probe` gives something, for at most `limit`.
///
/// # Errors
/// If time is up; `what` says what was waited for.
pub async fn until_in<T>(
    limit: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {} ms in vain: {what}", limit.as_millis());
        }
        sleep(PAUSE).await;
    }
}

/// [`until_in`] 20 seconds, long enough for anything that is not measured.
///
/// # Errors
/// As [`until_in`].
pub async fn until<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    until_in(Duration::from_secs(20), what, probe).await
}
