//! Replicas that replicate: three nodes in one process.

use crate::support::{CLUSTER, Cluster, form, grant, has_grant, is_done, soon};
use conclave_core::{AuditSequence, Body, Command, NodeId, Outcome, Revision, TimeMs};
use conclave_env::StoreError;
use conclave_raft::{ProposeError, RaftError, Replica, Role};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn any_node_proposes_and_all_agree() {
    let cluster = Cluster::start(3).await;
    let mut number = 0;
    for id in 1..=3 {
        for _ in 0..20 {
            number += 1;
            let outcome = cluster.propose(id, grant(number)).await.unwrap();
            assert!(is_done(&outcome), "{outcome:?}");
        }
    }
    let (size, _) = cluster.converge().await;
    // The form and its grant of admin leave one record, each grant another.
    let records = cluster
        .replica(2)
        .audit_records(AuditSequence(0), 1000)
        .unwrap();
    assert_eq!(records.len() as u64, size);
    assert_eq!(records.first().unwrap().0, AuditSequence(0));
    assert_eq!(
        records,
        cluster
            .replica(3)
            .audit_records(AuditSequence(0), 1000)
            .unwrap()
    );
    assert_eq!(
        cluster
            .replica(1)
            .audit_records(AuditSequence(5), 3)
            .unwrap(),
        records[5..8]
    );
    // The same request again is remembered, and leaves no second record.
    assert!(is_done(&cluster.propose(2, grant(1)).await.unwrap()));
    assert_eq!(cluster.converge().await.0, size);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_proposals_share_one_stream() {
    let cluster = Cluster::start(3).await;
    let follower = cluster.followers().await[0];
    let replica = cluster.replica(follower);
    let answers =
        futures::future::join_all((1..=3000).map(|n| crate::support::propose(replica, grant(n))));
    for answer in answers.await {
        assert!(is_done(&answer.unwrap()));
    }
    assert!(
        cluster.wires.connections(NodeId(follower)) <= 2,
        "one connection a peer"
    );
    cluster.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_on_a_follower_sees_what_was_acknowledged() {
    let cluster = Cluster::start(3).await;
    let followers = cluster.followers().await;
    for number in 1..=200 {
        cluster.propose(followers[0], grant(number)).await.unwrap();
        let reader = cluster.replica(followers[1]);
        reader.read_index(soon()).await.unwrap();
        assert!(has_grant(reader, number), "a stale read of {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_when_the_leader_dies_and_it_catches_up() {
    let mut cluster = Cluster::start(3).await;
    let mut number = 0;
    for _ in 0..3 {
        let leader = cluster.leader().await;
        number += 1;
        cluster.propose(leader, grant(number)).await.unwrap();
        cluster.kill(leader).await;
        let survivor = *cluster.nodes.keys().next().unwrap();
        let start = Instant::now();
        number += 1;
        assert!(is_done(
            &cluster.propose(survivor, grant(number)).await.unwrap()
        ));
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "took {:?}",
            start.elapsed()
        );
        cluster.run(leader).await;
        cluster.converge().await;
        let missing = (1..=number).find(|n| !has_grant(cluster.replica(leader), *n));
        assert_eq!(missing, None, "acknowledged, and lost by node {leader}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_failure_of_all_loses_nothing_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    for round in 0..4 {
        for number in round * 50..(round + 1) * 50 {
            cluster
                .propose(1 + number % 3, grant(number))
                .await
                .unwrap();
        }
        for id in 1..=3 {
            cluster.kill(id).await;
        }
        cluster.run_all().await;
        let (size, _) = cluster.converge().await;
        assert_eq!(size, 1 + (round + 1) * 50);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lags_far_is_sent_a_snapshot() {
    let mut cluster = Cluster::prepare(3).await;
    (cluster.snapshot_every, cluster.keep) = (100, 10);
    cluster.run_all().await;
    cluster.propose(1, form()).await.unwrap();
    let lagging = cluster.followers().await[0];
    for round in 0..3 {
        cluster.kill(lagging).await;
        let proposer = *cluster.nodes.keys().next().unwrap();
        for number in 0..350 {
            cluster
                .propose(proposer, grant(round * 350 + number))
                .await
                .unwrap();
        }
        let behind = cluster.replica(proposer).status().last_log;
        // Whoever still has the entries sends those. (A leader may keep what it was sending to a node that died.)
        for id in cluster.nodes.keys() {
            let purged = async || cluster.replica(*id).erase(Revision(behind)).await.is_ok();
            let deadline = soon();
            while !purged().await {
                assert!(
                    Instant::now() < deadline,
                    "node {id} does not purge its log"
                );
            }
        }
        cluster.run(lagging).await;
        let (size, root) = cluster.converge().await;
        assert_eq!(size, 1 + (round + 1) * 350);
        cluster
            .eventually("the snapshot that arrived", |cluster| {
                let status = cluster.replica(lagging).status();
                (status.snapshot + 200 > behind).then_some(())
            })
            .await;
        let records = cluster
            .replica(lagging)
            .audit_records(AuditSequence(0), 10_000)
            .unwrap();
        assert_eq!(
            records,
            cluster
                .replica(proposer)
                .audit_records(AuditSequence(0), 10_000)
                .unwrap()
        );
        // What was installed outlives the node.
        cluster.kill(lagging).await;
        cluster.run(lagging).await;
        assert_eq!(cluster.converge().await, (size, root));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_leadership_and_the_node_comes_back_in_the_same_process() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, grant(1)).await.unwrap();
    let full = StoreError::NoSpace {
        path: "memory".into(),
    };
    cluster.disks[&leader].fail_writes(Some(full));
    let answer = cluster.replica(leader).propose(&grant(2), soon()).await;
    let Err(ProposeError::Stopped { fault }) = answer else {
        panic!("{answer:?}")
    };
    assert!(fault.contains("no space left"), "{fault}");
    let status = cluster.replica(leader).status();
    assert_eq!((status.role, status.leader), (Role::Stopped, None));
    assert_eq!(status.fault.as_deref(), Some(fault.as_str()));
    let others: Vec<u64> = cluster
        .nodes
        .keys()
        .copied()
        .filter(|id| *id != leader)
        .collect();
    let start = Instant::now();
    assert!(is_done(
        &cluster.propose(others[0], grant(3)).await.unwrap()
    ));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "took {:?}",
        start.elapsed()
    );
    assert!(cluster.replica(leader).read_index(soon()).await.is_err());
    cluster.stop(leader).await;
    // As long as the disk is full it does not start, and does not panic.
    let (env, config) = (cluster.env(leader), cluster.config(leader));
    let refused = Replica::start(&env, config).await;
    assert!(matches!(
        refused,
        Err(RaftError::Storage(StoreError::NoSpace { .. }))
    ));
    cluster.disks[&leader].fail_writes(None);
    cluster.run(leader).await;
    cluster.converge().await;
    assert!(has_grant(cluster.replica(leader), 3));
    assert!(is_done(&cluster.propose(leader, grant(4)).await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_hands_over_leadership_and_closes_the_databases() {
    let mut cluster = Cluster::start(3).await;
    for number in 1..=5 {
        let leader = cluster.leader().await;
        cluster.propose(leader, grant(number)).await.unwrap();
        cluster.stop(leader).await;
        // The same databases in the same process: fails with `InUse` if anything still holds them.
        cluster.run(leader).await;
    }
    cluster.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_acknowledged_and_no_read_succeeds() {
    let mut cluster = Cluster::start(3).await;
    let followers = cluster.followers().await;
    let leader = cluster.leader().await;
    for id in &followers {
        cluster.kill(*id).await;
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    let replica = cluster.replica(leader);
    let command = grant(7);
    let (answer, read) = tokio::join!(
        replica.propose(&command, deadline),
        replica.read_index(deadline)
    );
    let is_open = matches!(
        answer,
        Err(ProposeError::Unknown { .. } | ProposeError::NotProposed { .. })
    );
    assert!(is_open, "{answer:?}");
    assert!(read.is_err());
    assert!(!has_grant(replica, 7));
    for id in followers {
        cluster.run(id).await;
    }
    cluster.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_too_long_is_refused_and_a_second_form_is_nothing() {
    let cluster = Cluster::start(3).await;
    let huge = Command {
        node: NodeId(1),
        time: TimeMs(1),
        body: Body::Form {
            cluster: CLUSTER,
            admins: (0..120_000)
                .map(|n| conclave_core::PrincipalName::new(&format!("principal-{n:010}")).unwrap())
                .collect(),
        },
    };
    let refused = cluster.replica(1).propose(&huge, soon()).await;
    assert!(
        matches!(refused, Err(ProposeError::NotProposed { .. })),
        "{refused:?}"
    );
    // A second form is nothing, and says so on every node.
    assert_eq!(cluster.propose(3, form()).await.unwrap(), Outcome::None);
    cluster.converge().await;
}
