//! One node over stand-ins for clock, storage, network and HSM, and a client that talks gRPC to it.

#![expect(
    clippy::unwrap_used,
    reason = "a world that does not stand fails its test"
)]

use conclave_core::{ClusterId, NodeId, PrincipalName, TimeMs};
use conclave_crypto::{ShareFile, decrypt_with, generate_identity};
use conclave_env::mem::{MemClock, MemEntropy, MemHsm, MemNetwork, MemStorage};
use conclave_env::{Env, Expect, Hsm, Network as _, RemoteIdentity, StoreError};
use conclave_proto::v1::access_service_client::AccessServiceClient;
use conclave_proto::v1::audit_service_client::AuditServiceClient;
use conclave_proto::v1::crypto_service_client::CryptoServiceClient;
use conclave_proto::v1::custody_service_client::CustodyServiceClient;
use conclave_proto::v1::key_service_client::KeyServiceClient;
use conclave_proto::v1::{self as wire};
use conclave_server::{Config, Node};
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const API: &str = "127.0.0.1:7101";

/// A node and its world. Storage and HSM outlive the node.
pub(crate) struct World {
    pub(crate) storage: MemStorage,
    pub(crate) hsm: Arc<MemHsm>,
    /// What the node is given: `hsm`, or something in front of it.
    front: Arc<dyn Hsm>,
    pub(crate) shares: Vec<ShareFile>,
    network: MemNetwork,
    pub(crate) clock: Arc<MemClock>,
    starts: u64,
    node: Option<Node>,
}

fn config() -> Config {
    let text = format!(
        "[cluster]\nid = \"{}\"\nadmins = [\"admin\"]\n[[cluster.members]]\nid = 1\nname = \"one\"\n\
         api = \"{API}\"\npeer = \"127.0.0.1:7201\"\n[node]\nid = 1\ndata_dir = \"unused\"\n\
         [tls]\nca = \"unused\"\ncert = \"unused\"\nkey = \"unused\"\n[hsm]\nkind = \"software\"\n",
        ClusterId([7; 16])
    );
    Config::parse(&text, Path::new("node.toml")).unwrap()
}

/// The stable reason of an error, as programs see it.
pub(crate) fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

impl World {
    /// A formatted node that runs, sealed and without custody.
    pub(crate) async fn start() -> Self {
        let hsm = Arc::new(MemHsm::seeded(1));
        Self::start_with(hsm.clone(), hsm).await
    }

    async fn start_with(hsm: Arc<MemHsm>, front: Arc<dyn Hsm>) -> Self {
        let mut world = Self {
            storage: MemStorage::new(),
            hsm,
            front,
            shares: Vec::new(),
            network: MemNetwork::new(RemoteIdentity::Node(NodeId(1))),
            clock: Arc::new(MemClock::new(TimeMs(1_800_000_000_000))),
            starts: 0,
            node: None,
        };
        conclave_raft::format(&world.storage, ClusterId([7; 16]), NodeId(1))
            .await
            .unwrap();
        world.run().await;
        world
    }

    /// Starts the node again over what it left.
    pub(crate) async fn run(&mut self) {
        self.starts += 1;
        let env = Env {
            clock: self.clock.clone(),
            entropy: Arc::new(MemEntropy::new(self.starts)),
            network: Arc::new(self.network.clone()),
            storage: Arc::new(self.storage.clone()),
            hsm: self.front.clone(),
        };
        self.node = Some(Node::start(env, config()).await.unwrap());
        let mut custody = self.custody("admin");
        eventually("the cluster is formed", async || {
            let cancel = wire::CancelRequest {
                request_id: vec![],
                attempt_id: vec![9],
            };
            let answer = custody.cancel(cancel).await;
            answer.is_err_and(|status| status.code() == Code::InvalidArgument)
                && self
                    .access("admin")
                    .who_am_i(wire::WhoAmIRequest {})
                    .await
                    .is_ok()
        })
        .await;
    }

    pub(crate) async fn stop(&mut self) {
        self.node.take().unwrap().shutdown().await;
    }

    /// A world whose node is unsealed, where `app` may use keyring `demo` and `demo/first` exists.
    pub(crate) async fn unsealed() -> Self {
        Self::start().await.unseal().await
    }

    /// The same with something in front of the HSM.
    pub(crate) async fn unsealed_behind(front: fn(Arc<MemHsm>) -> Arc<dyn Hsm>) -> Self {
        let hsm = Arc::new(MemHsm::seeded(1));
        let front = front(hsm.clone());
        Self::start_with(hsm, front).await.unseal().await
    }

    /// Has whatever is in front of the HSM forget what it holds itself.
    pub(crate) async fn forget_pairs(&self) {
        self.front.ping().await.unwrap();
    }

    async fn unseal(self) -> Self {
        let mut world = self;
        world.hold_ceremony().await;
        world.grant("app", "demo").await;
        world.create("demo/first", wire::Protection::Software).await;
        world
    }

