//! The standard health service: the node as a whole serves as long as it runs; `conclave.v1.CryptoService` serves only
//! while the node is unsealed, has a leader and its storage works.

use crate::context::NodeContext;
use crate::limits::HSM_CHECK_INTERVAL;
use crate::stopping::pause;
use std::sync::Arc;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

const CRYPTO_SERVICE: &str = "conclave.v1.CryptoService";

/// Keeps the answers of the health service up to date until the node stops.
pub(crate) async fn watch(
    context: Arc<NodeContext>,
    reporter: HealthReporter,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let led = || {
            context
                .replica
                .get()
                .is_ok_and(|replica| replica.status().leader.is_some())
        };
        let serves = context.seal.reason().is_none() && led();
        let status = if serves {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        reporter.set_service_status(CRYPTO_SERVICE, status).await;
        if !pause(&mut stopping, HSM_CHECK_INTERVAL).await {
            reporter
                .set_service_status("", ServingStatus::NotServing)
                .await;
            return;
        }
    }
}
