//! Connections in memory: whoever connects is who it says, and is let in by the rules of the real network.

use crate::{Audience, Expect, Incoming, Io, Network, Remote, RemoteIdentity};
use async_trait::async_trait;
use futures::StreamExt as _;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes on their way in one direction of a connection.
const PIPE_BYTES_MAX: usize = 256 * 1024;
/// Connections that wait to be accepted.
const BACKLOG_MAX: usize = 128;

struct Listener {
    owner: RemoteIdentity,
    audience: Audience,
    accepted: mpsc::Sender<io::Result<Io>>,
}

type Listeners = Arc<Mutex<BTreeMap<String, Listener>>>;

/// A network of addresses, seen by one of those who use it. All made from one [`MemNetwork::new`] see each other.
#[derive(Clone)]
pub struct MemNetwork {
    identity: RemoteIdentity,
    listeners: Listeners,
}

impl MemNetwork {
    /// A network of its own, as `identity` sees it.
    pub fn new(identity: RemoteIdentity) -> Self {
        Self {
            identity,
            listeners: Arc::default(),
        }
    }

    /// The same network as another one sees it.
    #[must_use]
    pub fn seen_by(&self, identity: RemoteIdentity) -> Self {
        Self {
            identity,
            listeners: Arc::clone(&self.listeners),
        }
    }

    fn remote(identity: &RemoteIdentity, address: &str) -> Remote {
        Remote {
            identity: identity.clone(),
            address: address.to_owned(),
        }
    }
}

#[async_trait]
impl Network for MemNetwork {
    async fn connect(&self, address: &str, expect: Expect) -> io::Result<Io> {
        let (accepted, owner) = {
            let listeners = self.listeners.lock();
            let listener = listeners.get(address).filter(|it| !it.accepted.is_closed());
            let listener = listener.ok_or(ErrorKind::ConnectionRefused)?;
            if !expect.accepts(&listener.owner) || !listener.audience.admits(&self.identity) {
                return Err(ErrorKind::PermissionDenied.into());
            }
            (listener.accepted.clone(), listener.owner.clone())
        };
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES_MAX);
        let theirs = Io::new(theirs, Self::remote(&self.identity, "memory"));
        accepted
            .send(Ok(theirs))
            .await
            .map_err(|_| ErrorKind::ConnectionRefused)?;
        Ok(Io::new(ours, Self::remote(&owner, address)))
    }

    async fn listen(&self, address: &str, audience: Audience) -> io::Result<Incoming> {
        let (accepted, waiting) = mpsc::channel(BACKLOG_MAX);
        let listener = Listener {
            owner: self.identity.clone(),
            audience,
            accepted,
        };
        let mut listeners = self.listeners.lock();
        if listeners
            .get(address)
            .is_some_and(|it| !it.accepted.is_closed())
        {
            return Err(ErrorKind::AddrInUse.into());
        }
        listeners.insert(address.to_owned(), listener);
        let incoming = futures::stream::unfold(waiting, |mut waiting| async move {
            waiting.recv().await.map(|io| (io, waiting))
        });
        Ok(incoming.boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_core::{NodeId, PrincipalName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn node(id: u64) -> RemoteIdentity {
        RemoteIdentity::Node(NodeId(id))
    }

    #[tokio::test]
    async fn both_ends_know_each_other() {
        let one = MemNetwork::new(node(1));
        let two = one.seen_by(node(2));
        let mut incoming = one.listen("one:1", Audience::Peers).await.unwrap();
        let mut there = two.connect("one:1", Expect::Node(NodeId(1))).await.unwrap();
        let mut here = incoming.next().await.unwrap().unwrap();
        assert_eq!(there.remote().identity, node(1));
        assert_eq!(here.remote().identity, node(2));
        there.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        here.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn whoever_is_not_meant_is_refused() {
        let one = MemNetwork::new(node(1));
        let client = one.seen_by(RemoteIdentity::Principal(
            PrincipalName::new("app").unwrap(),
        ));
        let refused = async |network: &MemNetwork, address: &str, expect| {
            network
                .connect(address, expect)
                .await
                .map(|_| ())
                .unwrap_err()
                .kind()
        };
        assert_eq!(
            refused(&client, "one:1", Expect::AnyNode).await,
            ErrorKind::ConnectionRefused
        );
        let _peers = one.listen("one:1", Audience::Peers).await.unwrap();
        let _clients = one.listen("one:2", Audience::Clients).await.unwrap();
        assert_eq!(
            refused(&client, "one:1", Expect::AnyNode).await,
            ErrorKind::PermissionDenied
        );
        assert_eq!(
            refused(&one, "one:2", Expect::AnyNode).await,
            ErrorKind::PermissionDenied
        );
        let other = Expect::Node(NodeId(2));
        assert_eq!(
            refused(&one, "one:1", other).await,
            ErrorKind::PermissionDenied
        );
        let again = one.listen("one:1", Audience::Peers).await.map(|_| ());
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
