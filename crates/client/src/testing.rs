//! A cluster that does what a test tells it, over in-memory connections and the real transport.

use crate::{Client, ClientConfig, v1};
use async_trait::async_trait;
use conclave_core::NodeId;
use conclave_env::os::OsEntropy;
use conclave_env::{Audience, Expect, Incoming, Io, Network, Remote, RemoteIdentity};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use v1::crypto_service_server::{CryptoService, CryptoServiceServer};

/// What became of a connection to an address.
enum Door {
    /// A node serves.
    Open(mpsc::UnboundedSender<io::Result<Io>>),
    /// The connection opens, and then nothing is heard.
    Frozen(Mutex<Vec<Io>>),
    /// It does not open.
    Closed(io::ErrorKind),
}

/// All nodes by address.
#[derive(Default)]
pub(crate) struct TestNetwork {
    doors: HashMap<String, Door>,
}

fn io(stream: tokio::io::DuplexStream) -> Io {
    Io::new(
        stream,
        Remote {
            identity: RemoteIdentity::Node(NodeId(1)),
            address: "test".into(),
        },
    )
}

#[async_trait]
impl Network for TestNetwork {
    async fn connect(&self, address: &str, expect: Expect) -> io::Result<Io> {
        assert_eq!(expect, Expect::AnyNode);
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        match &self.doors[address] {
            Door::Open(node) => node
                .send(Ok(io(theirs)))
                .map_err(|_| io::ErrorKind::BrokenPipe)?,
            Door::Frozen(held) => held.lock().push(io(theirs)),
            Door::Closed(kind) => return Err((*kind).into()),
        }
        Ok(io(ours))
    }

    async fn listen(&self, _: &str, _: Audience) -> io::Result<Incoming> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What all nodes of a cluster know: a ciphertext is a number, and this is what it stands for.
type Vault = Arc<Mutex<Vec<v1::EncryptRequest>>>;

/// One node.
#[derive(Default)]
pub(crate) struct TestNode {
    /// Answers to give before working.
    pub(crate) script: Mutex<VecDeque<Status>>,
    /// Request id and attempt of each call.
    pub(crate) seen: Mutex<Vec<(Vec<u8>, String)>>,
    vault: Vault,
}

/// A cluster under construction.
#[derive(Default)]
pub(crate) struct TestCluster {
    network: TestNetwork,
    addresses: Vec<String>,
    vault: Vault,
}

impl TestCluster {
    fn add(&mut self, door: Door) {
        let address = format!("node{}:1", self.addresses.len() + 1);
        self.network.doors.insert(address.clone(), door);
        self.addresses.push(address);
    }

    /// Adds a node that answers `script` first and then works.
    pub(crate) fn serving(&mut self, script: impl IntoIterator<Item = Status>) -> Arc<TestNode> {
        let (door, connections) = mpsc::unbounded_channel();
        self.add(Door::Open(door));
        let script = Mutex::new(script.into_iter().collect());
        let node = TestNode {
            script,
            vault: Arc::clone(&self.vault),
            ..TestNode::default()
        };
        let node = Arc::new(node);
        let service = CryptoServiceServer::from_arc(Arc::clone(&node));
        let accepted = futures::stream::unfold(connections, |mut connections| async move {
            connections
                .recv()
                .await
                .map(|connection| (connection, connections))
        });
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(accepted));
        node
    }

    /// Adds a node that accepts connections and says nothing.
    pub(crate) fn frozen(&mut self) {
        self.add(Door::Frozen(Mutex::default()));
    }

    /// Adds a node that cannot be connected to.
    pub(crate) fn closed(&mut self, kind: io::ErrorKind) {
        self.add(Door::Closed(kind));
    }

    /// A client of all nodes, in their order, that gives up a silent one soon.
    pub(crate) fn client(self, deadline: Duration) -> Client {
        let (network, entropy) = (Arc::new(self.network), Arc::new(OsEntropy::new()));
        let config = ClientConfig::new(self.addresses, network, entropy).with_deadline(deadline);
        Client::connect(ClientConfig {
            attempt: Duration::from_millis(200),
            ..config
        })
        .unwrap()
    }
}

impl TestNode {
    fn enter<T>(&self, request: &Request<T>, id: &[u8]) -> Result<(), Status> {
        let attempt = request
            .metadata()
            .get("conclave-attempt")
            .unwrap()
            .to_str()
            .unwrap();
        assert!(request.metadata().contains_key("grpc-timeout"));
        self.seen.lock().push((id.to_vec(), attempt.to_owned()));
        self.script.lock().pop_front().map_or(Ok(()), Err)
    }

    fn keep(&self, request: v1::EncryptRequest) -> Vec<u8> {
        let mut vault = self.vault.lock();
        vault.push(request);
        vec![1, u8::try_from(vault.len() - 1).unwrap()]
    }
}

#[async_trait]
impl CryptoService for TestNode {
    async fn encrypt(
        &self,
        request: Request<v1::EncryptRequest>,
    ) -> Result<Response<v1::EncryptResponse>, Status> {
        self.enter(&request, &request.get_ref().request_id)?;
        let request = request.into_inner();
        let key = request.key.clone();
        let ciphertext = self.keep(request);
        Ok(Response::new(v1::EncryptResponse {
            ciphertext,
            key,
            version: 1,
        }))
    }

    async fn decrypt(
        &self,
        request: Request<v1::DecryptRequest>,
    ) -> Result<Response<v1::DecryptResponse>, Status> {
        self.enter(&request, &request.get_ref().request_id)?;
        let request = request.into_inner();
        let vault = self.vault.lock();
        let kept = match *request.ciphertext {
            [1, place] => vault.get(usize::from(place)),
            _ => None,
        };
        let matching = kept.filter(|kept| {
            kept.context == request.context && [&kept.key, ""].contains(&request.key.as_str())
        });
        let kept = matching.ok_or_else(|| Status::invalid_argument("does not open"))?;
        let (plaintext, key) = (kept.plaintext.clone(), kept.key.clone());
        Ok(Response::new(v1::DecryptResponse {
            plaintext,
            key,
            version: 1,
        }))
    }

    async fn generate_data_key(
        &self,
        request: Request<v1::GenerateDataKeyRequest>,
    ) -> Result<Response<v1::GenerateDataKeyResponse>, Status> {
        self.enter(&request, &request.get_ref().request_id)?;
        let v1::GenerateDataKeyRequest {
            key,
            context,
            length,
            ..
        } = request.into_inner();
        let plaintext = vec![0x5a; usize::try_from(length).unwrap()];
        let kept = v1::EncryptRequest {
            key: key.clone(),
            context,
            plaintext: plaintext.clone(),
            ..v1::EncryptRequest::default()
        };
        let ciphertext = self.keep(kept);
        Ok(Response::new(v1::GenerateDataKeyResponse {
            plaintext,
            ciphertext,
            key,
            version: 1,
        }))
    }

    async fn batch_encrypt(
        &self,
        _: Request<v1::BatchEncryptRequest>,
    ) -> Result<Response<v1::BatchEncryptResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn batch_decrypt(
        &self,
        _: Request<v1::BatchDecryptRequest>,
    ) -> Result<Response<v1::BatchDecryptResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn re_encrypt(
        &self,
        _: Request<v1::ReEncryptRequest>,
    ) -> Result<Response<v1::ReEncryptResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn generate_random(
        &self,
        _: Request<v1::GenerateRandomRequest>,
    ) -> Result<Response<v1::GenerateRandomResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }
}