    pub(crate) async fn hold_ceremony(&mut self) {
        let (identities, custodians): (Vec<_>, Vec<_>) = ["alice", "bob", "carol"]
            .map(|name| {
                let (identity, recipient) = generate_identity();
                (
                    identity,
                    wire::Custodian {
                        name: name.to_owned(),
                        recipient,
                    },
                )
            })
            .into_iter()
            .unzip();
        let init = wire::InitRequest {
            request_id: vec![1; 16],
            custodians,
            threshold: 2,
        };
        let held = self.custody("admin").init(init).await.unwrap().into_inner();
        let open = |(share, identity): (wire::EncryptedShare, conclave_crypto::SecretBytes)| {
            let identity = std::str::from_utf8(identity.expose()).unwrap().to_owned();
            let file = decrypt_with(&identity, &share.share).unwrap();
            ShareFile::parse(file.expose()).unwrap()
        };
        self.shares = held.shares.into_iter().zip(identities).map(open).collect();
    }

    /// Submits the share of custodian `number`, as that custodian.
    pub(crate) async fn submit(&self, number: usize) -> Result<wire::CustodyStatus, Status> {
        let file = &self.shares[number];
        let request = wire::SubmitShareRequest {
            request_id: vec![],
            custodian: file.custodian.to_string(),
            cluster_id: file.cluster.as_bytes().to_vec(),
            set_id: file.set.set_id.as_bytes().to_vec(),
            generation: file.set.generation.0,
            share: file.share.expose().to_vec(),
        };
        let answer = self
            .custody(file.custodian.as_str())
            .submit_share(request)
            .await?;
        Ok(answer.into_inner().status.unwrap())
    }

    pub(crate) async fn grant(&self, principal: &str, keyring: &str) {
        let (principal, keyring) = (principal.to_owned(), keyring.to_owned());
        let grant = wire::Grant {
            principal,
            keyring,
            role: wire::Role::User.into(),
        };
        let request = wire::GrantRequest {
            request_id: vec![],
            grant: Some(grant),
        };
        self.access("admin").grant(request).await.unwrap();
    }

    pub(crate) async fn create(&self, name: &str, protection: wire::Protection) {
        let request = wire::CreateKeyRequest {
            name: name.to_owned(),
            protection: protection.into(),
            ..wire::CreateKeyRequest::default()
        };
        self.keys("admin").create_key(request).await.unwrap();
    }

    pub(crate) async fn encrypt(
        &self,
        principal: &str,
        key: &str,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Status> {
        let request = wire::EncryptRequest {
            key: key.to_owned(),
            plaintext: plaintext.to_vec(),
            ..wire::EncryptRequest::default()
        };
        Ok(self
            .crypto(principal)
            .encrypt(request)
            .await?
            .into_inner()
            .ciphertext)
    }

    pub(crate) async fn decrypt(
        &self,
        principal: &str,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, Status> {
        let ciphertext = ciphertext.to_vec();
        let request = wire::DecryptRequest {
            ciphertext,
            ..wire::DecryptRequest::default()
        };
        Ok(self
            .crypto(principal)
            .decrypt(request)
            .await?
            .into_inner()
            .plaintext)
    }

    /// The whole audit log.
    pub(crate) async fn log(&self) -> Vec<conclave_proto::store::v1::AuditRecord> {
        let request = wire::ListAuditRequest {
            page_size: 1_000,
            ..Default::default()
        };
        let page = self
            .audit("admin")
            .list(request)
            .await
            .unwrap()
            .into_inner();
        page.entries
            .into_iter()
            .map(|entry| entry.record.unwrap())
            .collect()
    }

    /// Makes every write fail as a full disk does, or work again.
    pub(crate) fn fill_disk(&self, full: bool) {
        let path = "memory".to_owned();
        self.storage
            .fail_writes(full.then_some(StoreError::NoSpace { path }));
    }

    fn channel(&self, principal: &str) -> Channel {
        let principal = RemoteIdentity::Principal(PrincipalName::new(principal).unwrap());
        let network = self.network.seen_by(principal);
        let connect = tower::service_fn(move |_: http::Uri| {
            let network = network.clone();
            async move {
                network
                    .connect(API, Expect::AnyNode)
                    .await
                    .map(TokioIo::new)
            }
        });
        let endpoint = Endpoint::from_static("http://node").timeout(Duration::from_secs(20));
        endpoint.connect_with_connector_lazy(connect)
    }

    pub(crate) fn keys(&self, principal: &str) -> KeyServiceClient<Channel> {
        KeyServiceClient::new(self.channel(principal))
    }

    pub(crate) fn crypto(&self, principal: &str) -> CryptoServiceClient<Channel> {
        CryptoServiceClient::new(self.channel(principal))
    }

    pub(crate) fn custody(&self, principal: &str) -> CustodyServiceClient<Channel> {
        CustodyServiceClient::new(self.channel(principal))
    }

    pub(crate) fn audit(&self, principal: &str) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel(principal))
    }

    pub(crate) fn access(&self, principal: &str) -> AccessServiceClient<Channel> {
        AccessServiceClient::new(self.channel(principal))
    }
}

/// Waits until something holds, and fails with its name if it does not.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
