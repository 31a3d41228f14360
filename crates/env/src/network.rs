//! Authenticated connections: whoever is at the other end has proved who it is.

use async_trait::async_trait;
use conclave_core::{NodeId, PrincipalName};
use futures::stream::BoxStream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// Whom a certificate names. Its one URI subject alternative name is `conclave://node/ID` or
/// `conclave://principal/NAME`; any other certificate names nobody and is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemoteIdentity {
    /// A node of the cluster.
    Node(NodeId),
    /// A workload or a person.
    Principal(PrincipalName),
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Proved by its certificate.
    pub identity: RemoteIdentity,
    /// Its address, `203.0.113.7:51234`.
    pub address: String,
}

/// Whom a listener lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Nodes only.
    Peers,
    /// Principals only.
    Clients,
}

/// Whom a caller means to reach. Anyone else is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// This very node.
    Node(NodeId),
    /// Any node of the cluster.
    AnyNode,
}

impl Audience {
    /// Whether a listener with this audience lets `identity` in.
    pub fn admits(self, identity: &RemoteIdentity) -> bool {
        match identity {
            RemoteIdentity::Node(_) => self == Self::Peers,
            RemoteIdentity::Principal(_) => self == Self::Clients,
        }
    }
}

impl Expect {
    /// Whether `identity` is whom the caller means.
    pub fn accepts(self, identity: &RemoteIdentity) -> bool {
        match (self, identity) {
            (Self::Node(expected), RemoteIdentity::Node(found)) => expected == *found,
            (Self::AnyNode, RemoteIdentity::Node(_)) => true,
            (Self::Node(_) | Self::AnyNode, RemoteIdentity::Principal(_)) => false,
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A connection.
pub struct Io {
    stream: Pin<Box<dyn Duplex>>,
    remote: Remote,
}

impl Io {
    /// Wraps a stream whose other end is known.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static, remote: Remote) -> Self {
        Self {
            stream: Box::pin(stream),
            remote,
        }
    }

    /// Who is at the other end.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Lets a service find out who calls: `request.extensions().get::<Remote>()`.
impl Connected for Io {
    type ConnectInfo = Remote;

    fn connect_info(&self) -> Remote {
        self.remote.clone()
    }
}

/// Connections that were accepted and authenticated. Never ends by itself; a failed handshake is counted and
/// logged by the adapter, not yielded.
pub type Incoming = BoxStream<'static, io::Result<Io>>;

/// Opens and accepts connections.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Connects to `address` (`host:port`).
    ///
    /// # Errors
    /// `ConnectionRefused` and the like from below; `PermissionDenied` if the other end is not whom the caller
    /// expects, or is refused by it.
    async fn connect(&self, address: &str, expect: Expect) -> io::Result<Io>;

    /// Listens on `address` for the given audience.
    ///
    /// # Errors
    /// `AddrInUse` and the like from below.
    async fn listen(&self, address: &str, audience: Audience) -> io::Result<Incoming>;

    /// Incoming connections that were refused since the start: no certificate, a stranger's, an expired one, one for
    /// another port, or no handshake in time. An adapter that refuses at the other end counts none.
    fn refused_connections(&self) -> u64 {
        0
    }
}
