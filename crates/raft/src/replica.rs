//! [`Replica`]: this node's part in the cluster.

use crate::config::ReplicaConfig;
use crate::error::{ProposeError, RaftError, ReadError};
use crate::fault::Fault;
use crate::identity::{self, Identity};
use crate::limits::{LEADER_PAUSE, MESSAGE_BYTES_MAX, SNAPSHOTS_INCOMING_MAX};
use crate::log::{LOG, LogStore};
use crate::machine::{STATE, StateMachine};
use crate::peers::{Dialer, Links, PeerApi, Peers};
use crate::slot::StoreSlot;
use crate::status::{self, ReplicaStatus, Role};
use crate::types::{Raft, Runtime};
use bytes::Bytes;
use conclave_core::history::Erasure;
use conclave_core::planted::{Bug, is_planted};
use conclave_core::{AuditSequence, Command, KeyId, LogIndex, NodeId, Outcome, State, audit};
use conclave_env::Env;
use conclave_proto::peer::v1::peer_service_server::PeerServiceServer;
use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{RwLock, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

/// This node's part in the cluster. Clones are the same one.
#[derive(Clone)]
pub struct Replica(Arc<Core>);

/// What the clones, and the peer port, share.
pub(crate) struct Core {
    pub(crate) config: ReplicaConfig,
    pub(crate) raft: Raft,
    pub(crate) machine: StateMachine,
    log: Arc<StoreSlot>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) links: Links,
    pub(crate) fault: Fault,
    status: Arc<watch::Sender<ReplicaStatus>>,
    publisher: Mutex<Option<JoinHandle<()>>>,
    /// Held for writing while a snapshot is installed, for reading while entries are appended.
    pub(crate) append_gate: RwLock<()>,
    pub(crate) incoming: Semaphore,
    /// Held while a snapshot that arrives is on the disk and not installed.
    pub(crate) arriving: tokio::sync::Mutex<()>,
    /// Up to where this node erases what was destroyed: no snapshot of before it arrives any more.
    pub(crate) erasing: watch::Sender<LogIndex>,
}

impl Core {
    pub(crate) fn log(&self) -> &StoreSlot {
        &self.log
    }

    /// The node that this one holds for the leader.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.raft
            .server_metrics()
            .borrow_watched()
            .current_leader
            .map(NodeId)
    }

    /// Where a member's peer port is.
    pub(crate) fn address(&self, node: NodeId) -> Option<String> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let replicated = metrics.membership_config.membership().get_node(&node.0);
        replicated
            .or_else(|| self.config.members.get(&node))
            .map(|member| member.peer.clone())
    }
}

impl Replica {
    /// Opens the node's databases, loads its state and takes up its part in the cluster. Other nodes must be able to
    /// reach [`Replica::peer_service`] for anything to be decided.
    ///
    /// # Errors
    /// [`RaftError::NotFormatted`], [`RaftError::Foreign`], [`RaftError::Config`], or as the disk has them.
    pub async fn start(env: &Env, config: ReplicaConfig) -> Result<Self, RaftError> {
        let settings = config.openraft()?;
        let fault = Fault::none();
        let storage = &*env.storage;
        let log = StoreSlot::open(storage, LOG, fault.clone())?;
        let wanted = Identity {
            cluster: config.cluster,
            node: config.node,
        };
        identity::check(log.with(identity::read)?, wanted, storage.location())?;
        // A vote or an entry that an earlier life wrote and did not sync can be read, and a power failure still takes it:
        // nobody may hear of it before it is durable.
        if !is_planted(Bug::TrustUnsynced) {
            log.sync().await?;
        }
        let log_store = LogStore::load(Arc::clone(&log))?;
        let state = StoreSlot::open(storage, STATE, fault.clone())?;
        let machine = StateMachine::load(state)?;
        let dialer = Arc::new(Dialer::new(
            Arc::clone(&env.network),
            config.cluster,
            config.node,
        ));
        // openraft draws its timeouts from this scope; all its tasks inherit it. The calls that are made later
        // neither start tasks nor draw, so they need no scope.
        let peers = Peers(Arc::clone(&dialer));
        let starting = Raft::new(config.node.0, settings, peers, log_store, machine.clone());
        let raft = Runtime::scope(config.seed, Box::pin(starting))
            .await
            .map_err(|fatal| RaftError::Stopped {
                fault: fault.get().unwrap_or_else(|| fatal.to_string()),
            })?;
        let now = ReplicaStatus::of(&raft.metrics().borrow_watched(), None);
        let status = Arc::new(watch::Sender::new(now));
        let publishing = status::publish(raft.metrics(), fault.clone(), Arc::clone(&status));
        let core = Arc::new(Core {
            links: Links::new(Arc::clone(&dialer), Arc::clone(&status)),
            publisher: Mutex::new(Some(tokio::spawn(publishing))),
            append_gate: RwLock::new(()),
            incoming: Semaphore::new(SNAPSHOTS_INCOMING_MAX),
            arriving: tokio::sync::Mutex::default(),
            erasing: watch::Sender::new(LogIndex(0)),
            config,
            raft,
            machine,
            log,
            dialer,
            fault,
            status,
        });
        let replica = Self(core);
        if replica.0.config.initialize {
            replica.initialize().await?;
        }
        Ok(replica)
    }

