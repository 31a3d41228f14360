//! What is destroyed is gone, at its date and not before, and not while somebody needs it.

use crate::cluster::{
    Cluster, batch, create, destroy, grant, key, ring, transition, use_record, who, wrapped,
};
use conclave_core::{
    Actor, Body, Change, Denial, Destroyed, Direction, KeyId, KeyState, LogIndex, NodeId,
    Operation, Outcome, Refusal, RequestId, Revision, Role, TimeMs, Transition, VersionNumber,
    Write, Written, limits,
};

const DAY: u64 = 86_400_000;

/// A cluster with the key `a/k` in the state DEACTIVATED, which `ann` may use.
fn deactivated() -> Cluster {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", Change::Grant(grant("ann", &ring("a"), Role::User)));
    cluster.must("root", create("a/k", 1, None));
    cluster.must("root", transition("a/k", Transition::Deactivate));
    cluster
}

fn of_version(number: u32, transition: Transition) -> Change {
    Change::Transition {
        name: key("a/k"),
        version: Some(VersionNumber(number)),
        transition,
    }
}

fn use_it(cluster: &mut Cluster, sequence: u64, count: u32) -> Outcome {
    let permit = cluster.state.decide_use(
        &who("ann"),
        Operation::Encrypt,
        Direction::Protect,
        &key("a/k"),
        None,
    );
    let used = permit.expect("it is allowed").used_key();
    let mut record = use_record(&cluster.state, "test");
    record.operation = Operation::Encrypt;
    record.key = Some(used);
    record.count = count;
    cluster.apply(batch(1, sequence, vec![record]))
}

fn erased(cluster: &mut Cluster, node: u64, through: u64) -> Result<Written, Refusal> {
    cluster.index += 1;
    let write = Write {
        request: RequestId([9; 16]),
        attempt: 0,
        actor: Actor::Node,
        source: String::new(),
        change: Change::Erased {
            through: Revision(through),
        },
    };
    let command = conclave_core::Command {
        node: NodeId(node),
        time: TimeMs(cluster.time),
        body: Body::Write(write),
    };
    let outcome = cluster.state.apply(LogIndex(cluster.index), command);
    let Outcome::Written(answer) = outcome else {
        panic!("a write is answered as a write: {outcome:?}");
    };
    answer
}

#[test]
fn near_expiry_destruction() {
    for (offset, gone) in [(-1_i64, false), (0, true), (1, true)] {
        let mut cluster = deactivated();
        let asked = cluster.time;
        cluster.must("root", destroy("a/k", None, 30));
        assert_eq!(cluster.key_state("a/k"), KeyState::DestroyScheduled);
        cluster.time = (asked + 30 * DAY).saturating_add_signed(offset);
        cluster.apply(Body::Tick);
        let now = TimeMs(cluster.time);
        assert!(!cluster.state.is_due(now), "a tick leaves nothing due");
        let found = cluster.state.key(&key("a/k")).expect("it stays known");
        let version = found.versions.get(VersionNumber(1)).expect("so does it");
        if !gone {
            assert_eq!(found.info.state, KeyState::DestroyScheduled);
            assert!(version.wrapped.is_some());
            continue;
        }
        assert_eq!(found.info.state, KeyState::Destroyed);
        assert_eq!(version.state, KeyState::Destroyed);
        assert_eq!(version.wrapped, None);
        let (end, at) = (found.info.destruction.clone(), cluster.time);
        let end = end.expect("it is destroyed");
        let revision = Revision(cluster.index);
        let record = Some(Destroyed {
            record: conclave_core::AuditSequence(cluster.state.audit().size() - 1),
            revision,
        });
        assert_eq!((end.at, end.done), (TimeMs(at), record));
        assert_eq!(version.destruction.as_deref(), Some(&*end));
        let leaves = cluster.leaves();
        let asked = &leaves[usize::try_from(end.asked.0).expect("few")];
        assert_eq!(
            (asked.operation.as_str(), asked.principal.as_str()),
            ("ScheduleKeyDestruction", "root")
        );
        assert_eq!(asked.detail, "DEACTIVATED -> DESTROY_SCHEDULED, in 30d");
        let last = leaves.last().expect("there are records");
        assert_eq!(
            (last.operation.as_str(), last.key.as_str()),
            ("DestroyKey", "a/k")
        );
        assert_eq!(last.authentication, "node");
        let detail = format!(
            "DESTROY_SCHEDULED -> DESTROYED, as record {} asked",
            end.asked
        );
        assert_eq!(last.detail, detail);
    }
}

