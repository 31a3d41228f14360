//! A node from start to stop: its replica, its services on two ports, and its jobs.

use crate::config::Config;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::jobs;
use crate::limits::SHUTDOWN_MAX;
use crate::pipeline::UsePipeline;
use crate::refusals::Refusals;
use crate::replica_slot::{ReplicaSlot, Slot};
use crate::seal::Seal;
use crate::serve;
use conclave_env::{Audience, Env};
use conclave_raft::{MemberNode, RaftError, Replica, ReplicaConfig};
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its data, or replication over it.
    #[error(transparent)]
    Replica(#[from] RaftError),
    /// A port.
    #[error("cannot listen on {address} ({source}): is another process there? See `ss -ltnp`")]
    Listen {
        /// As configured.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A running node.
pub struct Node {
    context: Arc<NodeContext>,
    stop: watch::Sender<bool>,
    /// The client port and the jobs.
    tasks: JoinSet<()>,
    /// The peer port, which other nodes need until the last entry is handed over.
    peer_port: JoinHandle<()>,
}

/// How a node's replica is to run.
pub(crate) fn replica_config(config: &Config, seed: u64) -> ReplicaConfig {
    let member = |it: &crate::config::Member| MemberNode {
        name: it.name.clone(),
        api: it.api.clone(),
        peer: it.peer.clone(),
    };
    ReplicaConfig {
        cluster: config.cluster,
        node: config.node,
        members: config
            .members
            .iter()
            .map(|(id, it)| (*id, member(it)))
            .collect(),
        initialize: config.members.keys().next() == Some(&config.node),
        heartbeat_ms: config.raft.heartbeat_ms,
        election_timeout_min_ms: config.raft.election_timeout_min_ms,
        election_timeout_max_ms: config.raft.election_timeout_max_ms,
        snapshot_every_entries: config.raft.snapshot_every_entries,
        keep_entries: config.raft.keep_entries,
        seed,
    }
}

/// A number that no two starts of a node share.
pub(crate) fn draw(env: &Env) -> u64 {
    let mut bytes = [0; 8];
    env.entropy.fill(&mut bytes);
    u64::from_be_bytes(bytes)
}

impl Node {
    /// Starts a node. It is sealed, unless its HSM kept the root key.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do; nothing is left running.
    pub async fn start(env: Env, config: Config) -> Result<Self, StartError> {
        let (api, peer) = (
            config.this_member().api.clone(),
            config.this_member().peer.clone(),
        );
        let listen = async |address: &str, audience| {
            let incoming = env.network.listen(address, audience).await;
            incoming.map_err(|source| StartError::Listen {
                address: address.to_owned(),
                source,
            })
        };
        let clients = listen(&api, Audience::Clients).await?;
        let peers = listen(&peer, Audience::Peers).await?;
        let replica = Replica::start(&env, replica_config(&config, draw(&env))).await?;
        let slot = ReplicaSlot::new(replica);
        let (pipeline, committer) =
            UsePipeline::start(slot.clone(), env.clock.clone(), config.node, draw(&env));
        let (stop, stopping) = watch::channel(false);
        let context = Arc::new(NodeContext {
            seal: Seal::new(config.node),
            refusals: Refusals::new(pipeline.clone()),
            pipeline,
            replica: slot,
            started: Instant::now(),
            stopping: stopping.clone(),
            calls: NodeContext::call_bound(),
            config,
            env,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // It ends when the last handle to the pipeline is gone, which is after this node.
            drop(committer);
        });
        tasks.spawn(serve::clients(context.clone(), clients, stopping.clone()));
        let peer_port = tokio::spawn(serve::peers(context.clone(), peers));
        jobs::spawn(&context, &stopping, &mut tasks);
        tracing::info!(node = %context.config.node, api, peer, "the node runs");
        Ok(Self {
            context,
            stop,
            tasks,
            peer_port,
        })
    }

    /// What its services share.
    pub fn context(&self) -> &Arc<NodeContext> {
        &self.context
    }

    /// Stops in order: no new calls, those under way end, leadership goes to another node, all is synced.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_MAX / 2, ended).await.is_err() {
            tracing::warn!("some calls did not end in time and were cut off");
            self.tasks.abort_all();
        }
        if let Slot::Running(replica) = self.context.replica.peek() {
            replica.shutdown(SHUTDOWN_MAX / 2).await;
        }
        self.peer_port.abort();
        // It ends by being aborted, and has freed its address then.
        drop(self.peer_port.await);
        self.context.seal.close("the node stopped".to_owned());
        tracing::info!("the node stopped");
    }
}

impl NodeContext {
    /// Exchanges a replica whose storage failed for a new one.
    ///
    /// # Errors
    /// [`ServiceError::Storage`] if it fails again.
    pub(crate) async fn restart_replica(&self) -> Result<(), ServiceError> {
        let config = replica_config(&self.config, draw(&self.env));
        let replica = Replica::start(&self.env, config).await?;
        self.replica.put(Slot::Running(replica));
        Ok(())
    }
}
