//! One HTTP/2 connection a peer, opened when it is needed and again after it broke.

use crate::limits::{CONNECT_TIMEOUT, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, MESSAGE_BYTES_MAX};
use conclave_core::{ClusterId, NodeId};
use conclave_env::{Expect, Network};
use conclave_proto::peer::v1::peer_service_client::PeerServiceClient;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Knows how to reach the other nodes. A connection leads to the very node that is meant, or to none.
pub(crate) struct Dialer {
    network: Arc<dyn Network>,
    pub(crate) cluster: ClusterId,
    pub(crate) local: NodeId,
    channels: Mutex<Channels>,
}

#[derive(Default)]
struct Channels {
    open: BTreeMap<NodeId, Known>,
    opened: u64,
}

struct Known {
    address: String,
    channel: Channel,
    line: Line,
}

/// One channel among all that led to a node, to tell whether it is still the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line(u64);

impl Dialer {
    pub(crate) fn new(network: Arc<dyn Network>, cluster: ClusterId, local: NodeId) -> Self {
        Self {
            network,
            cluster,
            local,
            channels: Mutex::default(),
        }
    }

    /// A client of a node, and the line that it uses. Does not wait: the connection is opened by the first call.
    pub(crate) fn client(
        &self,
        target: NodeId,
        address: &str,
    ) -> (PeerServiceClient<Channel>, Line) {
        let mut channels = self.channels.lock();
        let current = channels
            .open
            .get(&target)
            .filter(|known| known.address == address);
        let (channel, line) = if let Some(known) = current {
            (known.channel.clone(), known.line)
        } else {
            channels.opened += 1;
            let line = Line(channels.opened);
            let (address, channel) = (address.to_owned(), self.open(target, address.to_owned()));
            channels.open.insert(
                target,
                Known {
                    address,
                    channel: channel.clone(),
                    line,
                },
            );
            (channel, line)
        };
        let client = PeerServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        (client, line)
    }

    /// Takes note of how a call ended. `Unavailable` means that nobody is at the other end, or a replica that has
    /// stopped: whoever takes its place has to be dialled anew, for the old connection may lead to the old replica
    /// for ever.
    pub(crate) fn note(&self, target: NodeId, line: Line, status: &Status) {
        let mut channels = self.channels.lock();
        let is_current = channels
            .open
            .get(&target)
            .is_some_and(|known| known.line == line);
        if status.code() == Code::Unavailable && is_current {
            channels.open.remove(&target);
        }
    }

    /// Forgets all connections; those in use end with their calls.
    pub(crate) fn close(&self) {
        self.channels.lock().open.clear();
    }

    fn open(&self, target: NodeId, address: String) -> Channel {
        let network = Arc::clone(&self.network);
        let connector = tower::service_fn(move |_: http::Uri| {
            let (network, address) = (Arc::clone(&network), address.clone());
            async move {
                network
                    .connect(&address, Expect::Node(target))
                    .await
                    .map(TokioIo::new)
            }
        });
        // The connector knows the address; the URI only has to be one. TLS is the network's matter.
        Endpoint::from_static("http://peer")
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector)
    }
}