/// One node whose clock is far ahead takes the recorded time with it, and destroys nothing.
#[test]
fn a_clock_far_ahead_destroys_nothing() {
    let mut cluster = deactivated();
    cluster.must("root", destroy("a/k", None, 30));
    let now = cluster.time;
    cluster.time += 400 * DAY;
    cluster.must("root", create("a/other", 2, None));
    cluster.time = now + DAY;
    cluster.apply(Body::Tick);
    assert_eq!(cluster.key_state("a/k"), KeyState::DestroyScheduled);
    cluster.must("root", transition("a/k", Transition::CancelDestruction));
    // What is scheduled meanwhile waits longer than it need.
    cluster.must("root", destroy("a/k", None, 1));
    cluster.time = now + 2 * DAY;
    cluster.apply(Body::Tick);
    assert_eq!(cluster.key_state("a/k"), KeyState::DestroyScheduled);
    cluster.time = now + 401 * DAY;
    cluster.apply(Body::Tick);
    assert_eq!(cluster.key_state("a/k"), KeyState::Destroyed);
}

#[test]
fn a_destruction_is_cancelled_until_its_date() {
    let mut cluster = deactivated();
    cluster.must("root", destroy("a/k", None, 1));
    cluster.time += DAY - 1;
    cluster.must("root", transition("a/k", Transition::CancelDestruction));
    assert_eq!(cluster.key_state("a/k"), KeyState::Deactivated);
    cluster.time += DAY;
    cluster.apply(Body::Tick);
    assert_eq!(cluster.key_state("a/k"), KeyState::Deactivated);
    cluster.must("root", destroy("a/k", None, 1));
    cluster.time += DAY;
    cluster.apply(Body::Tick);
    for step in Transition::ALL {
        let refused = cluster.write("root", transition("a/k", step)).unwrap_err();
        let right = matches!(
            refused,
            Refusal::WrongState {
                from: KeyState::Destroyed,
                ..
            }
        ) || !step.is_by_hand() && matches!(refused, Refusal::Malformed(_));
        assert!(right, "{step:?}: {refused}");
    }
    let again = cluster.write("root", destroy("a/k", None, 1));
    assert!(
        matches!(again, Err(Refusal::WrongState { .. })),
        "{again:?}"
    );
    let rotated = cluster.write(
        "root",
        Change::SetRotation {
            name: key("a/k"),
            every: None,
        },
    );
    assert!(matches!(rotated, Err(Refusal::NotRotatable { .. })));
    let create = cluster.write("root", create("a/k", 5, None));
    assert_eq!(
        create,
        Err(Refusal::KeyExists(key("a/k"))),
        "names stay taken"
    );
}

/// One version of a key that lives on.
#[test]
fn a_version_is_destroyed_by_itself() {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", Change::Grant(grant("ann", &ring("a"), Role::User)));
    cluster.must("root", create("a/k", 1, None));
    cluster.must(
        "root",
        Change::RotateKey {
            name: key("a/k"),
            id: KeyId([1; 16]),
            version: VersionNumber(2),
            material: Box::new(wrapped().into()),
        },
    );
    let active = cluster.write("root", destroy("a/k", Some(1), 1));
    assert!(matches!(
        active,
        Err(Refusal::WrongState {
            from: KeyState::Active,
            ..
        })
    ));
    cluster.must("root", of_version(1, Transition::MarkCompromised));
    cluster.must("root", destroy("a/k", Some(1), 1));
    let missing = cluster.write("root", destroy("a/k", Some(3), 1));
    assert!(matches!(missing, Err(Refusal::VersionNotFound { .. })));
    cluster.time += DAY;
    cluster.apply(Body::Tick);
    let found = cluster.state.key(&key("a/k")).expect("it is there");
    let states: Vec<_> = found.versions.iter().map(|(_, it)| it.state).collect();
    assert_eq!(states, [KeyState::Destroyed, KeyState::Active]);
    assert_eq!(found.info.state, KeyState::Active);
    let decide = |version| {
        cluster.state.decide_use(
            &who("ann"),
            Operation::Decrypt,
            Direction::Process,
            &key("a/k"),
            Some(VersionNumber(version)),
        )
    };
    assert!(decide(2).is_ok());
    let state = KeyState::Destroyed;
    assert!(matches!(decide(1), Err(Denial::State { state: it, .. }) if it == state));
}

/// The date of a version does not outlive its key, in whichever order they come.
#[test]
fn a_version_that_waits_is_destroyed_with_its_key() {
    for (key_days, version_days) in [(1, 2), (1, 1), (2, 1)] {
        let mut cluster = deactivated();
        cluster.must("root", of_version(1, Transition::Deactivate));
        cluster.must("root", destroy("a/k", Some(1), version_days));
        cluster.must("root", destroy("a/k", None, key_days));
        for _ in 0..3 {
            cluster.time += DAY;
            while cluster.state.is_due(TimeMs(cluster.time)) {
                cluster.apply(Body::Tick);
            }
        }
        assert_eq!(cluster.key_state("a/k"), KeyState::Destroyed);
        let leaves = cluster.leaves();
        let done = leaves.iter().filter(|leaf| leaf.operation == "DestroyKey");
        let of: Vec<u32> = done.map(|leaf| leaf.version).collect();
        let expected: &[u32] = if version_days < key_days {
            &[1, 0]
        } else {
            &[0]
        };
        assert_eq!(of, expected, "{key_days} and {version_days} days");
    }
}

