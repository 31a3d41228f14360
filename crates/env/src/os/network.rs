//! TCP with TLS: every connection, either way, is one whose other end has proved who it is.

use super::identity::identity_of;
use super::tls::{Names, Tls, TlsConfig, TlsError, read_file};
use crate::limits::{
    ACCEPT_PAUSE, CONNECT_TIMEOUT, CONNECTIONS_MAX_DEFAULT, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX,
    REFUSAL_LOG_INTERVAL,
};
use crate::network::{Audience, Expect, Incoming, Io, Network, Remote, RemoteIdentity};
use async_trait::async_trait;
use futures::StreamExt;
use parking_lot::Mutex;
use rustls::AlertDescription;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Our certificate, and the connections made and accepted with it.
pub struct TlsNetwork {
    tls: Tls,
    connections_max: usize,
    refusals: Arc<Refusals>,
}

impl TlsNetwork {
    /// From certificates in memory.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with which of them.
    pub fn new(config: &TlsConfig) -> Result<Self, TlsError> {
        Self::build(config, &Names::default())
    }

    /// From PEM files: the authorities, our certificate with its chain, and its private key.
    ///
    /// # Errors
    /// [`TlsError`] names the file and says what to do about it.
    pub fn from_files(ca: &Path, cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = TlsConfig {
            ca_pem: read_file(ca)?.to_vec(),
            cert_chain_pem: read_file(cert)?.to_vec(),
            key_pem: read_file(key)?,
            connections_max: CONNECTIONS_MAX_DEFAULT,
        };
        let [ca, cert, key] = [ca, cert, key].map(|path| path.display().to_string());
        Self::build(&config, &Names { ca, cert, key })
    }

    /// With another bound of open connections than the usual one.
    #[must_use]
    pub fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max;
        self
    }

    fn build(config: &TlsConfig, names: &Names) -> Result<Self, TlsError> {
        let tls = Tls::new(config, names)?;
        Ok(Self {
            tls,
            connections_max: config.connections_max,
            refusals: Arc::default(),
        })
    }

    /// Whom our own certificate names.
    pub fn identity(&self) -> &RemoteIdentity {
        &self.tls.identity
    }

    async fn connect_in_time(&self, address: &str, expect: Expect) -> io::Result<Io> {
        let name = server_name(address)?;
        #[expect(clippy::disallowed_methods, reason = "the one place that dials out")]
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls.client));
        let stream = connector
            .connect(name, tcp)
            .await
            .map_err(|error| explain(address, error))?;
        let certificates = stream.get_ref().1.peer_certificates();
        let identity = first_identity(certificates)
            .map_err(|reason| denied(format!("{address} is refused: {reason}")))?;
        check_expected(address, &identity, expect)?;
        let remote = Remote {
            identity,
            address: address.to_owned(),
        };
        Ok(Io::new(
            Connection {
                stream,
                _permit: None,
            },
            remote,
        ))
    }
}

#[async_trait]
impl Network for TlsNetwork {
    async fn connect(&self, address: &str, expect: Expect) -> io::Result<Io> {
        timeout(CONNECT_TIMEOUT, self.connect_in_time(address, expect))
            .await
            .unwrap_or_else(|_| {
                let seconds = CONNECT_TIMEOUT.as_secs();
                let text = format!("{address} did not answer within {seconds} seconds");
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            })
    }

    fn refused_connections(&self) -> u64 {
        self.refusals.count.load(Ordering::Relaxed)
    }

    async fn listen(&self, address: &str, audience: Audience) -> io::Result<Incoming> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        let (ready, mut accepted) = mpsc::channel(HANDSHAKES_MAX);
        let door = Door {
            acceptor: TlsAcceptor::from(Arc::clone(&self.tls.server)),
            audience,
            ready,
            refusals: Arc::clone(&self.refusals),
        };
        let connections = Arc::new(Semaphore::new(self.connections_max));
        // Owned by the stream: when it is dropped the task ends, and with it the listener and all handshakes.
        let mut owner = JoinSet::new();
        owner.spawn(accept(listener, Arc::new(door), connections));
        let incoming = futures::stream::poll_fn(move |cx| {
            let _ = &owner;
            accepted.poll_recv(cx)
        });
        Ok(incoming.map(Ok).boxed())
    }
}

/// What a handshake on one listener needs.
struct Door {
    acceptor: TlsAcceptor,
    audience: Audience,
    ready: mpsc::Sender<Io>,
    refusals: Arc<Refusals>,
}

