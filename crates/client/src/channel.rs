//! One HTTP/2 connection to one node, opened when it is first needed and again when it broke.

use crate::error::ClientError;
use crate::limits::{CONNECT_MAX, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use conclave_env::{Expect, Io, Network};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::{Arc, OnceLock};
use tonic::transport::{Channel, Endpoint, Uri};

/// A node as this client reaches it.
pub(crate) struct Node {
    address: String,
    endpoint: Endpoint,
    network: Arc<dyn Network>,
    channel: OnceLock<Channel>,
}

impl Node {
    pub(crate) fn new(address: &str, network: Arc<dyn Network>) -> Result<Self, ClientError> {
        crate::config::check_endpoint(address)?;
        let wrong = |_| ClientError::Endpoint {
            endpoint: address.to_owned(),
        };
        // TLS is the network's business, so HTTP/2 sees a plain connection.
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(wrong)?
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self {
            address: address.to_owned(),
            endpoint,
            network,
            channel: OnceLock::new(),
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Must be called inside a tokio runtime, which then carries the connection.
    pub(crate) fn channel(&self) -> Channel {
        let open = || {
            let (network, address) = (Arc::clone(&self.network), self.address.clone());
            let connector = tower::service_fn(move |_: Uri| {
                let (network, address) = (Arc::clone(&network), address.clone());
                async move { connect(&*network, &address).await.map(TokioIo::new) }
            });
            self.endpoint.connect_with_connector_lazy(connector)
        };
        self.channel.get_or_init(open).clone()
    }
}

async fn connect(network: &dyn Network, address: &str) -> io::Result<Io> {
    let connecting = network.connect(address, Expect::AnyNode);
    tokio::time::timeout(CONNECT_MAX, connecting)
        .await
        .unwrap_or_else(|_| {
            let text = format!("no connection within {} ms", CONNECT_MAX.as_millis());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
}
