//! Certificates and TLS settings: TLS 1.3, both sides prove who they are, ring does the cryptography.

use super::clock::OsClock;
use super::identity::{IdentityError, identity_of};
use crate::{Clock, RemoteIdentity};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// HTTP/2, the only protocol spoken.
const ALPN: &[u8] = b"h2";

/// What a network needs to prove who we are and to know the others.
pub struct TlsConfig {
    /// The authorities that sign certificates of nodes and principals, PEM.
    pub ca_pem: Vec<u8>,
    /// Our certificate, followed by intermediate ones if there are any, PEM.
    pub cert_chain_pem: Vec<u8>,
    /// Its private key, PEM.
    pub key_pem: Zeroizing<Vec<u8>>,
    /// Open connections of one listener; those above wait to be accepted.
    pub connections_max: usize,
}

/// Why there is no TLS. `what` is a file's path, or says which of the inputs it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read ({detail}): check the tls section of the configuration")]
    Unreadable {
        /// Of the file.
        path: PathBuf,
        /// What the operating system said.
        detail: String,
    },
    /// A file holds something else.
    #[error("{what} holds no usable {expected}: replace it by a PEM file that does")]
    Broken {
        /// The file.
        what: String,
        /// What should be in it.
        expected: &'static str,
    },
    /// A certificate's time is over, or has not come.
    #[error(
        "the certificate in {what} is valid from {not_before} to {not_after}, not now: renew it, or set the clock"
    )]
    Expired {
        /// The file.
        what: String,
        /// Begin of validity.
        not_before: String,
        /// End of validity.
        not_after: String,
    },
    /// Our certificate names neither a node nor a principal.
    #[error(
        "{what}: {reason}; issue one with the name conclave://node/ID or conclave://principal/NAME"
    )]
    Nameless {
        /// The file.
        what: String,
        /// What is missing.
        reason: String,
    },
    /// Key and certificate, or certificate and authority, do not belong together.
    #[error("{what} does not fit ({detail}): give the key of this certificate")]
    Mismatch {
        /// The file.
        what: String,
        /// What rustls said.
        detail: String,
    },
}

/// Parsed and checked.
pub(super) struct Tls {
    pub(super) identity: RemoteIdentity,
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
}

/// What to call the inputs in errors.
pub(super) struct Names {
    pub(super) ca: String,
    pub(super) cert: String,
    pub(super) key: String,
}

impl Default for Names {
    fn default() -> Self {
        let [ca, cert, key] = ["the authority", "the certificate", "the private key"];
        Self {
            ca: ca.to_owned(),
            cert: cert.to_owned(),
            key: key.to_owned(),
        }
    }
}

pub(super) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |error: std::io::Error| TlsError::Unreadable {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    std::fs::read(path).map(Zeroizing::new).map_err(unreadable)
}

impl Tls {
    pub(super) fn new(config: &TlsConfig, names: &Names) -> Result<Self, TlsError> {
        let authorities = parse_certificates(&config.ca_pem, &names.ca)?;
        let chain = parse_certificates(&config.cert_chain_pem, &names.cert)?;
        let own = chain.first().expect("an empty list was refused");
        check_validity(own, &names.cert)?;
        let identity = identity_of(own).map_err(|error: IdentityError| TlsError::Nameless {
            what: names.cert.clone(),
            reason: error.to_string(),
        })?;
        let key = PrivateKeyDer::from_pem_slice(&config.key_pem).map_err(|_| TlsError::Broken {
            what: names.key.clone(),
            expected: "private key",
        })?;
        let roots = Arc::new(parse_authorities(&authorities, names)?);
        let mismatch = |error: rustls::Error| TlsError::Mismatch {
            what: names.key.clone(),
            detail: error.to_string(),
        };
        let client = client_config(&roots, chain.clone(), key.clone_key()).map_err(mismatch)?;
        let server = server_config(roots, chain, key, names)?.map_err(mismatch)?;
        Ok(Self {
            identity,
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }
}

fn parse_certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = || TlsError::Broken {
        what: what.to_owned(),
        expected: "certificate",
    };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| broken())?;
    if certificates.is_empty() {
        Err(broken())
    } else {
        Ok(certificates)
    }
}

/// All must be usable: an authority that is skipped in silence locks its clients out without a word.
fn parse_authorities(
    authorities: &[CertificateDer<'static>],
    names: &Names,
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        check_validity(authority, &names.ca)?;
        roots.add(authority.clone()).map_err(|_| TlsError::Broken {
            what: names.ca.clone(),
            expected: "certificate of an authority",
        })?;
    }
    Ok(roots)
}

fn check_validity(certificate: &[u8], what: &str) -> Result<(), TlsError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| TlsError::Broken {
            what: what.to_owned(),
            expected: "certificate",
        })?;
    let validity = certificate.validity();
    let now = i64::try_from(OsClock.now().0 / 1_000).unwrap_or(i64::MAX);
    if (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now) {
        return Ok(());
    }
    Err(TlsError::Expired {
        what: what.to_owned(),
        not_before: validity.not_before.to_string(),
        not_after: validity.not_after.to_string(),
    })
}

fn client_config(
    roots: &Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn server_config(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    names: &Names,
) -> Result<Result<ServerConfig, rustls::Error>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|_| TlsError::Broken {
            what: names.ca.clone(),
            expected: "certificate of an authority",
        })?;
    let build = || {
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    };
    Ok(build())
}
