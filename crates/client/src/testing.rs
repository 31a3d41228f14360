//! A cluster that does what a test tells it, over in-memory connections and the real transport.

use crate::{Client, ClientConfig, v1};
use async_trait::async_trait;
use conclave_core::NodeId;
use conclave_env::os::OsEntropy;
use conclave_env::{Audience, Expect, Incoming, Io, Network, Remote, RemoteIdentity};
use futures::{Stream, StreamExt as _};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;
use v1::crypto_service_server::{CryptoService, CryptoServiceServer};
use v1::use_reply;
use v1::use_request::Use;

/// A use of this key is answered when the test says so.
pub(crate) const HELD_KEY: &str = "held/back";

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
    /// Sessions opened.
    pub(crate) sessions: AtomicUsize,
    /// Sessions that are to end with a request read and not answered.
    pub(crate) cuts: AtomicUsize,
    /// Lets go of what is held back.
    pub(crate) release: Arc<Notify>,
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
        let service = CryptoServiceServer::new(Serving(Arc::clone(&node)));
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
        self.client_as(deadline, |config| config)
    }

    /// The same, with its configuration changed.
    pub(crate) fn client_as(
        self,
        deadline: Duration,
        change: impl FnOnce(ClientConfig) -> ClientConfig,
    ) -> Client {
        Client::connect(change(self.config().with_deadline(deadline))).unwrap()
    }

    /// What such a client is given.
    pub(crate) fn config(self) -> ClientConfig {
        let (network, entropy) = (Arc::new(self.network), Arc::new(OsEntropy::new()));
        ClientConfig {
            attempt: Duration::from_millis(200),
            ..ClientConfig::new(self.addresses, network, entropy)
        }
    }
}

impl TestNode {
    fn enter<T>(&self, request: &Request<T>, id: &[u8]) -> Result<(), Status> {
        let metadata = request.metadata();
        assert!(metadata.contains_key("grpc-timeout"));
        let attempt = metadata.get("conclave-attempt").unwrap();
        self.note(id, attempt.to_str().unwrap())
    }

    fn note(&self, id: &[u8], attempt: &str) -> Result<(), Status> {
        self.seen.lock().push((id.to_vec(), attempt.to_owned()));
        self.script.lock().pop_front().map_or(Ok(()), Err)
    }

    fn keep(&self, request: v1::EncryptRequest) -> Vec<u8> {
        let mut vault = self.vault.lock();
        vault.push(request);
        vec![1, u8::try_from(vault.len() - 1).unwrap()]
    }

    fn seal(&self, request: v1::EncryptRequest) -> v1::EncryptResponse {
        let key = request.key.clone();
        let ciphertext = self.keep(request);
        v1::EncryptResponse {
            ciphertext,
            key,
            version: 1,
        }
    }

    fn open(&self, request: &v1::DecryptRequest) -> Result<v1::DecryptResponse, Status> {
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
        Ok(v1::DecryptResponse {
            plaintext,
            key,
            version: 1,
        })
    }

    fn data_key(&self, request: v1::GenerateDataKeyRequest) -> v1::GenerateDataKeyResponse {
        let v1::GenerateDataKeyRequest {
            key,
            context,
            length,
            ..
        } = request;
        let plaintext = vec![0x5a; usize::try_from(length).unwrap()];
        let kept = v1::EncryptRequest {
            key: key.clone(),
            context,
            plaintext: plaintext.clone(),
            ..v1::EncryptRequest::default()
        };
        let ciphertext = self.keep(kept);
        v1::GenerateDataKeyResponse {
            plaintext,
            ciphertext,
            key,
            version: 1,
            data_key_id: Vec::new(),
        }
    }

    async fn answer(&self, request: v1::UseRequest) -> Result<use_reply::Result, Status> {
        assert!(request.timeout_ms > 0);
        let attempt = request.attempt.to_string();
        Ok(match request.r#use.unwrap() {
            Use::Encrypt(it) => {
                self.note(&it.request_id, &attempt)?;
                if it.key == HELD_KEY {
                    self.release.notified().await;
                }
                use_reply::Result::Encrypt(self.seal(it))
            }
            Use::Decrypt(it) => {
                self.note(&it.request_id, &attempt)?;
                use_reply::Result::Decrypt(self.open(&it)?)
            }
            Use::GenerateDataKey(it) => {
                self.note(&it.request_id, &attempt)?;
                use_reply::Result::GenerateDataKey(self.data_key(it))
            }
            Use::BatchEncrypt(_)
            | Use::BatchDecrypt(_)
            | Use::ReEncrypt(_)
            | Use::DecryptDataKey(_)
            | Use::ExportKey(_)
            | Use::GenerateRandom(_)
            | Use::GenerateMac(_)
            | Use::VerifyMac(_)
            | Use::Sign(_)
            | Use::Verify(_)
            | Use::AsymmetricDecrypt(_)
            | Use::Decapsulate(_)
            | Use::DeriveSharedSecret(_)
            | Use::BatchSign(_)
            | Use::BatchGenerateMac(_)
            | Use::BatchVerify(_)
            | Use::BatchReEncrypt(_)
            | Use::GenerateDataKeyPair(_)
            | Use::BatchVerifyMac(_) => {
                panic!("not in these tests")
            }
        })
    }
}

