//! The promises of [`Network`].

use crate::network::{Audience, Expect, Io, Network, RemoteIdentity};
use conclave_core::NodeId;
use futures::StreamExt;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Three ends of one network, and the addresses on which the node can listen.
pub struct Ends {
    /// Node 1, which listens.
    pub node: Arc<dyn Network>,
    /// Node 2.
    pub other_node: Arc<dyn Network>,
    /// A principal.
    pub client: Arc<dyn Network>,
    /// For nodes.
    pub peers: String,
    /// For principals.
    pub clients: String,
}

/// Runs the suite.
pub async fn network_contract(ends: Ends) {
    let Ends {
        node,
        other_node,
        client,
        peers,
        clients,
    } = ends;
    let refused = other_node
        .connect(&peers, Expect::AnyNode)
        .await
        .err()
        .unwrap();
    assert_eq!(
        refused.kind(),
        io::ErrorKind::ConnectionRefused,
        "{refused}"
    );

    let mut at_peers = node.listen(&peers, Audience::Peers).await.unwrap();
    let mut at_clients = node.listen(&clients, Audience::Clients).await.unwrap();
    let taken = node.listen(&peers, Audience::Peers).await.err().unwrap();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse, "{taken}");

    for expect in [Expect::AnyNode, Expect::Node(NodeId(1))] {
        let near = other_node.connect(&peers, expect).await.unwrap();
        assert_eq!(near.remote().identity, RemoteIdentity::Node(NodeId(1)));
        let far = at_peers.next().await.unwrap().unwrap();
        assert_eq!(far.remote().identity, RemoteIdentity::Node(NodeId(2)));
        talk(near, far).await;
    }
    let near = client.connect(&clients, Expect::AnyNode).await.unwrap();
    let far = at_clients.next().await.unwrap().unwrap();
    assert!(matches!(
        far.remote().identity,
        RemoteIdentity::Principal(_)
    ));
    talk(near, far).await;

    let wrong = other_node
        .connect(&peers, Expect::Node(NodeId(3)))
        .await
        .err()
        .unwrap();
    assert_eq!(wrong.kind(), io::ErrorKind::PermissionDenied, "{wrong}");
    assert_eq!(
        wrong.to_string(),
        format!("{peers} is node 1, expected node 3")
    );

    assert_closed(client.connect(&peers, Expect::AnyNode).await).await;
    assert_closed(other_node.connect(&clients, Expect::AnyNode).await).await;

    drop((at_peers, at_clients));
    tokio::task::yield_now().await;
    let mut gone = other_node.connect(&peers, Expect::AnyNode).await;
    for _ in 0..100 {
        if gone.is_err() {
            return;
        }
        tokio::task::yield_now().await;
        gone = other_node.connect(&peers, Expect::AnyNode).await;
    }
    panic!("the listener outlives its stream");
}

async fn talk(mut near: Io, mut far: Io) {
    let mut buffer = [0; 4];
    near.write_all(b"ping").await.unwrap();
    near.flush().await.unwrap();
    far.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"ping");
    far.write_all(b"pong").await.unwrap();
    far.flush().await.unwrap();
    near.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"pong");
    drop(far);
    assert!(
        matches!(near.read(&mut buffer).await, Ok(0) | Err(_)),
        "closed"
    );
}

/// Neither a connection nor a byte on it.
async fn assert_closed(connected: io::Result<Io>) {
    if let Ok(mut io) = connected {
        assert!(
            matches!(io.read(&mut [0; 1]).await, Ok(0) | Err(_)),
            "let in at the wrong door"
        );
    }
}
