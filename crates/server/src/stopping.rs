//! How tasks learn that the node stops.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// A pause that ends early when the node stops; `false` then.
pub(crate) async fn pause(stopping: &mut watch::Receiver<bool>, time: Duration) -> bool {
    timeout(time, stopping.wait_for(|stop| *stop))
        .await
        .is_err()
}

/// Ends when the node stops.
pub(crate) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the node is gone, which is a stop too.
    drop(stopping.wait_for(|stop| *stop).await);
}
