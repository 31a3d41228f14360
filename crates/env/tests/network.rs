//! Who is let in, and who is not.

#![allow(clippy::unwrap_used, reason = "tests")]

use conclave_core::NodeId;
use conclave_env::contract::{Ends, network_contract};
use conclave_env::os::{TlsConfig, TlsError, TlsNetwork};
use conclave_env::{Audience, Expect, Network, RemoteIdentity};
use futures::{FutureExt, StreamExt};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

struct Issued {
    cert: String,
    key: String,
}

fn issue(by: &Authority, uris: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    for uri in uris {
        params
            .subject_alt_names
            .push(SanType::URI((*uri).try_into().unwrap()));
    }
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, by).unwrap();
    Issued {
        cert: cert.pem(),
        key: key.serialize_pem(),
    }
}

fn config(trusting: &Authority, issued: &Issued) -> TlsConfig {
    TlsConfig {
        ca_pem: trusting.pem().into_bytes(),
        cert_chain_pem: issued.cert.clone().into_bytes(),
        key_pem: Zeroizing::new(issued.key.clone().into_bytes()),
        connections_max: 16,
    }
}

fn network(by: &Authority, uri: &str) -> TlsNetwork {
    TlsNetwork::new(&config(by, &issue(by, &[uri], |_| {}))).unwrap()
}

/// An address of loopback on which nobody listens now.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn the_network_keeps_the_contract() {
    let ca = authority();
    let ends = Ends {
        node: Arc::new(network(&ca, "conclave://node/1")),
        other_node: Arc::new(network(&ca, "conclave://node/2")),
        client: Arc::new(network(&ca, "conclave://principal/alice")),
        peers: free_address(),
        clients: free_address().replace("127.0.0.1", "localhost"),
    };
    network_contract(ends).await;
}

/// Connects with rustls directly, without any of our checks, and reads what the node has to say.
async fn knock(address: &str, ca: &Authority, with: Option<&Issued>) -> io::Result<usize> {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match with {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let cert = CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    #[expect(
        clippy::disallowed_methods,
        reason = "a stranger does not use our network"
    )]
    let tcp = TcpStream::connect(address).await?;
    let name = "localhost".try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, tcp).await?;
    stream.write_all(b"hello").await?;
    stream.read(&mut [0; 16]).await
}

/// Says hello as a client that knows TLS 1.2 and nothing newer.
async fn greet_by_tls_1_2(address: &str) {
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]);
    // No session, one cipher suite (ECDHE-ECDSA-AES128-GCM-SHA256), no compression, one signature algorithm.
    hello.extend([0, 0, 2, 0xC0, 0x2B, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    #[expect(
        clippy::disallowed_methods,
        reason = "a stranger does not use our network"
    )]
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    assert_eq!(
        answer,
        [21, 3, 3, 0, 2, 2, 70],
        "the alert protocol_version"
    );
}

#[tokio::test]
async fn strangers_are_refused_and_counted() {
    let (ca, other_ca) = (authority(), authority());
    let node = network(&ca, "conclave://node/1");
    let address = free_address();
    let mut incoming = node.listen(&address, Audience::Clients).await.unwrap();
    let alice = ["conclave://principal/alice"];
    let long_ago = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    };
    let server_only = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let two = [alice[0], "conclave://principal/bob"];
    let both = [alice[0], "conclave://node/2"];
    let strangers = [
        ("no certificate", None),
        (
            "another authority's",
            Some(issue(&other_ca, &alice, |_| {})),
        ),
        ("an expired one", Some(issue(&ca, &alice, long_ago))),
        (
            "one for servers only",
            Some(issue(&ca, &alice, server_only)),
        ),
        ("a node's", Some(issue(&ca, &["conclave://node/2"], |_| {}))),
        ("two names", Some(issue(&ca, &two, |_| {}))),
        ("a principal and a node", Some(issue(&ca, &both, |_| {}))),
        ("no name", Some(issue(&ca, &[], |_| {}))),
        (
            "a name of another scheme",
            Some(issue(&ca, &["https://alice"], |_| {})),
        ),
        (
            "a name in capitals",
            Some(issue(&ca, &["conclave://principal/Alice"], |_| {})),
        ),
        (
            "a wildcard",
            Some(issue(&ca, &["conclave://principal/*"], |_| {})),
        ),
    ];
    for (number, (what, issued)) in strangers.iter().enumerate() {
        let outcome = knock(&address, &ca, issued.as_ref()).await;
        assert!(
            matches!(outcome, Ok(0) | Err(_)),
            "{what} was let in: {outcome:?}"
        );
        while node.refused_connections() <= number as u64 {
            tokio::task::yield_now().await;
        }
    }
    let good = issue(&ca, &alice, |_| {});
    greet_by_tls_1_2(&address).await;
    assert!(incoming.next().now_or_never().is_none(), "nobody came in");
    let client = TlsNetwork::new(&config(&ca, &good)).unwrap();
    let _io = client
        .connect(&address, Expect::Node(NodeId(1)))
        .await
        .unwrap();
    let accepted = incoming.next().await.unwrap().unwrap();
    assert!(
        matches!(&accepted.remote().identity, RemoteIdentity::Principal(name) if name.as_str() == "alice")
    );
    assert_eq!(node.refused_connections(), strangers.len() as u64 + 1);
}

