//! What ends or begins at a time.

use crate::cluster::{Cluster, create, key, set_rotation, transition, wrapped};
use conclave_core::{
    Actor, Body, Change, KeyId, KeyState, Outcome, Refusal, RequestId, TimeMs, Transition,
    VersionNumber, Write, limits,
};

#[test]
fn near_expiry_request_memory() {
    let memory = limits::REQUEST_MEMORY_MS;
    for (later, remembered) in [
        (0, true),
        (memory - 1, true),
        (memory, false),
        (memory + 1, false),
    ] {
        for tick in [false, true] {
            let mut cluster = Cluster::with_custody();
            let first = cluster
                .ask(7, "root", create("a/k", 1, None))
                .expect("it is allowed");
            cluster.must("root", transition("a/k", Transition::Suspend));
            cluster.time += later;
            assert_eq!(cluster.state.is_due(TimeMs(cluster.time)), !remembered);
            if tick {
                cluster.apply(Body::Tick);
                assert!(!cluster.state.is_due(TimeMs(cluster.time)));
            }
            let again = cluster.ask(7, "root", create("a/k", 2, None));
            let what = format!("{later} ms later, tick: {tick}");
            match again {
                Ok(answer) => assert!(remembered && answer == first, "{what}"),
                Err(refusal) => {
                    assert!(!remembered, "{what}");
                    assert_eq!(refusal, Refusal::KeyExists(key("a/k")), "{what}");
                }
            }
            assert_eq!(cluster.key_state("a/k"), KeyState::Suspended);
        }
    }
}

