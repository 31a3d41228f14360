//! One simulated machine: what outlives its node (disk, clock, HSM), and the node that runs on it for a while.

use super::network::{SimNetwork, Wires};
use super::plan::{Plan, Stream, rng};
use super::scratch::Scratch;
use conclave_core::{ClusterId, LogIndex, NodeId, TimeMs};
use conclave_env::mem::{MemClock, MemEntropy, MemHsm, MemStorage};
use conclave_env::os::RocksStorage;
use conclave_env::{Env, RemoteIdentity};
use conclave_raft::Replica;
use conclave_server::{Config, Node, NodeContext};
use parking_lot::Mutex;
use rand::RngCore as _;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// The cluster's id.
pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);
/// Where nodes serve clients.
pub(crate) const API_PORT: u16 = 7100;
const PEER_PORT: u16 = 7200;
/// The simulated wall clock begins here, in milliseconds since 1970: 2001-09-09. Long past, so that a library that
/// waits until a simulated time by the real clock does not wait at all.
pub const EPOCH_MS: u64 = 1_000_000_000_000;

/// How soon a process that ended is started again, as `cluster/deploy/conclaved.service` has it.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// What a running node can be asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Hand leadership over.
    Transfer,
    /// Take a snapshot.
    Snapshot,
    /// Stop in order.
    Stop,
}

/// One machine. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Machine {
    /// Of the node that lives here.
    pub(crate) id: u64,
    /// Its disk.
    pub(crate) disk: MemStorage,
    /// Its HSM.
    pub(crate) hsm: Arc<MemHsm>,
    clock: MemClock,
    inner: Arc<Mutex<Inner>>,
    seed: u64,
    config: Config,
    wires: Wires,
}

#[derive(Default)]
struct Inner {
    lives: u64,
    is_formatted: bool,
    is_up: bool,
    /// How far the clock is ahead, or behind.
    skew_ms: i64,
    running: Option<Running>,
    refused: Option<String>,
    is_damaged: bool,
}

struct Running {
    context: Arc<NodeContext>,
    orders: mpsc::UnboundedSender<Order>,
    /// As it was last seen.
    replica: Option<Replica>,
}

/// The name of a node's host.
pub(crate) fn host(id: u64) -> String {
    format!("node-{id}")
}

/// Where a node serves clients.
pub(crate) fn api(id: u64) -> String {
    format!("{}:{API_PORT}", host(id))
}

fn config(plan: &Plan, id: u64) -> Config {
    let mut text = format!("[cluster]\nid = \"{CLUSTER}\"\nadmins = [\"admin\"]\n");
    for node in 1..=plan.nodes {
        let host = host(node);
        write!(
            text,
            "[[cluster.members]]\nid = {node}\nname = \"{host}\"\napi = \"{host}:{API_PORT}\"\n\
             peer = \"{host}:{PEER_PORT}\"\n"
        )
        .expect("a string takes all");
    }
    let raft = &plan.raft;
    write!(
        text,
        "[node]\nid = {id}\ndata_dir = \"unused\"\n[tls]\nca = \"unused\"\ncert = \"unused\"\nkey = \"unused\"\n\
         [hsm]\nkind = \"software\"\n[raft]\nheartbeat_ms = {}\nelection_timeout_min_ms = {}\n\
         election_timeout_max_ms = {}\nsnapshot_every_entries = {}\nkeep_entries = {}\n",
        raft.heartbeat_ms, raft.election_min_ms, raft.election_max_ms, raft.snapshot_every, raft.keep
    )
    .expect("a string takes all");
    Config::parse(&text, Path::new("simulated.toml")).expect("a plan draws a valid configuration")
}

impl Machine {
    /// A machine with an empty disk, over RocksDB in `scratch` if there is one.
    pub(crate) fn new(plan: &Plan, id: u64, wires: &Wires, scratch: Option<&Scratch>) -> Self {
        let disk = match scratch {
            Some(scratch) => {
                let beneath = Arc::new(RocksStorage::inline(scratch.node(id)));
                MemStorage::over(beneath, plan.sync_delay)
            }
            None => MemStorage::with_sync_delay(plan.sync_delay),
        };
        disk.keep_journal();
        let hsm_seed = rng(plan.seed, Stream::Node(id, 99_999)).next_u64();
        Self {
            id,
            disk,
            hsm: Arc::new(MemHsm::seeded(hsm_seed)),
            clock: MemClock::new(TimeMs(EPOCH_MS)),
            inner: Arc::default(),
            seed: plan.seed,
            config: config(plan, id),
            wires: wires.clone(),
        }
    }

    /// What its host runs, from power-on to power failure. Whoever keeps the process running starts it again if it
    /// refuses to start.
    pub(crate) async fn live(self) {
        loop {
            let life = self.begin_life();
            match self.start(life).await {
                Ok(node) => return self.run(node).await,
                Err(refusal) => self.inner.lock().refused = Some(refusal),
            }
            sleep(RESTART_PAUSE).await;
        }
    }

