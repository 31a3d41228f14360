//! Three nodes on loopback, in a directory of their own.

use super::ceremony::Ceremony;
use super::cli::Cli;
use super::layout::{Layout, Options};
use super::network;
use super::node::Node;
use super::poll::until;
use super::requests;
use anyhow::{Context as _, Result, bail, ensure};
use conclave_client::v1::{ClusterStatusRequest, NodeStatus, RaftRole, Role, SealState};
use conclave_client::{Client, ClientConfig};
use conclave_env::os::{OsEntropy, TlsNetwork};
use std::collections::BTreeMap;
use std::env;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tonic::transport::Channel;

/// The ids of the nodes.
pub const NODES: RangeInclusive<u64> = 1..=3;

/// Set: a cluster's directory stays after the test.
const KEEP: &str = "CONCLAVE_KEEP";
/// How much of a log is shown when a test fails.
const LOG_TAIL_LINES: usize = 40;
/// How long a node may take to say how it is.
const STATUS_DEADLINE: Duration = Duration::from_secs(2);
/// How long other calls may take, retries included.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// A cluster. A test ends with [`Cluster::finish`]; if it does not get there, the logs are shown.
pub struct Cluster {
    // Nodes first: they are killed before their files are deleted.
    nodes: Vec<Node>,
    layout: Layout,
    ceremony: Option<Ceremony>,
    networks: Mutex<BTreeMap<String, Arc<TlsNetwork>>>,
    dir: Option<TempDir>,
    finished: bool,
}