    /// Forms the cluster, unless it is formed. Nodes that do so at once, of the same members, do not disturb each
    /// other.
    async fn initialize(&self) -> Result<(), RaftError> {
        let Core {
            raft,
            config,
            fault,
            ..
        } = &*self.0;
        let stopped = |text: String| RaftError::Stopped {
            fault: fault.get().unwrap_or(text),
        };
        if raft
            .is_initialized()
            .await
            .map_err(|fatal| stopped(fatal.to_string()))?
        {
            return Ok(());
        }
        let members: std::collections::BTreeMap<u64, _> = config
            .members
            .iter()
            .map(|(id, member)| (id.0, member.clone()))
            .collect();
        match raft.initialize(members).await {
            // Not allowed: another node was quicker, and this one has heard of it meanwhile.
            Ok(())
            | Err(openraft::errors::RaftError::APIError(
                openraft::errors::InitializeError::NotAllowed(_),
            )) => Ok(()),
            Err(error) => Err(stopped(error.to_string())),
        }
    }

    /// Looks at what this node has applied. `look` must be quick: nothing is applied meanwhile.
    pub fn with_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        self.0.machine.with_state(look)
    }

    /// Commits a command, wherever the leader is, and gives its outcome when this node or the leader has applied it.
    ///
    /// # Errors
    /// [`ProposeError`] says what is certain and what is not.
    pub async fn propose(
        &self,
        command: &Command,
        deadline: Instant,
    ) -> Result<Outcome, ProposeError> {
        self.0
            .propose(Bytes::from(command.encode()), deadline)
            .await
    }

    /// Waits until this node has applied all that was acknowledged anywhere before the call.
    ///
    /// # Errors
    /// [`ReadError`] if no quorum confirms that by the deadline.
    pub async fn read_index(&self, deadline: Instant) -> Result<LogIndex, ReadError> {
        self.0.read_index(deadline).await
    }

    /// Follows the index up to which this node has applied the log.
    pub fn applied(&self) -> watch::Receiver<LogIndex> {
        self.0.machine.applied()
    }

    /// Waits until this node has applied up to `index`.
    ///
    /// # Errors
    /// [`ReadError`] if that takes longer than until the deadline.
    pub async fn wait_applied(&self, index: LogIndex, deadline: Instant) -> Result<(), ReadError> {
        self.0.wait_applied(index, deadline).await
    }

    /// Records of the audit log from `start` on, at most `limit`, as they are stored.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn audit_records(
        &self,
        start: AuditSequence,
        limit: usize,
    ) -> Result<Vec<(AuditSequence, Vec<u8>)>, RaftError> {
        Ok(self.0.machine.audit_records(start, limit)?)
    }

    /// The proof that a record is among the first `size` of the audit log: RFC 6962 section 2.1.1, the lowest sibling first.
    ///
    /// # Errors
    /// As the disk has them.
    ///
    /// # Panics
    /// If it is not among them.
    pub fn inclusion_path(
        &self,
        record: AuditSequence,
        size: u64,
    ) -> Result<Vec<audit::Hash>, RaftError> {
        Ok(self.0.machine.inclusion_path(record, size)?)
    }

    /// Records of the audit log that tell the story of a key, from `start` on: all but uses.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn key_history(
        &self,
        key: KeyId,
        start: AuditSequence,
        limit: usize,
    ) -> Result<Vec<AuditSequence>, RaftError> {
        Ok(self.0.machine.key_history(key, start, limit)?)
    }

    /// What nodes said in the audit log that they have erased, from the record `start` on.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn erasures(&self, start: AuditSequence, limit: usize) -> Result<Vec<Erasure>, RaftError> {
        Ok(self.0.machine.erasures(start, limit)?)
    }

    /// How this node is.
    pub fn status(&self) -> ReplicaStatus {
        let metrics = self.0.raft.metrics();
        let status = ReplicaStatus::of(&metrics.borrow_watched(), self.0.fault.get());
        let applied = self.applied().borrow().0.max(status.applied);
        ReplicaStatus { applied, ..status }
    }

    /// How often the disk was synced for the log since this replica was opened: entries that wait together share one.
    pub fn log_syncs(&self) -> u64 {
        self.0.log.syncs()
    }

    /// Why this replica has stopped, if it has. As in [`Replica::status`], and quicker.
    pub fn fault(&self) -> Option<String> {
        self.0.fault.get()
    }

    /// Follows how this node is.
    pub fn changed(&self) -> watch::Receiver<ReplicaStatus> {
        self.0.status.subscribe()
    }

    /// Asks for a snapshot of what is applied; does not wait for it.
    pub async fn trigger_snapshot(&self) {
        // A replica that has stopped takes none; its status says why.
        drop(self.0.raft.trigger().snapshot().await);
    }

    /// Hands leadership to `to`, or to whoever is closest behind, if this node leads. Best effort: look at the
    /// status afterwards.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) {
        if let Some(to) = to.map(|node| node.0).or_else(|| self.closest_follower()) {
            drop(self.0.raft.trigger().transfer_leader(to).await);
        }
    }

    fn closest_follower(&self) -> Option<u64> {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        let is_voter = |id: &u64| {
            metrics
                .membership_config
                .membership()
                .voter_ids()
                .any(|v| v == *id)
        };
        let others = metrics.replication.iter().flatten();
        let others = others.filter(|(id, _)| **id != self.0.config.node.0 && is_voter(id));
        others
            .max_by_key(|(id, matching)| (**matching, **id))
            .map(|(id, _)| *id)
    }

    /// What answers other nodes, for a port that outlives this replica.
    pub fn peer_api(&self) -> PeerApi {
        PeerApi::new(Arc::clone(&self.0))
    }

    /// The service for the peer port, whose connections must carry their [`Remote`](conclave_env::Remote). It
    /// refuses all calls when this replica has stopped.
    pub fn peer_service(&self) -> PeerServiceServer<PeerApi> {
        PeerServiceServer::new(PeerApi::new(Arc::clone(&self.0)))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Leaves in order: hands over leadership, stops replicating, makes the disk hold what was written, and closes
    /// the databases, so that they can be opened again in the same process. Takes about as long as `within` at most,
    /// and works for a replica that has failed, too.
    pub async fn shutdown(&self, within: Duration) {
        let start = Instant::now();
        let core = &*self.0;
        self.step_down(start + within / 3).await;
        core.fault.end();
        core.links.close().await;
        if timeout_at(start + within * 2 / 3, core.raft.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("replication did not stop in time; closing its databases under it");
        }
        let syncs = async { tokio::join!(core.machine.slot().sync(), core.log.sync()) };
        match timeout_at(start + within, syncs).await {
            Ok((Ok(()), Ok(()))) => {}
            Ok((Err(error), _) | (_, Err(error))) => {
                tracing::warn!(%error, "the last sync failed; what was acknowledged is durable");
            }
            Err(_) => tracing::warn!("the last sync did not end in time"),
        }
        core.machine.slot().close();
        core.log.close();
        core.dialer.close();
        let publisher = core.publisher.lock().take();
        if let Some(publisher) = publisher {
            publisher.abort();
            drop(publisher.await);
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }

    async fn step_down(&self, deadline: Instant) {
        let leads = |status: &ReplicaStatus| status.role == Role::Leader;
        if !leads(&self.status()) || self.closest_follower().is_none() {
            return;
        }
        self.transfer_leadership(None).await;
        while leads(&self.status()) && Instant::now() + LEADER_PAUSE < deadline {
            sleep(LEADER_PAUSE).await;
        }
    }
}
