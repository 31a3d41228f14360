//! Wires in memory that know who is at each end, as certificates would tell, and that can be cut.

use async_trait::async_trait;
use conclave_core::NodeId;
use conclave_env::{Audience, Expect, Incoming, Io, Network, Remote, RemoteIdentity};
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

#[derive(Default)]
struct Switchboard {
    listeners: BTreeMap<String, (NodeId, mpsc::Sender<Io>)>,
    cut: BTreeSet<NodeId>,
    /// How often each node was cut off: wires from before stay broken.
    cuts: BTreeMap<NodeId, usize>,
    /// How many connections each node has opened.
    opened: BTreeMap<NodeId, usize>,
}

/// All wires of a test.
#[derive(Clone, Default)]
pub(crate) struct Wires(Arc<Mutex<Switchboard>>);

impl Wires {
    /// The network as one node sees it.
    pub(crate) fn of(&self, node: NodeId) -> TestNetwork {
        TestNetwork {
            wires: self.clone(),
            node,
        }
    }

    /// Nothing goes to or from this node any more; those connected see their connections break.
    pub(crate) fn cut(&self, node: NodeId) {
        let mut switchboard = self.0.lock();
        switchboard.cut.insert(node);
        *switchboard.cuts.entry(node).or_default() += 1;
    }

    pub(crate) fn mend(&self, node: NodeId) {
        self.0.lock().cut.remove(&node);
    }

    /// How many connections this node has opened.
    pub(crate) fn connections(&self, node: NodeId) -> usize {
        self.0.lock().opened.get(&node).copied().unwrap_or(0)
    }

    fn cuts(&self, ends: [NodeId; 2]) -> [usize; 2] {
        let switchboard = self.0.lock();
        ends.map(|node| switchboard.cuts.get(&node).copied().unwrap_or(0))
    }

    fn are_cut(&self, ends: [NodeId; 2]) -> bool {
        let switchboard = self.0.lock();
        ends.iter().any(|node| switchboard.cut.contains(node))
    }
}

struct Wire {
    stream: DuplexStream,
    ends: [NodeId; 2],
    cuts: [usize; 2],
    wires: Wires,
}

impl Wire {
    fn is_broken(&self) -> bool {
        self.wires.cuts(self.ends) != self.cuts
    }
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_broken() {
            return Poll::Ready(Err(broken()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_broken() {
            return Poll::Ready(Err(broken()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The network as one node sees it.
pub(crate) struct TestNetwork {
    wires: Wires,
    node: NodeId,
}

#[async_trait]
impl Network for TestNetwork {
    async fn connect(&self, address: &str, expect: Expect) -> io::Result<Io> {
        let listener = self.wires.0.lock().listeners.get(address).cloned();
        let (node, accept) = listener.ok_or(io::ErrorKind::ConnectionRefused)?;
        let ends = [self.node, node];
        if self.wires.are_cut(ends) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        if let Expect::Node(expected) = expect
            && expected != node
        {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let cuts = self.wires.cuts(ends);
        let wire = |stream| Wire {
            stream,
            ends,
            cuts,
            wires: self.wires.clone(),
        };
        let remote = |node: NodeId| Remote {
            identity: RemoteIdentity::Node(node),
            address: format!("memory-{node}"),
        };
        let theirs = Io::new(wire(theirs), remote(self.node));
        accept
            .send(theirs)
            .await
            .map_err(|_| io::ErrorKind::ConnectionRefused)?;
        *self.wires.0.lock().opened.entry(self.node).or_default() += 1;
        Ok(Io::new(wire(ours), remote(node)))
    }

    async fn listen(&self, address: &str, _audience: Audience) -> io::Result<Incoming> {
        let (accept, accepted) = mpsc::channel(16);
        self.wires
            .0
            .lock()
            .listeners
            .insert(address.to_owned(), (self.node, accept));
        Ok(tokio_stream::wrappers::ReceiverStream::new(accepted)
            .map(Ok)
            .boxed())
    }
}