fn use_error(status: &Status) -> use_reply::Result {
    let info = status.get_details_error_info();
    use_reply::Result::Error(v1::UseError {
        code: status.code().into(),
        reason: info.map(|info| info.reason).unwrap_or_default(),
        message: status.message().to_owned(),
    })
}

type Replies = Pin<Box<dyn Stream<Item = Result<v1::UseReply, Status>> + Send>>;

/// A node as the server has it: its session outlives the call that opens it.
pub(crate) struct Serving(pub(crate) Arc<TestNode>);

#[async_trait]
impl CryptoService for Serving {
    type SessionStream = Replies;

    async fn session(
        &self,
        request: Request<Streaming<v1::UseRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let node = Arc::clone(&self.0);
        node.sessions.fetch_add(1, Ordering::Relaxed);
        let take = |left: usize| left.checked_sub(1);
        let cut = node
            .cuts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let mut requests = request.into_inner();
        if cut.is_ok() {
            let request = requests.message().await?.unwrap();
            drop(node.answer(request).await);
            return Ok(Response::new(Box::pin(futures::stream::empty())));
        }
        let answer = move |request: Result<v1::UseRequest, Status>| {
            let node = Arc::clone(&node);
            async move {
                let request = request?;
                let id = request.id;
                let result = node.answer(request).await;
                let result = Some(result.unwrap_or_else(|status| use_error(&status)));
                Ok(v1::UseReply { id, result })
            }
        };
        Ok(Response::new(Box::pin(
            requests.map(answer).buffer_unordered(256),
        )))
    }

    async fn encrypt(
        &self,
        request: Request<v1::EncryptRequest>,
    ) -> Result<Response<v1::EncryptResponse>, Status> {
        self.0.enter(&request, &request.get_ref().request_id)?;
        Ok(Response::new(self.0.seal(request.into_inner())))
    }

    async fn decrypt(
        &self,
        request: Request<v1::DecryptRequest>,
    ) -> Result<Response<v1::DecryptResponse>, Status> {
        self.0.enter(&request, &request.get_ref().request_id)?;
        self.0.open(request.get_ref()).map(Response::new)
    }

    async fn generate_data_key(
        &self,
        request: Request<v1::GenerateDataKeyRequest>,
    ) -> Result<Response<v1::GenerateDataKeyResponse>, Status> {
        self.0.enter(&request, &request.get_ref().request_id)?;
        Ok(Response::new(self.0.data_key(request.into_inner())))
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

    async fn decrypt_data_key(
        &self,
        _: Request<v1::DecryptDataKeyRequest>,
    ) -> Result<Response<v1::DecryptDataKeyResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn export_key(
        &self,
        _: Request<v1::ExportKeyRequest>,
    ) -> Result<Response<v1::ExportKeyResponse>, Status> {
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

    async fn generate_mac(
        &self,
        _: Request<v1::GenerateMacRequest>,
    ) -> Result<Response<v1::GenerateMacResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn sign(
        &self,
        _: Request<v1::SignRequest>,
    ) -> Result<Response<v1::SignResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn verify(
        &self,
        _: Request<v1::VerifyRequest>,
    ) -> Result<Response<v1::VerifyResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn batch_sign(
        &self,
        _: Request<v1::BatchSignRequest>,
    ) -> Result<Response<v1::BatchSignResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn generate_data_key_pair(
        &self,
        _: Request<v1::GenerateDataKeyPairRequest>,
    ) -> Result<Response<v1::GenerateDataKeyPairResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn batch_verify(
        &self,
        _: Request<v1::BatchVerifyRequest>,
    ) -> Result<Response<v1::BatchVerifyResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn batch_re_encrypt(
        &self,
        _: Request<v1::BatchReEncryptRequest>,
    ) -> Result<Response<v1::BatchReEncryptResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn batch_generate_mac(
        &self,
        _: Request<v1::BatchGenerateMacRequest>,
    ) -> Result<Response<v1::BatchGenerateMacResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn batch_verify_mac(
        &self,
        _: Request<v1::BatchVerifyMacRequest>,
    ) -> Result<Response<v1::BatchVerifyMacResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn asymmetric_decrypt(
        &self,
        _: Request<v1::AsymmetricDecryptRequest>,
    ) -> Result<Response<v1::AsymmetricDecryptResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn decapsulate(
        &self,
        _: Request<v1::DecapsulateRequest>,
    ) -> Result<Response<v1::DecapsulateResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn derive_shared_secret(
        &self,
        _: Request<v1::DeriveSharedSecretRequest>,
    ) -> Result<Response<v1::DeriveSharedSecretResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn verify_mac(
        &self,
        _: Request<v1::VerifyMacRequest>,
    ) -> Result<Response<v1::VerifyMacResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }
}
