//! The connections to one node: HTTP/2, opened when they are first needed and again when they broke.

use crate::error::ClientError;
use crate::limits::{CONNECT_MAX, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use crate::session::Session;
use conclave_env::{Expect, Io, Network};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tonic::transport::{Channel, Endpoint, Uri};

/// A node as this client reaches it.
pub(crate) struct Node {
    address: String,
    endpoint: Endpoint,
    network: Arc<dyn Network>,
    connections: Vec<Connection>,
    /// Counts calls, which take the connections in turn.
    calls: AtomicUsize,
}

#[derive(Default)]
struct Connection {
    channel: OnceLock<Channel>,
    session: Mutex<Option<Arc<Session>>>,
}

impl Node {
    /// With `connections` of them, at least one.
    pub(crate) fn new(
        address: &str,
        network: Arc<dyn Network>,
        connections: usize,
    ) -> Result<Self, ClientError> {
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
            connections: (0..connections.max(1))
                .map(|_| Connection::default())
                .collect(),
            calls: AtomicUsize::new(0),
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A connection for one call. Must be called inside a tokio runtime, which then carries it.
    pub(crate) fn channel(&self) -> Channel {
        self.channel_of(self.next())
    }

    /// A session for one use, opened if there is none or it ended. Must be called inside a tokio runtime, too.
    pub(crate) fn session(&self) -> Arc<Session> {
        let connection = self.next();
        let mut session = connection.session.lock();
        match &*session {
            Some(session) if !session.has_ended() => Arc::clone(session),
            Some(_) | None => {
                let opened = Arc::new(Session::open(self.channel_of(connection)));
                *session = Some(Arc::clone(&opened));
                opened
            }
        }
    }

    fn next(&self) -> &Connection {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        &self.connections[call % self.connections.len()]
    }

    fn channel_of(&self, connection: &Connection) -> Channel {
        let open = || {
            let (network, address) = (Arc::clone(&self.network), self.address.clone());
            let connector = tower::service_fn(move |_: Uri| {
                let (network, address) = (Arc::clone(&network), address.clone());
                async move { connect(&*network, &address).await.map(TokioIo::new) }
            });
            self.endpoint.connect_with_connector_lazy(connector)
        };
        connection.channel.get_or_init(open).clone()
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