#[tokio::test]
async fn servers_are_checked_and_refusals_explained() {
    let (ca, other_ca) = (authority(), authority());
    let node = network(&ca, "conclave://node/2");
    let address = free_address();
    let _incoming = node.listen(&address, Audience::Peers).await.unwrap();
    let stranger = network(&other_ca, "conclave://node/1");
    let error = stranger
        .connect(&address, Expect::AnyNode)
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");

    let issued_elsewhere = issue(&other_ca, &["conclave://node/3"], |_| {});
    let fooled = TlsNetwork::new(&config(&ca, &issued_elsewhere)).unwrap();
    let mut io = fooled.connect(&address, Expect::AnyNode).await.unwrap();
    let error = io.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    assert!(
        error.to_string().contains("refused our certificate"),
        "{error}"
    );

    let impostor = network(&ca, "conclave://principal/mallory");
    let fake = free_address();
    let _incoming = impostor.listen(&fake, Audience::Clients).await.unwrap();
    let alice = network(&ca, "conclave://principal/alice");
    let error = alice.connect(&fake, Expect::AnyNode).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("{fake} is principal mallory, expected a node")
    );

    for bad in ["nonsense", "no port:", ":7101", "a b:1"] {
        let error = alice.connect(bad, Expect::AnyNode).await.err().unwrap();
        assert!(
            error.kind() != io::ErrorKind::PermissionDenied,
            "{bad}: {error}"
        );
    }
}

#[tokio::test]
async fn silent_connections_do_not_keep_others_out() {
    let ca = authority();
    let node = network(&ca, "conclave://node/1");
    let address = free_address();
    let mut incoming = node.listen(&address, Audience::Clients).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..10 {
        #[expect(
            clippy::disallowed_methods,
            reason = "a stranger does not use our network"
        )]
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    let alice = network(&ca, "conclave://principal/alice");
    let _io = alice
        .connect(&address, Expect::Node(NodeId(1)))
        .await
        .unwrap();
    incoming.next().await.unwrap().unwrap();
}

#[test]
fn broken_files_are_named() {
    let (ca, other_ca) = (authority(), authority());
    let good = issue(&ca, &["conclave://node/1"], |_| {});
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    let open = || TlsNetwork::from_files(&path("ca"), &path("cert"), &path("key"));
    let reset = || {
        write("ca", &ca.pem());
        write("cert", &good.cert);
        write("key", &good.key);
    };
    reset();
    assert_eq!(*open().unwrap().identity(), RemoteIdentity::Node(NodeId(1)));
    let refused = |what: &str, is_expected: &dyn Fn(&TlsError) -> bool| {
        let error = open().err().expect(what);
        assert!(is_expected(&error), "{what}: {error}");
        assert!(
            error.to_string().contains(&*dir.path().to_string_lossy()),
            "{error}"
        );
        reset();
    };
    for name in ["ca", "cert", "key"] {
        std::fs::remove_file(path(name)).unwrap();
        refused("a missing file", &|error| {
            matches!(error, TlsError::Unreadable { .. })
        });
        write(name, "");
        refused("an empty file", &|error| {
            matches!(error, TlsError::Broken { .. })
        });
        let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        write(name, rubbish);
        refused("rubbish", &|error| matches!(error, TlsError::Broken { .. }));
    }
    let expired = issue(&ca, &["conclave://node/1"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    write("cert", &expired.cert);
    refused("an expired one", &|error| {
        matches!(error, TlsError::Expired { .. })
    });
    write("cert", &issue(&ca, &[], |_| {}).cert);
    refused("a nameless one", &|error| {
        matches!(error, TlsError::Nameless { .. })
    });
    write("key", &issue(&other_ca, &[], |_| {}).key);
    refused("another's key", &|error| {
        matches!(error, TlsError::Mismatch { .. })
    });
}
