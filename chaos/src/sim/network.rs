//! Connections over turmoil's simulated TCP. Whoever connects says who it is, and is believed: certificates are the
//! business of the real network (`env/src/os/tls.rs`), and TLS would make lengths random. The rules of who is let in
//! are the real ones.

use async_trait::async_trait;
use conclave_core::{NodeId, PrincipalName};
use conclave_env::{Audience, Expect, Incoming, Io, Network, Remote, RemoteIdentity};
use futures::StreamExt as _;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;
use turmoil::net::{TcpListener, TcpStream};

/// How long opening a connection may take, introductions included.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Bytes of an introduction.
const INTRODUCTION_BYTES_MAX: usize = 128;
/// Introductions under way on one listener.
const INTRODUCTIONS_MAX: usize = 64;

/// All wires of a run: what went over them, and which are open.
#[derive(Clone)]
pub(crate) struct Wires(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// Whether what is said is part of the digest, or only how much.
    is_exact: bool,
    opened: u64,
    open: BTreeMap<u64, Arc<Line>>,
    bytes: u64,
    hash: Sha256,
}

/// One end of an open connection.
#[derive(Default)]
struct Line {
    is_reset: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wires {
    /// None yet. Unless `is_exact`, the digest is of lengths and instants only.
    pub(crate) fn new(is_exact: bool) -> Self {
        let inner = Inner {
            is_exact,
            ..Inner::default()
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Resets every open connection for which `picks` says so; how many.
    pub(crate) fn reset(&self, mut picks: impl FnMut() -> bool) -> usize {
        let inner = self.0.lock();
        let lines = inner.open.values().filter(|_| picks());
        lines
            .inspect(|line| {
                line.is_reset.store(true, Ordering::Relaxed);
                line.reader.wake();
                line.writer.wake();
            })
            .count()
    }

    /// How many bytes went over all wires, and a hash of them (or of their lengths) with their instants.
    pub(crate) fn digest(&self) -> (u64, [u8; 32]) {
        let inner = self.0.lock();
        (inner.bytes, inner.hash.clone().finalize().into())
    }

    fn open(&self) -> (u64, Arc<Line>) {
        let mut inner = self.0.lock();
        inner.opened += 1;
        let (id, line) = (inner.opened, Arc::<Line>::default());
        inner.open.insert(id, Arc::clone(&line));
        (id, line)
    }

    fn note(&self, id: u64, bytes: &[u8]) {
        let at = turmoil::sim_elapsed().unwrap_or_default().as_nanos();
        let mut inner = self.0.lock();
        inner.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        inner.hash.update(at.to_be_bytes());
        inner.hash.update(id.to_be_bytes());
        inner.hash.update(bytes.len().to_be_bytes());
        if inner.is_exact {
            inner.hash.update(bytes);
        }
    }
}

/// The simulated network as one of its users sees it.
#[derive(Clone)]
pub(crate) struct SimNetwork {
    identity: RemoteIdentity,
    wires: Wires,
}

impl SimNetwork {
    /// As `identity` sees it.
    pub(crate) fn new(identity: RemoteIdentity, wires: Wires) -> Self {
        Self { identity, wires }
    }

    fn wrap(&self, stream: TcpStream) -> Wire {
        let (id, line) = self.wires.open();
        Wire {
            stream,
            id,
            line,
            wires: self.wires.clone(),
        }
    }

    async fn introduce(&self, address: &str, expect: Expect) -> io::Result<Io> {
        let mut wire = self.wrap(TcpStream::connect(address).await?);
        say(&mut wire, &self.identity).await?;
        let owner = hear(&mut wire).await?;
        let admitted = wire.read_u8().await? == 1;
        if !admitted || !expect.accepts(&owner) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let remote = Remote {
            identity: owner,
            address: address.to_owned(),
        };
        Ok(Io::new(wire, remote))
    }
}

async fn say(wire: &mut Wire, identity: &RemoteIdentity) -> io::Result<()> {
    let text = match identity {
        RemoteIdentity::Node(id) => format!("node/{id}"),
        RemoteIdentity::Principal(name) => format!("principal/{name}"),
    };
    let length = u8::try_from(text.len()).map_err(io::Error::other)?;
    let mut bytes = vec![length];
    bytes.extend_from_slice(text.as_bytes());
    wire.write_all(&bytes).await
}

async fn hear(wire: &mut Wire) -> io::Result<RemoteIdentity> {
    let length = usize::from(wire.read_u8().await?);
    if length > INTRODUCTION_BYTES_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    wire.read_exact(&mut bytes).await?;
    let text = String::from_utf8(bytes).map_err(io::Error::other)?;
    let identity = match text.split_once('/') {
        Some(("node", id)) => id.parse().ok().map(|id| RemoteIdentity::Node(NodeId(id))),
        Some(("principal", name)) => PrincipalName::new(name).ok().map(RemoteIdentity::Principal),
        _ => None,
    };
    identity.ok_or_else(|| ErrorKind::InvalidData.into())
}

/// The listener's part of an introduction.
async fn welcome(
    network: SimNetwork,
    stream: TcpStream,
    address: String,
    audience: Audience,
) -> io::Result<Io> {
    let mut wire = network.wrap(stream);
    let identity = hear(&mut wire).await?;
    say(&mut wire, &network.identity).await?;
    let admitted = audience.admits(&identity);
    wire.write_all(&[u8::from(admitted)]).await?;
    if !admitted {
        return Err(ErrorKind::PermissionDenied.into());
    }
    Ok(Io::new(wire, Remote { identity, address }))
}

#[async_trait]
impl Network for SimNetwork {
    async fn connect(&self, address: &str, expect: Expect) -> io::Result<Io> {
        timeout(CONNECT_MAX, self.introduce(address, expect))
            .await
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }

    async fn listen(&self, address: &str, audience: Audience) -> io::Result<Incoming> {
        let port = address.rsplit_once(':').map_or("", |(_, port)| port);
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        let network = self.clone();
        let accepted = futures::stream::unfold(listener, |listener| async move {
            Some((listener.accept().await, listener))
        });
        let introduced = accepted.map(move |accepted| {
            let network = network.clone();
            async move {
                let (stream, from) = accepted?;
                let welcomed = welcome(network, stream, from.to_string(), audience);
                timeout(CONNECT_MAX, welcomed)
                    .await
                    .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            }
        });
        // A failed introduction is not yielded, as the trait wants it.
        let incoming = introduced
            .buffer_unordered(INTRODUCTIONS_MAX)
            .filter(|welcomed| std::future::ready(welcomed.is_ok()));
        Ok(incoming.boxed())
    }
}

/// One end of a connection.
struct Wire {
    stream: TcpStream,
    id: u64,
    line: Arc<Line>,
    wires: Wires,
}

impl Wire {
    fn check(&self) -> io::Result<()> {
        if self.line.is_reset.load(Ordering::Relaxed) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.wires.0.lock().open.remove(&self.id);
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        self.line.reader.register(cx.waker());
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        self.line.writer.register(cx.waker());
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.wires.note(self.id, &buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