/// A clock that is set back makes nothing young again.
#[test]
fn near_expiry_with_a_clock_set_back() {
    let mut cluster = Cluster::with_custody();
    let at = cluster.time + limits::REQUEST_MEMORY_MS;
    cluster.must("root", create("a/k", 1, Some(at)));
    cluster
        .ask(7, "root", transition("a/k", Transition::Suspend))
        .expect_err("PRE_ACTIVE");
    cluster.time = at;
    cluster.must("root", create("a/other", 2, None));
    cluster.time = 5;
    assert_eq!(cluster.state.time(), TimeMs(at));
    cluster.apply(Body::Tick);
    assert_eq!(cluster.state.time(), TimeMs(at));
    assert_eq!(cluster.key_state("a/k"), KeyState::Active);
    assert!(
        cluster
            .ask(7, "root", transition("a/k", Transition::Suspend))
            .is_ok(),
        "forgotten"
    );
    let times: Vec<u64> = cluster.leaves().iter().map(|leaf| leaf.time_ms).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn near_expiry_activation() {
    for (offset, active) in [(-1_i64, false), (0, true), (1, true)] {
        let mut cluster = Cluster::with_custody();
        let at = cluster.time + 500;
        cluster.must("root", create("a/k", 1, Some(at)));
        cluster.time = at.saturating_add_signed(offset);
        assert_eq!(
            cluster.state.is_due(TimeMs(cluster.time)),
            active,
            "{offset}"
        );
        cluster.apply(Body::Tick);
        let expected = if active {
            KeyState::Active
        } else {
            KeyState::PreActive
        };
        assert_eq!(cluster.key_state("a/k"), expected, "{offset}");
        let last = cluster.leaves().pop().expect("there are records");
        if active {
            let said = (
                last.operation.as_str(),
                last.key.as_str(),
                last.detail.as_str(),
            );
            assert_eq!(said, ("ActivateKey", "a/k", "PRE_ACTIVE -> ACTIVE"));
            assert_eq!((last.key_id.len(), last.key_revision), (16, 3));
        }
        assert!(
            !cluster.state.is_due(TimeMs(cluster.time)),
            "a tick leaves nothing due"
        );
    }
    // A date that has passed counts no more once the key was activated by hand.
    let mut cluster = Cluster::with_custody();
    cluster.must("root", create("a/k", 1, Some(2_000)));
    cluster.must("root", transition("a/k", Transition::Activate));
    cluster.must("root", transition("a/k", Transition::Suspend));
    assert!(!cluster.state.is_due(TimeMs(9_000)));
    cluster.time = 9_000;
    cluster.apply(Body::Tick);
    assert_eq!(cluster.key_state("a/k"), KeyState::Suspended);
}

/// What a node proposes when a key's time has come.
fn rotation(name: &str, version: u32) -> Body {
    Body::Write(Write {
        request: RequestId([8; 16]),
        attempt: 0,
        actor: Actor::Node,
        source: String::new(),
        change: Change::RotateKey {
            name: key(name),
            id: KeyId([1; 16]),
            version: VersionNumber(version),
            material: Box::new(wrapped().into()),
        },
    })
}

#[test]
fn near_expiry_rotation() {
    const HOUR: u64 = 3_600_000;
    for (offset, due) in [(-1_i64, false), (0, true), (1, true)] {
        let mut cluster = Cluster::with_custody();
        cluster.must("root", create("a/k", 1, None));
        let made = cluster.time;
        cluster.time += 5_000;
        cluster.must("root", set_rotation("a/k", 1));
        cluster.time = (made + HOUR).saturating_add_signed(offset);
        let now = TimeMs(cluster.time);
        assert_eq!(cluster.state.due_rotations(now).count() == 1, due);
        cluster.apply(Body::Tick);
        assert!(!cluster.state.is_due(now), "no tick rotates");
        let size = cluster.state.audit().size();
        let outcome = cluster.apply(rotation("a/k", 2));
        let primary = cluster
            .state
            .key(&key("a/k"))
            .expect("it is there")
            .info
            .primary;
        if !due {
            assert_eq!(outcome, Outcome::Written(Err(Refusal::Conflict)));
            assert_eq!((primary.0, cluster.state.audit().size()), (1, size));
            continue;
        }
        assert_eq!(primary.0, 2, "{outcome:?}");
        let last = cluster.leaves().pop().expect("there are records");
        assert_eq!((last.operation.as_str(), last.version), ("RotateKey", 2));
        assert_eq!(last.authentication, "node");
        // Its period begins anew, and a second node that saw it due comes too late.
        let again = cluster.apply(rotation("a/k", 3));
        assert_eq!(again, Outcome::Written(Err(Refusal::Conflict)));
        let next = TimeMs(cluster.time + HOUR);
        assert_eq!(cluster.state.due_rotations(next).count(), 1);
    }
}

/// Only an ACTIVE key is rotated, and what it missed while it was not is due when it is again.
#[test]
fn near_expiry_rotation_of_a_suspended_key() {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", create("a/k", 1, None));
    cluster.must("root", set_rotation("a/k", 1));
    cluster.must("root", transition("a/k", Transition::Suspend));
    cluster.time += 7_200_000;
    let now = TimeMs(cluster.time);
    assert_eq!(cluster.state.due_rotations(now).count(), 0);
    let early = cluster.apply(rotation("a/k", 2));
    assert_eq!(early, Outcome::Written(Err(Refusal::Conflict)));
    cluster.must("root", transition("a/k", Transition::Resume));
    assert_eq!(cluster.state.due_rotations(now).count(), 1);
    let never = Change::SetRotation {
        name: key("a/k"),
        every: None,
    };
    cluster.must("root", never);
    assert_eq!(cluster.state.due_rotations(now).count(), 0);
}

/// More than a tick may do at once is done by the next ones, the earliest date first.
#[test]
fn near_expiry_of_many() {
    let mut cluster = Cluster::with_custody();
    let count = limits::TICK_WORK_MAX + 5;
    for n in 0..count {
        let Change::CreateKey {
            spec,
            set,
            material,
            ..
        } = create(&format!("a/{n}"), 0, Some(9_000 - n as u64))
        else {
            unreachable!("create creates")
        };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        cluster.must(
            "root",
            Change::CreateKey {
                spec,
                id: KeyId(id),
                set,
                material,
            },
        );
    }
    let waiting = |cluster: &Cluster| {
        let keys = cluster.state.keys("", None);
        keys.filter(|key| key.info.state == KeyState::PreActive)
            .count()
    };
    cluster.time = 9_000;
    cluster.apply(Body::Tick);
    assert_eq!(waiting(&cluster), 5);
    assert_eq!(
        cluster.key_state("a/0"),
        KeyState::PreActive,
        "the latest date is the last"
    );
    cluster.apply(Body::Tick);
    assert_eq!(waiting(&cluster), 0);
}
