//! Who may call the peer port, and for what.

use crate::support::{CLUSTER, Cluster};
use conclave_core::NodeId;
use conclave_env::{Batch, Database, Expect, Io, Network, Remote, RemoteIdentity, Storage as _};
use conclave_proto::peer::v1::peer_service_client::PeerServiceClient;
use conclave_proto::peer::v1::propose_reply::Result as Reply;
use conclave_proto::peer::v1::{Frame, Kind, ProposeRequest, ReadIndexRequest, SnapshotChunk};
use conclave_raft::inspect::META_TABLE;
use conclave_raft::{RaftError, Replica};
use futures::StreamExt;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

async fn client(cluster: &Cluster, as_node: u64, to: u64) -> PeerServiceClient<Channel> {
    let network = Arc::new(cluster.wires.of(NodeId(as_node)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let network = Arc::clone(&network);
        async move {
            network
                .connect(&format!("node-{to}:1"), Expect::AnyNode)
                .await
                .map(TokioIo::new)
        }
    });
    let channel = Endpoint::from_static("http://peer")
        .connect_with_connector(connector)
        .await;
    PeerServiceClient::new(channel.unwrap())
}

fn frame() -> Frame {
    Frame {
        format: 1,
        cluster_id: CLUSTER.as_bytes().to_vec().into(),
        target: 1,
        source: 2,
        kind: Kind::Vote.into(),
        payload: Vec::new().into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_for_or_from_somebody_else_are_refused() {
    let cluster = Cluster::start(3).await;
    let mut peer = client(&cluster, 2, 1).await;
    let cases = [
        (
            Frame {
                target: 3,
                ..frame()
            },
            Code::FailedPrecondition,
        ),
        (
            Frame {
                cluster_id: vec![0; 16].into(),
                ..frame()
            },
            Code::FailedPrecondition,
        ),
        (
            Frame {
                source: 3,
                ..frame()
            },
            Code::PermissionDenied,
        ),
        (
            Frame {
                format: 9,
                ..frame()
            },
            Code::InvalidArgument,
        ),
        (
            Frame {
                payload: vec![0xff; 64].into(),
                ..frame()
            },
            Code::InvalidArgument,
        ),
        (
            Frame {
                kind: 77,
                ..frame()
            },
            Code::InvalidArgument,
        ),
        (
            Frame {
                kind: Kind::InstallSnapshot.into(),
                ..frame()
            },
            Code::InvalidArgument,
        ),
    ];
    for (frame, code) in cases {
        let refused = peer.call(frame.clone()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{frame:?}: {refused:?}");
    }
    let headless = futures::stream::iter([SnapshotChunk::default()]);
    let refused = peer.install_snapshot(headless).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let astray = ReadIndexRequest {
        cluster_id: CLUSTER.as_bytes().to_vec().into(),
        target: 2,
    };
    assert_eq!(
        peer.read_index(astray).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    // Nothing of that disturbed anybody.
    cluster.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_stopped_replicas() {
    let mut cluster = Cluster::start(3).await;
    let mut stranger = client(&cluster, 99, 1).await;
    let refused = stranger
        .call(Frame {
            source: 99,
            ..frame()
        })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    // A peer port that forgot to say who calls is no way in.
    let service = cluster.replica(1).peer_service();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let principal = conclave_core::PrincipalName::new("admin").unwrap();
    let remote = Remote {
        identity: RemoteIdentity::Principal(principal),
        address: "memory".into(),
    };
    let incoming = futures::stream::iter([Ok::<_, std::io::Error>(Io::new(theirs, remote))]);
    let server = tonic::transport::Server::builder().add_service(service);
    let server =
        tokio::spawn(server.serve_with_incoming(incoming.chain(futures::stream::pending())));
    let mut ours = Some(ours);
    let connector = tower::service_fn(move |_: http::Uri| {
        let io = ours
            .take()
            .map(TokioIo::new)
            .ok_or(std::io::ErrorKind::ConnectionRefused);
        async move { io.map_err(std::io::Error::from) }
    });
    let channel = Endpoint::from_static("http://peer")
        .connect_with_connector(connector)
        .await;
    let refused = PeerServiceClient::new(channel.unwrap())
        .call(frame())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    server.abort();
    // Who has stopped answers nobody.
    let mut peer = client(&cluster, 2, 1).await;
    cluster.replica(1).shutdown(Duration::from_secs(3)).await;
    assert_eq!(
        peer.call(frame()).await.unwrap_err().code(),
        Code::Unavailable
    );
    cluster.stop(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_to_the_wrong_node_is_certainly_not_proposed() {
    let cluster = Cluster::start(3).await;
    let follower = cluster.followers().await[0];
    let other = *cluster.nodes.keys().find(|id| **id != follower).unwrap();
    let mut peer = client(&cluster, other, follower).await;
    let request = |id, target| ProposeRequest {
        id,
        cluster_id: CLUSTER.as_bytes().to_vec().into(),
        target,
        command: crate::support::grant(1).encode().into(),
        deadline_ms: 5000,
    };
    let requests = [request(1, follower), request(2, other)];
    let requests = futures::stream::iter(requests).chain(futures::stream::pending());
    let mut replies = peer.propose(requests).await.unwrap().into_inner();
    for _ in 0..2 {
        let reply = replies.message().await.unwrap().unwrap();
        assert!(
            matches!(reply.result, Some(Reply::NotLeader(_))),
            "{reply:?}"
        );
    }
    cluster.converge().await;
    assert!(!crate::support::has_grant(cluster.replica(follower), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_formatted_data_directory_is_a_nodes() {
    let cluster = Cluster::prepare(3).await;
    let other = conclave_core::ClusterId([1; 16]);
    let disk = &cluster.disks[&1];
    let again = conclave_raft::format(disk, other, NodeId(1)).await;
    assert!(
        matches!(again, Err(RaftError::AlreadyFormatted { .. })),
        "{again:?}"
    );
    let identity = conclave_raft::identity(disk).unwrap().unwrap();
    assert_eq!((identity.cluster, identity.node), (CLUSTER, NodeId(1)));
    let env = cluster.env(1);
    let foreign = Replica::start(&env, cluster.config(2)).await;
    assert!(matches!(foreign, Err(RaftError::Foreign { .. })));
    let config = conclave_raft::ReplicaConfig {
        cluster: other,
        ..cluster.config(1)
    };
    assert!(matches!(
        Replica::start(&env, config).await,
        Err(RaftError::Foreign { .. })
    ));
    let blank = conclave_env::Env {
        storage: Arc::new(conclave_env::mem::MemStorage::new()),
        ..cluster.env(1)
    };
    let Err(error) = Replica::start(&blank, cluster.config(1)).await else {
        panic!("it started")
    };
    assert!(matches!(error, RaftError::NotFormatted { .. }));
    assert!(error.to_string().contains("conclaved format"));
}

/// A process may end between a write and its sync: whoever starts it again reads what a power failure would take.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_finds_in_the_log_is_durable_before_anybody_hears_of_it() {
    let cluster = Cluster::prepare(3).await;
    let disk = &cluster.disks[&2];
    let (database, meta) = META_TABLE;
    let store = disk.open(Database {
        name: database,
        tables: &["entries", "meta"],
    });
    let mut batch = Batch::new();
    batch.put("meta", *b"~", *b"not synced");
    store.unwrap().write(batch).unwrap();
    assert_eq!(disk.durable_row(database, meta, b"~"), None);
    let replica = Replica::start(&cluster.env(2), cluster.config(2)).await;
    assert!(disk.durable_row(database, meta, b"~").is_some());
    drop(replica);
}

/// In the log such a command would stop every node of this version.
#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_that_cannot_be_read_does_not_enter_the_log() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let mut peer = client(&cluster, if leader == 1 { 2 } else { 1 }, leader).await;
    let before = cluster.replica(leader).status().last_log;
    let proposal = |id, command: &'static [u8]| ProposeRequest {
        id,
        cluster_id: CLUSTER.as_bytes().to_vec().into(),
        target: leader,
        command: command.into(),
        deadline_ms: 1_000,
    };
    let proposals = [
        proposal(1, &[2, 0, 0]),
        proposal(2, b""),
        proposal(3, &[1, 255, 255]),
    ];
    let mut replies = peer
        .propose(futures::stream::iter(proposals))
        .await
        .unwrap()
        .into_inner();
    for _ in 0..3 {
        let reply = replies.next().await.unwrap().unwrap();
        assert!(
            matches!(reply.result, Some(Reply::NotLeader(_))),
            "{reply:?}"
        );
    }
    assert_eq!(cluster.replica(leader).status().last_log, before);
}
