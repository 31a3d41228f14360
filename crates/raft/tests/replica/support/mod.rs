//! Three nodes in one process, on disks and wires in memory.

mod network;

use conclave_core::{
    Actor, Body, Change, ClusterId, Command, NodeId, Outcome, RequestId, TimeMs, Write,
};
use conclave_core::{Grant, PrincipalName, Role, Scope};
use conclave_env::mem::{MemClock, MemEntropy, MemHsm, MemStorage};
use conclave_env::{Audience, Env, Storage};
use conclave_raft::{MemberNode, ProposeError, Replica, ReplicaConfig, Role as RaftRole};
pub(crate) use network::Wires;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub(crate) const CLUSTER: ClusterId = ClusterId([9; 16]);
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// A node that runs: its replica and its peer port.
pub(crate) struct Node {
    pub(crate) replica: Replica,
    server: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

pub(crate) struct Cluster {
    pub(crate) wires: Wires,
    pub(crate) disks: BTreeMap<u64, MemStorage>,
    /// Where the nodes' directories are, if their disks are real.
    pub(crate) real: Option<TempDir>,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) snapshot_every: u64,
    pub(crate) keep: u64,
    starts: u64,
}

impl Cluster {
    /// Formatted disks, nothing running.
    pub(crate) async fn prepare(size: u64) -> Self {
        let mut disks = BTreeMap::new();
        for id in 1..=size {
            let disk = MemStorage::with_sync_delay(Duration::from_micros(500));
            conclave_raft::format(&disk, CLUSTER, NodeId(id))
                .await
                .unwrap();
            disks.insert(id, disk);
        }
        let (wires, nodes) = (Wires::default(), BTreeMap::new());
        Self {
            wires,
            disks,
            real: None,
            nodes,
            snapshot_every: 10_000,
            keep: 1000,
            starts: 0,
        }
    }

    /// All nodes running and the cluster formed.
    pub(crate) async fn start(size: u64) -> Self {
        let mut cluster = Self::prepare(size).await;
        cluster.run_all().await;
        cluster.propose(1, form()).await.unwrap();
        cluster
    }

    pub(crate) async fn run_all(&mut self) {
        let ids: Vec<u64> = self.disks.keys().copied().collect();
        for id in ids {
            self.run(id).await;
        }
    }

    fn storage(&self, id: u64) -> Arc<dyn Storage> {
        match self.directory(id) {
            #[cfg(feature = "rocksdb")]
            Some(directory) => Arc::new(conclave_env::os::RocksStorage::new(directory)),
            #[cfg(not(feature = "rocksdb"))]
            Some(_) => unreachable!("real disks take the feature rocksdb"),
            None => Arc::new(self.disks[&id].clone()),
        }
    }

    /// Where a node keeps what it has, if its disk is real.
    pub(crate) fn directory(&self, id: u64) -> Option<PathBuf> {
        let all = self.real.as_ref()?;
        Some(all.path().join(id.to_string()))
    }

    /// Formatted directories on a real disk, nothing running.
    #[cfg(feature = "rocksdb")]
    pub(crate) async fn prepare_real(size: u64) -> Self {
        let mut cluster = Self::prepare(size).await;
        cluster.real = Some(tempfile::tempdir().unwrap());
        for id in 1..=size {
            let storage = cluster.storage(id);
            conclave_raft::format(&*storage, CLUSTER, NodeId(id))
                .await
                .unwrap();
        }
        cluster
    }

    pub(crate) fn env(&self, id: u64) -> Env {
        Env {
            clock: Arc::new(MemClock::new(TimeMs(1_000))),
            entropy: Arc::new(MemEntropy::new(id)),
            network: Arc::new(self.wires.of(NodeId(id))),
            storage: self.storage(id),
            hsm: Arc::new(MemHsm::seeded(id)),
        }
    }

    pub(crate) fn config(&self, id: u64) -> ReplicaConfig {
        let member = |id: u64| MemberNode {
            name: format!("node{id}"),
            api: format!("api-{id}:1"),
            peer: format!("node-{id}:1"),
        };
        ReplicaConfig {
            cluster: CLUSTER,
            node: NodeId(id),
            members: self
                .disks
                .keys()
                .map(|id| (NodeId(*id), member(*id)))
                .collect(),
            initialize: true,
            heartbeat_ms: 50,
            election_timeout_min_ms: 300,
            election_timeout_max_ms: 600,
            snapshot_every_entries: self.snapshot_every,
            keep_entries: self.keep,
            seed: id << 32 | self.starts,
        }
    }