/// Accepts connections for as long as somebody takes them. No failure ends it.
async fn accept(listener: TcpListener, door: Arc<Door>, connections: Arc<Semaphore>) {
    let pending = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut handshakes = JoinSet::new();
    loop {
        let connection = acquire(&connections).await;
        let handshake = acquire(&pending).await;
        while handshakes.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((tcp, address)) => {
                let door = Arc::clone(&door);
                handshakes.spawn(async move {
                    door.admit(tcp, address, connection).await;
                    drop(handshake);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(semaphore)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed")
}

impl Door {
    async fn admit(&self, tcp: TcpStream, address: SocketAddr, permit: OwnedSemaphorePermit) {
        match timeout(HANDSHAKE_TIMEOUT, self.greet(tcp, address, permit)).await {
            Ok(Ok(io)) => {
                // Fails only if nobody listens any more, and then the connection is closed, as it should be.
                let _ = self.ready.send(io).await;
            }
            Ok(Err(reason)) => self.refusals.note(address, &reason),
            Err(_) => self.refusals.note(address, "no handshake in time"),
        }
    }

    async fn greet(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> Result<Io, String> {
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let mut stream = self
            .acceptor
            .accept(tcp)
            .await
            .map_err(|error| error.to_string())?;
        let identity = match self.judge(stream.get_ref().1.peer_certificates()) {
            Ok(identity) => identity,
            Err(reason) => {
                // The other end learns at once that it is over; whether it listens is its own matter.
                let _ = stream.shutdown().await;
                return Err(reason);
            }
        };
        let remote = Remote {
            identity,
            address: address.to_string(),
        };
        Ok(Io::new(
            Connection {
                stream,
                _permit: Some(permit),
            },
            remote,
        ))
    }

    fn judge(&self, certificates: Option<&[CertificateDer<'_>]>) -> Result<RemoteIdentity, String> {
        let identity = first_identity(certificates)?;
        match (self.audience, &identity) {
            (Audience::Peers, RemoteIdentity::Node(_))
            | (Audience::Clients, RemoteIdentity::Principal(_)) => Ok(identity),
            (Audience::Peers, RemoteIdentity::Principal(name)) => {
                Err(format!("principal {name} on the port for nodes"))
            }
            (Audience::Clients, RemoteIdentity::Node(id)) => {
                Err(format!("node {id} on the port for clients"))
            }
        }
    }
}

/// Counts refused connections, and logs one a second at most.
#[derive(Default)]
struct Refusals {
    count: AtomicU64,
    logged: Mutex<Option<(Instant, u64)>>,
}

impl Refusals {
    fn note(&self, address: SocketAddr, reason: &str) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let now = Instant::now();
        let mut logged = self.logged.lock();
        let before = match *logged {
            Some((at, _)) if now.duration_since(at) < REFUSAL_LOG_INTERVAL => return,
            Some((_, before)) => before,
            None => 0,
        };
        *logged = Some((now, count));
        let reason: String = reason
            .chars()
            .take(200)
            .flat_map(char::escape_debug)
            .collect();
        tracing::warn!(%address, reason, refused = count - before, "connection refused");
    }
}

fn first_identity(certificates: Option<&[CertificateDer<'_>]>) -> Result<RemoteIdentity, String> {
    let certificate = certificates
        .and_then(<[_]>::first)
        .ok_or("no certificate")?;
    identity_of(certificate).map_err(|error| error.to_string())
}

fn check_expected(address: &str, identity: &RemoteIdentity, expect: Expect) -> io::Result<()> {
    match (identity, expect) {
        (RemoteIdentity::Node(id), Expect::Node(expected)) if *id == expected => Ok(()),
        (RemoteIdentity::Node(_), Expect::AnyNode) => Ok(()),
        (RemoteIdentity::Node(id), Expect::Node(expected)) => Err(denied(format!(
            "{address} is node {id}, expected node {expected}"
        ))),
        (RemoteIdentity::Principal(name), _) => Err(denied(format!(
            "{address} is principal {name}, expected a node"
        ))),
    }
}

fn denied(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

/// The host of `host:port`, an IPv6 address in brackets.
fn server_name(address: &str) -> io::Result<ServerName<'static>> {
    let invalid = || {
        let text = format!("{address:?} is not an address of the form host:port");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let (host, _port) = address.rsplit_once(':').ok_or_else(invalid)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|_| invalid())
}

/// Says of an error whether it is a refusal, by us or by the other end.
fn explain(address: &str, error: io::Error) -> io::Error {
    let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return error;
    };
    if let rustls::Error::AlertReceived(alert) = tls
        && is_refusal(*alert)
    {
        return denied(format!("{address} refused our certificate ({alert:?})"));
    }
    if let rustls::Error::InvalidCertificate(reason) = tls {
        return denied(format!(
            "the certificate of {address} is not to be trusted: {reason}"
        ));
    }
    io::Error::new(error.kind(), format!("TLS with {address} failed: {tls}"))
}

fn is_refusal(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    [
        A::AccessDenied,
        A::BadCertificate,
        A::CertificateExpired,
        A::CertificateRequired,
        A::CertificateRevoked,
        A::CertificateUnknown,
        A::DecryptError,
        A::UnknownCA,
        A::UnsupportedCertificate,
    ]
    .contains(&alert)
}

/// A TLS stream, and the right to be open.
struct Connection<S> {
    stream: S,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // In TLS 1.3 a client learns only by reading that its certificate was refused.
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        poll.map_err(|error| explain("the other end", error))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