impl Cluster {
    /// Writes a cluster's files and starts nothing.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn prepare(options: Options) -> Result<Self> {
        let dir = TempDir::with_prefix("conclave-chaos-")?;
        let layout = Layout::create(dir.path(), options)?;
        Ok(Self {
            nodes: NODES.map(|id| layout.node(id)).collect(),
            layout,
            ceremony: None,
            networks: Mutex::default(),
            dir: Some(dir),
            finished: false,
        })
    }

    /// Three nodes that are formatted and run; there was no ceremony yet.
    ///
    /// # Errors
    /// If one of them does not.
    pub async fn boot_new(options: Options) -> Result<Self> {
        let mut cluster = Self::prepare(options)?;
        cluster.boot_all().await?;
        Ok(cluster)
    }

    /// Three unsealed nodes; principal `app` may use the keys of keyring `demo`.
    ///
    /// # Errors
    /// If that does not come about.
    pub async fn start(options: Options) -> Result<Self> {
        let mut cluster = Self::boot_new(options).await?;
        cluster.found().await?;
        Ok(cluster)
    }

    /// Formats and starts all nodes.
    ///
    /// # Errors
    /// If one of them does not start.
    pub async fn boot_all(&mut self) -> Result<()> {
        for id in NODES {
            self.node(id).format().await?;
            self.node(id).spawn()?;
        }
        for id in NODES {
            self.answers(id).await?;
        }
        self.leader().await.map(drop)
    }

    /// Holds the ceremony, unseals all nodes, and gives the usual grants.
    ///
    /// # Errors
    /// If the cluster refuses.
    pub async fn found(&mut self) -> Result<()> {
        self.ceremony = Some(Ceremony::hold(&self.client_at("admin", 1)?).await?);
        for id in NODES.skip(1) {
            self.unseal(id).await?;
        }
        let admin = self.client("admin")?;
        admin
            .grant(requests::grant("app", "demo", Role::User))
            .await?;
        Ok(())
    }

    /// Where its files are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The ceremony that was held.
    ///
    /// # Panics
    /// If there was none.
    pub fn ceremony(&self) -> &Ceremony {
        self.ceremony.as_ref().expect("the ceremony comes first")
    }

    /// A node's process.
    ///
    /// # Panics
    /// If `id` is none of [`NODES`].
    pub fn node(&mut self, id: u64) -> &mut Node {
        self.nodes
            .iter_mut()
            .find(|node| node.id() == id)
            .expect("ids are those of NODES")
    }

    /// All nodes but one.
    pub fn others(id: u64) -> impl Iterator<Item = u64> {
        NODES.filter(move |other| *other != id)
    }

    /// A principal's client, which begins at node 1.
    ///
    /// # Errors
    /// If its certificate cannot be made.
    pub fn client(&self, principal: &str) -> Result<Client> {
        self.client_from(principal, 1)
    }

    /// A principal's client, which begins at a given node and turns to the others if it must.
    ///
    /// # Errors
    /// If its certificate cannot be made.
    pub fn client_from(&self, principal: &str, first: u64) -> Result<Client> {
        let ids = std::iter::once(first).chain(Self::others(first));
        let endpoints = ids.map(|id| self.layout.api(id).to_owned()).collect();
        self.connect(principal, endpoints)
    }

    /// A principal's client of one node only.
    ///
    /// # Errors
    /// If its certificate cannot be made.
    pub fn client_at(&self, principal: &str, id: u64) -> Result<Client> {
        self.connect(principal, vec![self.layout.api(id).to_owned()])
    }

    /// A principal's channel to one node, without retries.
    ///
    /// # Errors
    /// If its certificate cannot be made.
    pub fn channel(&self, principal: &str, id: u64) -> Result<Channel> {
        network::channel(self.network(principal)?, self.layout.api(id))
    }

    /// The command line of a principal that knows the given nodes.
    ///
    /// # Errors
    /// If its certificate cannot be made.
    pub fn cli(&self, principal: &str, nodes: &[u64]) -> Result<Cli> {
        let endpoints: Vec<&str> = nodes.iter().map(|id| self.layout.api(*id)).collect();
        let home = self.layout.dir().to_owned();
        let credentials = self.layout.principal(principal)?;
        Ok(Cli::new(
            &endpoints,
            &self.layout.pki().ca(),
            &credentials,
            home,
        ))
    }

    fn connect(&self, principal: &str, endpoints: Vec<String>) -> Result<Client> {
        let network = self.network(principal)?;
        let config = ClientConfig::new(endpoints, network, Arc::new(OsEntropy::new()));
        Ok(Client::connect(config.with_deadline(CALL_DEADLINE))?)
    }

    fn network(&self, principal: &str) -> Result<Arc<TlsNetwork>> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = networks.get(principal) {
            return Ok(network.clone());
        }
        let files = self.layout.principal(principal)?;
        let network = TlsNetwork::from_files(&self.layout.pki().ca(), &files.cert, &files.key)?;
        let network = Arc::new(network);
        networks.insert(principal.to_owned(), network.clone());
        Ok(network)
    }

    /// How a node says it is.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn status(&self, id: u64) -> Result<NodeStatus> {
        let client = self.client_at("admin", id)?.with_deadline(STATUS_DEADLINE);
        Ok(client
            .cluster_status(ClusterStatusRequest::default())
            .await?)
    }

    /// Starts a node and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn boot(&mut self, id: u64) -> Result<NodeStatus> {
        self.node(id).spawn()?;
        self.answers(id).await
    }

    /// Waits until a node that was started answers.
    ///
    /// # Errors
    /// If it does not within 20 seconds, or ends.
    pub async fn answers(&mut self, id: u64) -> Result<NodeStatus> {
        let what = format!("an answer of node {id}");
        let waited = until(&what, async || {
            if self.node(id).has_ended().unwrap_or(true) {
                return Some(Err(anyhow::anyhow!(
                    "node {id} ended: {}",
                    self.node(id).log()
                )));
            }
            self.status(id).await.ok().map(Ok)
        });
        waited.await?
    }

    /// The node that leads, as it says itself in the latest term that anyone knows of.
    ///
    /// # Errors
    /// If there is none within 20 seconds.
    pub async fn leader(&self) -> Result<u64> {
        until("a leader", async || self.current_leader().await).await
    }

    async fn current_leader(&self) -> Option<u64> {
        let statuses = NODES.filter(|id| self.runs(*id)).map(|id| self.status(id));
        let statuses = futures::future::join_all(statuses).await;
        let known: Vec<NodeStatus> = statuses.into_iter().filter_map(Result::ok).collect();
        let latest = known.iter().map(|status| status.term).max()?;
        let leads = |it: &&NodeStatus| it.term == latest && it.role() == RaftRole::Leader;
        known.iter().find(leads).map(|status| status.node_id)
    }

    fn runs(&self, id: u64) -> bool {
        self.nodes
            .iter()
            .any(|node| node.id() == id && node.is_started())
    }

    /// Three custodians submit their shares to a node.
    ///
    /// # Errors
    /// If it is not unsealed then.
    pub async fn unseal(&self, id: u64) -> Result<()> {
        for hand in self
            .ceremony()
            .hands
            .iter()
            .take(self.ceremony().threshold())
        {
            let custodian = self.client_at(&hand.name, id)?;
            let answer = custodian.submit_share(hand.request.clone()).await;
            answer.with_context(|| format!("the share of {} at node {id}", hand.name))?;
        }
        let status = self.status(id).await?;
        ensure!(
            status.seal() == SealState::Unsealed,
            "node {id} is {:?}",
            status.seal()
        );
        Ok(())
    }

    /// Waits until a node has applied all that had been committed when the wait began.
    ///
    /// # Errors
    /// If it does not within 20 seconds.
    pub async fn catches_up(&self, id: u64) -> Result<NodeStatus> {
        let leader = self.leader().await?;
        let goal = self.status(leader).await?.committed_index;
        until(&format!("node {id} at entry {goal}"), async || {
            self.status(id)
                .await
                .ok()
                .filter(|status| status.applied_index >= goal)
        })
        .await
    }

    /// Has a look at every node's process and log.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Ends the test: nothing panicked, and the files may go.
    ///
    /// # Errors
    /// If a node panicked.
    pub fn finish(mut self) -> Result<()> {
        for node in &self.nodes {
            if let Some(at) = node.log().find("panicked at") {
                let text: String = node.log()[at..].chars().take(500).collect();
                bail!("node {} panicked: {text}", node.id());
            }
        }
        self.finished = true;
        Ok(())
    }

    fn show(&self, kept: &Path) {
        eprintln!("the cluster's files are kept in {}", kept.display());
        for node in &self.nodes {
            let log = node.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
            eprintln!(
                "--- the end of node {}'s log\n{}",
                node.id(),
                tail.join("\n")
            );
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(dir) = self.dir.take() else { return };
        if self.finished && env::var_os(KEEP).is_none() {
            self.nodes.clear();
            drop(dir);
        } else {
            self.show(&dir.keep());
        }
    }
}