#[test]
fn what_was_used_lately_is_not_destroyed() {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", Change::Grant(grant("ann", &ring("a"), Role::User)));
    cluster.must("root", create("a/k", 1, None));
    use_it(&mut cluster, 0, 3);
    cluster.time += 1_000;
    let used_at = cluster.time;
    use_it(&mut cluster, 1, 4);
    let usage = |cluster: &Cluster| {
        let found = cluster.state.key(&key("a/k")).expect("it is there");
        let version = found.versions.get(VersionNumber(1)).expect("so is it");
        version.usage
    };
    assert_eq!(
        (usage(&cluster).count, usage(&cluster).last),
        (7, TimeMs(used_at))
    );
    cluster.must("root", transition("a/k", Transition::Deactivate));
    cluster.time = used_at + 7 * DAY - 1;
    let refused = cluster.ask(77, "root", destroy("a/k", None, 1));
    let expected = Refusal::RecentlyUsed {
        what: "key a/k".to_owned(),
        ago_ms: 7 * DAY - 1,
        unused_for_ms: 7 * DAY,
    };
    assert_eq!(refused, Err(expected.clone()));
    assert!(
        expected.to_string().contains("was used 7d before"),
        "{expected}"
    );
    assert_eq!(cluster.key_state("a/k"), KeyState::Deactivated);
    // Another node, configured differently, answers a retry as the first one did.
    let Change::ScheduleDestruction {
        name,
        version,
        after,
        ..
    } = destroy("a/k", None, 1)
    else {
        unreachable!("it destroys")
    };
    let asked = |unused_for_ms| Change::ScheduleDestruction {
        name: name.clone(),
        version,
        after,
        unused_for_ms,
    };
    assert_eq!(cluster.ask(77, "root", asked(Some(1))), Err(expected));
    assert_eq!(
        cluster.ask(77, "root", asked(None)),
        Err(Refusal::RequestReused)
    );
    let mut insisted = cluster.clone();
    insisted.must("root", asked(None));
    let last = insisted.leaves().pop().expect("there are records");
    assert!(
        last.detail.ends_with("in 1d, however it was used"),
        "{}",
        last.detail
    );
    cluster.time += 1;
    cluster.must("root", destroy("a/k", None, 1));
}

/// The log says which nodes have erased what was destroyed: each of itself, and nobody more than there is.
#[test]
fn erasure_is_told_by_each_node_of_itself() {
    let mut cluster = deactivated();
    assert_eq!(
        erased(&mut cluster, 1, 1),
        Err(Refusal::Conflict),
        "nothing was destroyed"
    );
    cluster.must("root", destroy("a/k", None, 1));
    cluster.time += DAY;
    cluster.apply(Body::Tick);
    let destroyed = cluster.index;
    let by_hand = Change::Erased {
        through: Revision(destroyed),
    };
    let answer = cluster.write("root", by_hand);
    assert!(matches!(answer, Err(Refusal::PermissionDenied(_))));
    let due = |cluster: &Cluster| [1, 2].map(|node| cluster.state.erasure_due(NodeId(node)));
    let all = Some(Revision(destroyed));
    assert_eq!(due(&cluster), [all, all]);
    assert_eq!(
        erased(&mut cluster, 1, destroyed + 1),
        Err(Refusal::Conflict)
    );
    assert_eq!(erased(&mut cluster, 1, destroyed), Ok(Written::Done));
    assert_eq!(
        erased(&mut cluster, 1, destroyed),
        Err(Refusal::Conflict),
        "once"
    );
    assert_eq!(due(&cluster), [None, all]);
    let has = |node| cluster.state.has_erased(NodeId(node), Revision(destroyed));
    assert_eq!([has(1), has(2)], [true, false]);
    let last = cluster.leaves().pop().expect("there are records");
    assert_eq!(
        (last.operation.as_str(), last.node_id),
        ("EraseKeyMaterial", 1)
    );
    assert_eq!(last.detail, format!("destroyed up to revision {destroyed}"));
}

/// A tick does no more than so much work, and the next one goes on.
#[test]
fn many_destructions_take_several_ticks() {
    let mut cluster = Cluster::with_custody();
    let count = limits::TICK_WORK_MAX + 5;
    for n in 0..count {
        let name = format!("a/{n}");
        let Change::CreateKey {
            spec,
            set,
            material,
            ..
        } = create(&name, 0, Some(u64::MAX))
        else {
            unreachable!("create creates")
        };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let id = KeyId(id);
        cluster.must(
            "root",
            Change::CreateKey {
                spec,
                id,
                set,
                material,
            },
        );
        cluster.must("root", destroy(&name, None, 1));
    }
    cluster.time += DAY;
    let waiting = |cluster: &Cluster| {
        let keys = cluster.state.keys("", None);
        keys.filter(|key| key.info.state == KeyState::DestroyScheduled)
            .count()
    };
    cluster.apply(Body::Tick);
    assert_eq!(waiting(&cluster), 5);
    assert!(cluster.state.is_due(TimeMs(cluster.time)));
    cluster.apply(Body::Tick);
    assert_eq!(waiting(&cluster), 0);
}