    fn begin_life(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.lives += 1;
        inner.is_up = true;
        inner.refused = None;
        inner.lives
    }

    async fn start(&self, life: u64) -> Result<Node, String> {
        if !self.inner.lock().is_formatted {
            let formatted = conclave_raft::format(&self.disk, CLUSTER, NodeId(self.id)).await;
            match formatted {
                // An earlier life got as far as that, and did not live to know it.
                Ok(()) | Err(conclave_raft::RaftError::AlreadyFormatted { .. }) => {
                    self.inner.lock().is_formatted = true;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let entropy = rng(self.seed, Stream::Node(self.id, life)).next_u64();
        let identity = RemoteIdentity::Node(NodeId(self.id));
        let env = Env {
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(MemEntropy::new(entropy)),
            network: Arc::new(SimNetwork::new(identity, self.wires.clone())),
            storage: Arc::new(self.disk.clone()),
            hsm: self.hsm.clone(),
        };
        let started = Node::start(env, self.config.clone()).await;
        started.map_err(|error| error.to_string())
    }

    async fn run(&self, node: Node) {
        let (orders, mut given) = mpsc::unbounded_channel();
        self.inner.lock().running = Some(Running {
            context: Arc::clone(node.context()),
            orders,
            replica: None,
        });
        while let Some(order) = given.recv().await {
            match order {
                Order::Transfer => {
                    if let Ok(replica) = node.context().replica.get() {
                        replica.transfer_leadership(None).await;
                    }
                }
                Order::Snapshot => {
                    if let Ok(replica) = node.context().replica.get() {
                        replica.trigger_snapshot().await;
                    }
                }
                Order::Stop => break,
            }
        }
        node.shutdown().await;
        let mut inner = self.inner.lock();
        inner.running = None;
        inner.is_up = false;
    }

    /// Asks the running node for something. Whether there is one.
    pub(crate) fn order(&self, order: Order) -> bool {
        let inner = self.inner.lock();
        inner
            .running
            .as_ref()
            .is_some_and(|running| running.orders.send(order).is_ok())
    }

    /// What must be done before the host is crashed: nothing may hold the node any more.
    pub(crate) fn forget_node(&self) {
        let mut inner = self.inner.lock();
        inner.running = None;
        inner.is_up = false;
        inner.refused = None;
        // A session's keys end with the process.
        self.hsm.lose();
    }

    /// Whether the power is on and the node was not stopped.
    pub(crate) fn is_up(&self) -> bool {
        self.inner.lock().is_up
    }

    /// The node that runs, if one does.
    pub(crate) fn context(&self) -> Option<Arc<NodeContext>> {
        let inner = self.inner.lock();
        inner.running.as_ref().map(|it| Arc::clone(&it.context))
    }

    /// The replica of the running node, if it takes part.
    pub(crate) fn replica(&self) -> Option<Replica> {
        self.context()?.replica.get().ok()
    }

    /// The last replica of the running node, even if it has failed: it may have committed something since.
    pub(crate) fn any_replica(&self) -> Option<Replica> {
        let current = self.context()?.replica.any();
        let mut inner = self.inner.lock();
        let running = inner.running.as_mut()?;
        if current.is_some() {
            running.replica = current;
        }
        running.replica.clone()
    }

    /// How far the node has applied the log; `None` if it takes no part.
    pub(crate) fn applied(&self) -> Option<LogIndex> {
        self.replica().map(|replica| *replica.applied().borrow())
    }

    /// Why the node did not start, if it did not.
    pub(crate) fn refused(&self) -> Option<String> {
        self.inner.lock().refused.clone()
    }

    /// Notes that bytes at rest were changed: the node may refuse, or take no part.
    pub(crate) fn set_damaged(&self) {
        self.inner.lock().is_damaged = true;
    }

    /// Whether bytes at rest were changed.
    pub(crate) fn is_damaged(&self) -> bool {
        self.inner.lock().is_damaged
    }

    /// Makes the clock wrong by so much.
    pub(crate) fn set_skew_ms(&self, skew_ms: i64) {
        self.inner.lock().skew_ms = skew_ms;
    }

    /// Sets the clock to the simulated time, as wrong as it is.
    pub(crate) fn set_clock(&self, elapsed: Duration) {
        let skew_ms = self.inner.lock().skew_ms;
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let now = EPOCH_MS.saturating_add(elapsed_ms);
        self.clock.set(TimeMs(now.saturating_add_signed(skew_ms)));
    }

    /// How many lives it has had.
    pub(crate) fn lives(&self) -> u64 {
        self.inner.lock().lives
    }
}
