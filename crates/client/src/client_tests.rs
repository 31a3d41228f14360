//! How a client finds its way through failing nodes.

use crate::limits::MESSAGE_BYTES_MAX;
use crate::testing::{HELD_KEY, TestCluster, TestNode};
use crate::{CallFailure, Client, ClientConfig, ClientError, v1};
use futures::future::join_all;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const LONG: Duration = Duration::from_secs(20);

fn status(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "conclave.v1", HashMap::new());
    Status::with_error_details(code, format!("says {reason}"), details)
}

fn sealed() -> Status {
    status(Code::Unavailable, "NODE_SEALED")
}

async fn encrypt(client: &Client) -> Result<v1::EncryptResponse, Box<CallFailure>> {
    encrypt_under(client, "a/b").await
}

async fn encrypt_under(
    client: &Client,
    key: &str,
) -> Result<v1::EncryptResponse, Box<CallFailure>> {
    let request = v1::EncryptRequest {
        key: key.into(),
        plaintext: b"x".to_vec(),
        ..v1::EncryptRequest::default()
    };
    client.encrypt(request).await.map_err(|error| {
        let ClientError::Call(failure) = error else {
            panic!("not by a call: {error}")
        };
        failure
    })
}

fn attempts(node: &TestNode) -> Vec<String> {
    node.seen
        .lock()
        .iter()
        .map(|(_, attempt)| attempt.clone())
        .collect()
}

#[tokio::test]
async fn stays_with_the_node_that_answers() {
    let mut cluster = TestCluster::default();
    let (first, second) = (cluster.serving([]), cluster.serving([]));
    let client = cluster.client(LONG);
    for _ in 0..3 {
        encrypt(&client).await.unwrap();
    }
    assert_eq!(attempts(&first), ["0", "0", "0"]);
    assert!(attempts(&second).is_empty());
    let ids: HashSet<_> = first.seen.lock().iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| id.len() == 16));
}

#[tokio::test]
async fn moves_on_under_the_same_request_id_and_stays_there() {
    let mut cluster = TestCluster::default();
    cluster.closed(io::ErrorKind::ConnectionRefused);
    cluster.frozen();
    let broken = cluster.serving([status(Code::Unavailable, "NO_QUORUM")]);
    let good = cluster.serving([]);
    let client = cluster.client(LONG);
    encrypt(&client).await.unwrap();
    assert_eq!(
        (attempts(&broken), attempts(&good)),
        (vec!["2".into()], vec!["3".into()])
    );
    assert_eq!(broken.seen.lock()[0].0, good.seen.lock()[0].0);
    encrypt(&client).await.unwrap();
    assert_eq!(attempts(&good), ["3", "0"]);
}

#[tokio::test]
async fn keeps_the_request_id_that_it_is_given() {
    let mut cluster = TestCluster::default();
    let node = cluster.serving([status(Code::DeadlineExceeded, "DEADLINE_EXCEEDED")]);
    let client = cluster.client(LONG);
    let request = v1::EncryptRequest {
        request_id: vec![7; 16],
        ..v1::EncryptRequest::default()
    };
    client.encrypt(request).await.unwrap();
    let expected = ["0", "1"].map(|attempt| (vec![7; 16], attempt.to_owned()));
    assert_eq!(*node.seen.lock(), expected);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let mut cluster = TestCluster::default();
    let first = cluster.serving([status(Code::PermissionDenied, "PERMISSION_DENIED")]);
    let second = cluster.serving([]);
    let failure = encrypt(&cluster.client(LONG)).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.attempts),
        (Code::PermissionDenied, 1)
    );
    assert_eq!(failure.reason, "PERMISSION_DENIED");
    assert_eq!(
        (failure.message.as_str(), failure.endpoint.as_str()),
        ("says PERMISSION_DENIED", "node1:1")
    );
    assert!(failure.remedy.contains("whoami"));
    assert_eq!((attempts(&first).len(), attempts(&second).len()), (1, 0));
}

#[tokio::test]
async fn a_sealed_node_sends_us_to_the_next() {
    let mut cluster = TestCluster::default();
    let (first, second) = (cluster.serving([sealed()]), cluster.serving([]));
    encrypt(&cluster.client(LONG)).await.unwrap();
    assert_eq!((attempts(&first).len(), attempts(&second).len()), (1, 1));
}

#[tokio::test]
async fn when_all_are_sealed_it_says_so_at_once() {
    let mut cluster = TestCluster::default();
    let (first, second) = (cluster.serving([sealed()]), cluster.serving([sealed()]));
    let failure = encrypt(&cluster.client(LONG)).await.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.attempts),
        ("NODE_SEALED", 2)
    );
    assert_eq!((attempts(&first).len(), attempts(&second).len()), (1, 1));
}

#[tokio::test]
async fn when_every_handshake_is_refused_it_says_so_at_once() {
    let mut cluster = TestCluster::default();
    cluster.closed(io::ErrorKind::PermissionDenied);
    cluster.closed(io::ErrorKind::PermissionDenied);
    let failure = encrypt(&cluster.client(LONG)).await.unwrap_err();
    assert_eq!(failure.attempts, 2);
    assert!(
        failure
            .message
            .starts_with("node node2:1 cannot be reached: "),
        "{failure}"
    );
}

#[tokio::test]
async fn gives_up_at_the_deadline_whatever_hangs() {
    let mut cluster = TestCluster::default();
    cluster.frozen();
    cluster.closed(io::ErrorKind::ConnectionRefused);
    let client = cluster.client(Duration::from_millis(700));
    let begun = Instant::now();
    let failure = encrypt(&client).await.unwrap_err();
    // Far less than the two seconds and more that a handful of attempts without a deadline would
    // take.
    assert!(
        begun.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        begun.elapsed()
    );
    assert!(failure.attempts >= 2, "{}", failure.attempts);
}

