//! TLS connections that the product's own network would not make: with no certificate, with a
//! stranger's, with an expired one; and channels without the client library's retries.

use super::pki::Credentials;
use anyhow::Result;
use async_trait::async_trait;
use conclave_core::NodeId;
use conclave_env::{Audience, Expect, Incoming, Io, Network, Remote, RemoteIdentity};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

/// Connects to nodes, whoever it is.
pub struct BareTls {
    config: Arc<ClientConfig>,
}

impl BareTls {
    /// Trusts `ca`, and shows the certificate, if there is one, without a look at it.
    ///
    /// # Errors
    /// If the files are not PEM.
    pub fn new(ca: &Path, credentials: Option<&Credentials>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca)?)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let mut config = match credentials {
            None => builder.with_no_client_auth(),
            Some(Credentials { cert, key }) => {
                let chain = vec![CertificateDer::from_pem_file(cert)?];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

#[async_trait]
impl Network for BareTls {
    async fn connect(&self, address: &str, _: Expect) -> io::Result<Io> {
        #[expect(clippy::disallowed_methods, reason = "a network of its own")]
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
        let stream = TlsConnector::from(self.config.clone())
            .connect(name, tcp)
            .await?;
        // Nobody asks it who the node is.
        let identity = RemoteIdentity::Node(NodeId(1));
        Ok(Io::new(
            stream,
            Remote {
                identity,
                address: address.to_owned(),
            },
        ))
    }

    async fn listen(&self, _: &str, _: Audience) -> io::Result<Incoming> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A channel to one node, without the client library: every answer is seen as the node gave it.
///
/// # Errors
/// If `address` is none.
pub fn channel(network: Arc<dyn Network>, address: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let address = address.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let (network, address) = (network.clone(), address.clone());
        async move {
            network
                .connect(&address, Expect::AnyNode)
                .await
                .map(TokioIo::new)
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}
