//! The ceremony may be held again until it counts: nothing of an earlier one may outlive it.

use crate::cluster::{Cluster, create, custody, key, transition};
use conclave_core::{
    AttemptId, Change, CustodianName, Custody, CustodyEvent, Refusal, SetId, TimeMs, Transition,
    Written,
};

const SECOND: SetId = SetId([3; 16]);

fn ceremony(set: SetId) -> Change {
    Change::InitCustody(Box::new(Custody { set, ..custody() }))
}

fn create_under(set: SetId, name: &str, id: u8) -> Change {
    let Change::CreateKey {
        spec, id, material, ..
    } = create(name, id, None)
    else {
        unreachable!("create creates")
    };
    Change::CreateKey {
        spec,
        id,
        set,
        material,
    }
}

/// Material that was wrapped under a root key which another ceremony replaced could never be
/// unwrapped.
#[test]
fn key_under_a_replaced_root_key() {
    let first = custody().set;
    let mut cluster = Cluster::new();
    let early = cluster.write("root", create_under(first, "a/k", 1));
    assert_eq!(early, Err(Refusal::NoCustody));
    cluster.must("root", ceremony(first));
    cluster.must("root", ceremony(SECOND));
    let size = cluster.state.audit().size();
    let late = cluster.ask(77, "root", create_under(first, "a/k", 1));
    assert_eq!(late, Err(Refusal::Conflict));
    assert!(cluster.state.key(&key("a/k")).is_none());
    assert_eq!(cluster.state.audit().size(), size, "it is proposed again");
    let again = cluster.ask(77, "root", create_under(SECOND, "a/k", 2));
    let again = again.expect("the same request with other material");
    // A retry of what was carried out asks for the same, whatever the root key.
    let retried = cluster.ask(77, "root", create_under(first, "a/k", 3));
    assert_eq!(retried, Ok(again));
    assert_eq!(
        cluster.write("root", ceremony(first)),
        Err(Refusal::CustodySettled)
    );
}

/// What is wrong with the request itself is said first.
#[test]
fn key_under_a_replaced_root_key_is_judged_last() {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", create("a/k", 1, None));
    let denied = cluster.write("nobody", create_under(SECOND, "a/k", 2));
    assert!(matches!(denied, Err(Refusal::PermissionDenied(_))));
    let mut malformed = create_under(SECOND, "a/k", 2);
    if let Change::CreateKey { spec, .. } = &mut malformed {
        spec.activate_at = Some(TimeMs(9_000));
    }
    let malformed = cluster.write("root", malformed);
    assert!(matches!(malformed, Err(Refusal::Malformed(_))));
    let taken = cluster.write("root", create_under(SECOND, "a/k", 2));
    assert_eq!(taken, Err(Refusal::KeyExists(key("a/k"))));
    // Even an id in use is no matter while there is no root key to wrap anything.
    let early = Cluster::new().write("root", create("a/other", 1, None));
    assert_eq!(early, Err(Refusal::NoCustody));
}

/// The shares of the first answer are lost with it: a repeated ceremony counts, or is refused. So a node must not propose
/// one again by itself: it would be recorded twice.
#[test]
fn ceremony_repeated_under_one_request() {
    let mut cluster = Cluster::new();
    assert!(!ceremony(SECOND).is_remembered());
    let denied = cluster.ask(7, "ann", ceremony(SECOND));
    assert!(matches!(denied, Err(Refusal::PermissionDenied(_))));
    for set in [custody().set, SECOND] {
        assert_eq!(cluster.ask(7, "root", ceremony(set)), Ok(Written::Done));
        assert_eq!(cluster.state.custody().map(|it| it.set), Some(set));
    }
    let unsealed = Change::Custody(CustodyEvent::Unsealed {
        set: SECOND,
        attempt: AttemptId([9; 16]),
    });
    cluster.must("root", unsealed);
    let settled = Err(Refusal::CustodySettled);
    assert_eq!(cluster.ask(7, "root", ceremony(SECOND)), settled);
    assert_eq!(cluster.state.custody().map(|it| it.set), Some(SECOND));
    // The id of another request is still refused.
    let other = transition("a/k", Transition::Suspend);
    cluster.ask(8, "root", other).expect_err("there is no key");
    let reused = cluster.ask(8, "root", ceremony(SECOND));
    assert_eq!(reused, Err(Refusal::RequestReused));
}

/// Only the current custodians' shares count.
#[test]
fn share_of_a_stranger() {
    let mut cluster = Cluster::with_custody();
    for (name, set, expected) in [
        ("dora", custody().set, Ok(Written::Done)),
        ("emil", custody().set, Ok(Written::Done)),
        ("dora", SECOND, Err(Refusal::StaleSet)),
        ("fay", custody().set, Err(Refusal::StaleSet)),
        ("root", custody().set, Err(Refusal::StaleSet)),
    ] {
        let custodian = CustodianName::new(name).expect("a good name");
        let event = CustodyEvent::ShareAccepted {
            custodian,
            set,
            attempt: AttemptId([9; 16]),
        };
        let answer = cluster.write("root", Change::Custody(event));
        assert_eq!(answer, expected, "{name}, {set}");
    }
}