    pub(crate) async fn run(&mut self, id: u64) {
        self.starts += 1;
        let (env, config) = (self.env(id), self.config(id));
        let address = config.members[&NodeId(id)].peer.clone();
        let incoming = env.network.listen(&address, Audience::Peers).await.unwrap();
        let replica = Replica::start(&env, config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = replica.peer_service();
        let server = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            // Dropped, not drained: whoever is connected sees the connection break.
            tokio::select! {
                biased;
                _ = stopped => {}
                end = server.serve_with_incoming(incoming) => end.unwrap(),
            }
        });
        self.nodes.insert(
            id,
            Node {
                replica,
                server,
                stop,
            },
        );
    }

    /// Leaves in order.
    pub(crate) async fn stop(&mut self, id: u64) {
        let Node {
            replica,
            server,
            stop,
        } = self.nodes.remove(&id).unwrap();
        replica.shutdown(Duration::from_secs(3)).await;
        assert_eq!(stop.send(()), Ok(()), "the server ended by itself");
        server.await.unwrap();
    }

    /// The power fails: nothing is said to anybody, and what was not synced is gone.
    pub(crate) async fn kill(&mut self, id: u64) {
        let Node {
            replica,
            server,
            stop,
        } = self.nodes.remove(&id).unwrap();
        self.wires.cut(NodeId(id));
        self.disks[&id].crash(id);
        assert_eq!(stop.send(()), Ok(()), "the server ended by itself");
        server.await.unwrap();
        // Frees the tasks; on the disk it can do nothing any more.
        replica.shutdown(Duration::from_secs(1)).await;
        self.wires.mend(NodeId(id));
    }

    pub(crate) fn replica(&self, id: u64) -> &Replica {
        &self.nodes[&id].replica
    }

    /// As a node of the server does: what is unknown is proposed again under the same request id.
    pub(crate) async fn propose(&self, id: u64, command: Command) -> Result<Outcome, ProposeError> {
        propose(self.replica(id), command).await
    }

    pub(crate) async fn leader(&self) -> u64 {
        self.eventually("a leader", |cluster| {
            cluster.nodes.iter().find_map(|(id, node)| {
                (node.replica.status().role == RaftRole::Leader).then_some(*id)
            })
        })
        .await
    }

    pub(crate) async fn followers(&self) -> Vec<u64> {
        let leader = self.leader().await;
        self.nodes
            .keys()
            .copied()
            .filter(|id| *id != leader)
            .collect()
    }

    pub(crate) async fn eventually<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = soon();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "still waiting for {what}: {:?}",
                self.statuses()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn statuses(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|(id, node)| format!("{id}: {:?}", node.replica.status()))
            .collect()
    }

    /// Waits until all running nodes have applied the same and hold the same audit log; returns its size and root.
    pub(crate) async fn converge(&self) -> (u64, [u8; 32]) {
        let audit = |id: &u64| {
            self.replica(*id)
                .with_state(|state| (state.audit().size(), state.audit().root()))
        };
        let first = *self.nodes.keys().next().unwrap();
        self.replica(first).read_index(soon()).await.unwrap();
        let target = self.replica(first).status().applied;
        self.eventually("equal audit logs", |cluster| {
            let are_level = cluster
                .nodes
                .values()
                .all(|node| node.replica.status().applied >= target);
            (are_level && cluster.nodes.keys().all(|id| audit(id) == audit(&first))).then_some(())
        })
        .await;
        audit(&first)
    }
}

pub(crate) async fn propose(replica: &Replica, command: Command) -> Result<Outcome, ProposeError> {
    let deadline = soon();
    loop {
        match replica.propose(&command, deadline).await {
            Err(ProposeError::Unknown { .. }) if Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            answer => return answer,
        }
    }
}

pub(crate) fn form() -> Command {
    let admins = vec![PrincipalName::new("admin").unwrap()];
    Command {
        node: NodeId(1),
        time: TimeMs(1),
        body: Body::Form {
            cluster: CLUSTER,
            admins,
        },
    }
}

/// A write that leaves one audit record, however often it is proposed.
pub(crate) fn grant(number: u64) -> Command {
    let mut request = [0; 16];
    request[8..].copy_from_slice(&number.to_be_bytes());
    let change = Change::Grant(Grant {
        principal: PrincipalName::new(&format!("user-{number}")).unwrap(),
        scope: Scope::All,
        role: Role::User,
    });
    let write = Write {
        request: RequestId(request),
        attempt: 0,
        actor: Actor::Principal(PrincipalName::new("admin").unwrap()),
        source: "127.0.0.1:1".into(),
        change,
    };
    Command {
        node: NodeId(1),
        time: TimeMs(2),
        body: Body::Write(write),
    }
}

pub(crate) fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Written(Ok(_)))
}

/// Whether a node has the grant of that number.
pub(crate) fn has_grant(replica: &Replica, number: u64) -> bool {
    let name = PrincipalName::new(&format!("user-{number}")).unwrap();
    replica.with_state(|state| state.access().grants().any(|grant| grant.principal == name))
}