#[tokio::test]
async fn one_node_only_has_the_whole_deadline_and_never_sends_us_on() {
    let mut cluster = TestCluster::default();
    cluster.serving([]);
    cluster.frozen();
    let client = cluster
        .client(Duration::from_millis(500))
        .node("node2:1")
        .unwrap();
    let failure = encrypt(&client).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.attempts),
        (Code::DeadlineExceeded, 1)
    );
    assert_eq!(failure.endpoint, "node2:1");
}

#[tokio::test]
async fn comes_back_when_the_cluster_does() {
    let mut cluster = TestCluster::default();
    let lost = || status(Code::Unavailable, "NO_QUORUM");
    let first = cluster.serving([lost(), lost()]);
    let second = cluster.serving([lost(), lost()]);
    encrypt(&cluster.client(LONG)).await.unwrap();
    assert_eq!(attempts(&first), ["0", "2", "4"]);
    assert_eq!(attempts(&second), ["1", "3"]);
}

fn sessions(node: &TestNode) -> usize {
    node.sessions.load(Ordering::Relaxed)
}

#[tokio::test]
async fn uses_share_a_stream_and_each_gets_its_own_answer() {
    let mut cluster = TestCluster::default();
    let node = cluster.serving([]);
    let client = cluster.client(LONG);
    let keys: Vec<_> = (0..100).map(|number| format!("a/{number}")).collect();
    let answers = join_all(keys.iter().map(|key| encrypt_under(&client, key))).await;
    for (key, answer) in keys.iter().zip(answers) {
        assert_eq!(answer.unwrap().key, *key);
    }
    assert_eq!((sessions(&node), attempts(&node).len()), (1, 100));
}

#[tokio::test]
async fn uses_take_the_connections_in_turn() {
    let mut cluster = TestCluster::default();
    let node = cluster.serving([]);
    let client = cluster.client_as(LONG, |config| config.with_connections(3));
    for _ in 0..9 {
        encrypt(&client).await.unwrap();
    }
    assert_eq!(sessions(&node), 3);
}

#[tokio::test]
async fn a_use_that_takes_long_holds_up_no_other() {
    let mut cluster = TestCluster::default();
    let node = cluster.serving([]);
    let client = cluster.client_as(LONG, |config| ClientConfig {
        attempt: LONG,
        ..config
    });
    let held = encrypt_under(&client, HELD_KEY);
    let others = async {
        for _ in 0..10 {
            encrypt(&client).await.unwrap();
        }
        node.release.notify_one();
    };
    let (held, ()) = tokio::join!(held, others);
    assert_eq!(held.unwrap().key, HELD_KEY);
    assert_eq!(sessions(&node), 1);
}

#[tokio::test]
async fn a_use_that_fails_does_not_end_the_stream() {
    let mut cluster = TestCluster::default();
    let node = cluster.serving([status(Code::PermissionDenied, "PERMISSION_DENIED")]);
    let client = cluster.client(LONG);
    let failure = encrypt(&client).await.unwrap_err();
    assert_eq!(failure.reason, "PERMISSION_DENIED");
    encrypt(&client).await.unwrap();
    assert_eq!(sessions(&node), 1);
}

#[tokio::test]
async fn what_a_broken_stream_left_unanswered_is_repeated_under_the_same_id() {
    let mut cluster = TestCluster::default();
    let node = cluster.serving([]);
    node.cuts.store(2, Ordering::Relaxed);
    let client = cluster.client(LONG);
    let answers = join_all((0..20).map(|_| encrypt(&client))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(sessions(&node), 3);
    // Two were read by the node and not answered, so it saw them twice.
    let seen = node.seen.lock();
    let ids: HashSet<_> = seen.iter().map(|(id, _)| id).collect();
    assert_eq!((ids.len(), seen.len()), (20, 22));
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_here_and_breaks_nothing() {
    let mut cluster = TestCluster::default();
    let node = cluster.serving([]);
    let client = cluster.client(LONG);
    let long = v1::EncryptRequest {
        plaintext: vec![0; MESSAGE_BYTES_MAX],
        ..v1::EncryptRequest::default()
    };
    let failure = client.encrypt(long).await.unwrap_err();
    assert_eq!(failure.code(), Some(Code::OutOfRange), "{failure}");
    encrypt(&client).await.unwrap();
    assert_eq!((sessions(&node), attempts(&node).len()), (1, 1));
}

#[tokio::test]
async fn single_calls_are_made_if_asked_for() {
    let mut cluster = TestCluster::default();
    let first = cluster.serving([status(Code::Unavailable, "NO_QUORUM")]);
    let second = cluster.serving([]);
    let client = cluster.client_as(LONG, ClientConfig::with_single_calls);
    encrypt(&client).await.unwrap();
    assert_eq!((sessions(&first), sessions(&second)), (0, 0));
    assert_eq!(
        (attempts(&first), attempts(&second)),
        (vec!["0".into()], vec!["1".into()])
    );
    assert_eq!(first.seen.lock()[0].0, second.seen.lock()[0].0);
}

#[tokio::test]
async fn connections_are_one_to_many() {
    for count in [0, 65] {
        let mut cluster = TestCluster::default();
        cluster.serving([]);
        let config = cluster.config().with_connections(count);
        let error = Client::connect(config).err().unwrap();
        assert!(matches!(error, ClientError::ConnectionCount { actual } if actual == count));
    }
}
