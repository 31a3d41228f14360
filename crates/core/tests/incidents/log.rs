//! Uses, batches and the audit log.

use crate::cluster::{
    Cluster, batch, create, custody, grant, key, ring, transition, use_record, who,
};
use conclave_core::{
    AuditOutcome, Change, CustodyEvent, Direction, Operation, Outcome, Revision, Role, State,
    Transition, UseRecord, Verdict, VersionNumber, limits,
};
use prost::Message as _;

/// A result is released only for a record in the log: two batches of one id must not share
/// verdicts, as when a node starts twice with the same clock.
#[test]
fn result_without_its_audit_record() {
    let mut cluster = Cluster::new();
    let one = use_record(&cluster.state, "one");
    let two = use_record(&cluster.state, "two");
    let first = cluster.apply(batch(5, 0, vec![one.clone()]));
    assert!(matches!(&first, Outcome::Verdicts(it) if it.len() == 1));
    let size = cluster.state.audit().size();
    assert_eq!(cluster.apply(batch(5, 0, vec![one.clone()])), first);
    assert_eq!(cluster.apply(batch(5, 0, vec![two])), Outcome::BatchRefused);
    assert_eq!(cluster.state.audit().size(), size);
    // A clock set back between two starts of a node does not stop its uses.
    for sequence in 1..=limits::BATCHES_PER_NODE_MAX as u64 {
        cluster.apply(batch(5, sequence, vec![one.clone()]));
    }
    assert_eq!(
        cluster.apply(batch(5, 0, vec![one.clone()])),
        Outcome::BatchRefused
    );
    let restarted = cluster.apply(batch(4, 0, vec![one.clone()]));
    assert!(matches!(restarted, Outcome::Verdicts(_)));
    assert_eq!(cluster.apply(batch(4, 0, vec![one.clone()])), restarted);
    assert_eq!(
        cluster.apply(batch(5, 999, vec![one])),
        Outcome::BatchRefused,
        "a dead process"
    );
}

/// Text that a caller chooses never makes a record large.
#[test]
fn audit_log_flooded_by_text() {
    let mut cluster = Cluster::new();
    let long = "x".repeat(limits::TEXT_BYTES_MAX + 1);
    let sealed = CustodyEvent::Sealed {
        reason: long.clone(),
    };
    let refused = CustodyEvent::ShareRefused {
        custodian: None,
        reason: long.clone(),
    };
    for event in [sealed, refused] {
        for by in ["root", "nobody"] {
            let answer = cluster.write(by, Change::Custody(event.clone()));
            assert_eq!(answer.expect_err("too long").reason(), "MALFORMED");
        }
    }
    let record = use_record(&cluster.state, &long);
    assert_eq!(
        cluster.apply(batch(1, 0, vec![record])),
        Outcome::BatchRefused
    );
    let many = vec![use_record(&cluster.state, ""); limits::RECORDS_PER_BATCH_MAX + 1];
    assert_eq!(cluster.apply(batch(1, 0, many)), Outcome::BatchRefused);
    let mut large = custody();
    large.custodians[0].recipient = "r".repeat(limits::RECIPIENT_BYTES_MAX + 1);
    let answer = cluster.write("root", Change::InitCustody(Box::new(large)));
    assert_eq!(answer.expect_err("too long").reason(), "MALFORMED");
    assert!(
        cluster
            .leaves()
            .iter()
            .all(|leaf| leaf.encoded_len() < 1_024)
    );
}

/// State that changes between decision and log: the record does not count.
#[test]
fn check_then_use() {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", create("a/k", 1, None));
    cluster.must("root", Change::Grant(grant("ann", &ring("a"), Role::User)));
    let decide = |cluster: &Cluster| {
        let permit = cluster.state.decide_use(
            &who("ann"),
            Operation::Encrypt,
            Direction::Protect,
            &key("a/k"),
            None,
        );
        let used_key = permit.expect("ann may").used_key();
        UseRecord {
            key: Some(used_key),
            ..use_record(&cluster.state, "")
        }
    };
    let revoke = Change::Revoke(grant("ann", &ring("a"), Role::User));
    let unrelated = Change::Grant(grant("bob", &ring("b"), Role::User));
    let version = Change::Transition {
        name: key("a/k"),
        version: Some(VersionNumber(1)),
        transition: Transition::Deactivate,
    };
    for change in [
        transition("a/k", Transition::Suspend),
        revoke,
        unrelated,
        version,
    ] {
        let mut cluster = cluster.clone();
        let record = decide(&cluster);
        cluster.must("root", change);
        let size = cluster.state.audit().size();
        let outcome = cluster.apply(batch(1, 0, vec![record]));
        assert_eq!(outcome, Outcome::Verdicts(vec![Verdict::Retry]));
        assert_eq!(cluster.state.audit().size(), size);
    }
    let record = decide(&cluster);
    let outcome = cluster.apply(batch(1, 0, vec![record.clone()]));
    assert!(matches!(&outcome, Outcome::Verdicts(it) if it[0] != Verdict::Retry));
    // A refusal that a lagging node decided before the key existed does not count either.
    let mut record = record;
    if let Some(used) = &mut record.key {
        *used = State::new().refused_key(&used.name, None);
        assert_eq!(used.revision, Revision(0));
    }
    let outcome = cluster.apply(batch(1, 1, vec![record]));
    assert_eq!(outcome, Outcome::Verdicts(vec![Verdict::Retry]));
}

/// The record of a write says what the decision read, not what came of it, and of no key that is
/// not.
#[test]
fn audit_record_of_a_write() {
    let mut cluster = Cluster::with_custody();
    let formed = cluster.state.access().revision();
    cluster.leaves();
    cluster.must("root", Change::Grant(grant("ann", &ring("a"), Role::User)));
    let leaf = cluster.leaves().remove(0);
    assert_eq!(leaf.access_revision, formed.0);
    cluster.must("root", create("a/k", 1, None));
    cluster
        .write("root", create("a/k", 2, None))
        .expect_err("it is taken");
    let leaves = cluster.leaves();
    let ids: Vec<_> = leaves.iter().map(|leaf| leaf.key_id.clone()).collect();
    assert_eq!(ids, [vec![1; 16], vec![1; 16]]);
    assert_eq!(leaves[1].outcome(), AuditOutcome::Failed);
}
