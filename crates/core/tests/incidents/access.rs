//! Roles and grants.

use crate::cluster::{
    ACTIONS, Cluster, ROLES, create, custody, destroy, grant, key, powers, ring, set_rotation,
    transition, who, wrapped,
};
use conclave_core::{
    Action, Actor, AttemptId, Body, Change, ClusterId, Command, CustodianName, Custody,
    CustodyEvent, KeyId, LogIndex, NodeId, Outcome, Refusal, RequestId, Role, Scope, SetId, State,
    TimeMs, Transition, VersionNumber, Write, Written,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever is not admin anywhere gains nothing, for himself or an accomplice, whatever they
    /// write; and the admin of one keyring gains nothing on another or on the cluster.
    #[test]
    fn grant_path_to_root(
        begin in prop::collection::vec((0_usize..2, 0_usize..3, 1_usize..3), 0..4),
        admin_of_a in any::<bool>(),
        writes in prop::collection::vec(
            (0_usize..2, 0_usize..3, 0_usize..3, 0_usize..3, 0_u8..8), 1..40),
    ) {
        let names = ["mallory", "accomplice", "root"];
        let scopes = [Scope::All, ring("a"), ring("b")];
        let mut cluster = Cluster::with_custody();
        for (name, at, role) in begin {
            cluster.must("root", Change::Grant(grant(names[name], &scopes[at], ROLES[role])));
        }
        if admin_of_a {
            cluster.must("root", Change::Grant(grant("mallory", &ring("a"), Role::Admin)));
        }
        let before: Vec<_> = names.iter().map(|name| powers(&cluster.state, name)).collect();
        for (by, to, at, role, kind) in writes {
            let grant = grant(names[to], &scopes[at], ROLES[role]);
            let change = match kind {
                0..=3 => Change::Grant(grant),
                4 => Change::Revoke(grant),
                5 => create(["a/k", "b/k", "c/k"][at], kind, None),
                6 => Change::InitCustody(Box::new(Custody { set: SetId([3; 16]), ..custody() })),
                _ => transition(["a/k", "b/k", "c/k"][at], Transition::Suspend),
            };
            let _ = cluster.write(names[by], change);
        }
        for (name, before) in names.iter().zip(before) {
            let after = powers(&cluster.state, name);
            let gained: Vec<_> = after.difference(&before).collect();
            let inside = |(_, at): &&(Action, Scope)| admin_of_a && *at == ring("a");
            prop_assert!(gained.iter().all(inside), "{name} gained {gained:?}");
            // Root loses nothing: it holds everything by one grant that only an admin can revoke.
            prop_assert!(*name != "root" || before.is_subset(&after));
        }
        prop_assert!(admin_of_a || cluster.state.key(&key("a/k")).is_none());
        prop_assert!(cluster.state.key(&key("b/k")).is_none());
        prop_assert_eq!(cluster.state.custody(), Some(&custody()));
    }
}

#[test]
fn wrong_permission_checked() {
    // What each role may do where it is held. On the cluster itself only roles on '*' count.
    let expected = |role: Role, action: Action| match action {
        Action::UseKey => role == Role::User,
        Action::UseCompromised => role == Role::UseCompromised,
        Action::ReadKey => role != Role::UseCompromised,
        Action::CreateKey
        | Action::ExportKey
        | Action::DestroyKey
        | Action::ManageAccess
        | Action::InitCustody
        | Action::ManageAliases => role == Role::Admin,
        Action::RotateKey
        | Action::ChangeState
        | Action::Seal
        | Action::Unseal
        | Action::ReadAudit
        | Action::LabelKey => matches!(role, Role::Admin | Role::Operator),
    };
    for role in ROLES {
        for held in [Scope::All, ring("a")] {
            let mut cluster = Cluster::new();
            cluster.must("root", Change::Grant(grant("ann", &held, role)));
            for action in ACTIONS {
                for at in [Scope::All, ring("a"), ring("b")] {
                    let covered = held == Scope::All || held == at;
                    let permits = cluster.state.access().permits(&who("ann"), action, &at);
                    let what = format!("{role} on {held}: {action:?} on {at}");
                    assert_eq!(permits, covered && expected(role, action), "{what}");
                    assert!(!cluster.state.access().permits(&who("bob"), action, &at));
                }
            }
        }
    }
}

/// Changes of keys and access with the action and the place that each needs.
fn guarded_changes() -> Vec<(Action, Scope, Change)> {
    let rotate = |name: &str, id| Change::RotateKey {
        name: key(name),
        id: KeyId([id; 16]),
        version: VersionNumber(2),
        material: Box::new(wrapped().into()),
    };
    vec![
        (Action::CreateKey, ring("a"), create("a/new", 9, None)),
        (Action::CreateKey, ring("b"), create("b/new", 9, None)),
        (Action::RotateKey, ring("a"), rotate("a/active", 0)),
        (Action::RotateKey, ring("b"), rotate("b/active", 2)),
        (
            Action::ChangeState,
            ring("a"),
            transition("a/waiting", Transition::Activate),
        ),
        (
            Action::ChangeState,
            ring("a"),
            transition("a/active", Transition::Suspend),
        ),
        (
            Action::ChangeState,
            ring("b"),
            transition("b/active", Transition::MarkCompromised),
        ),
        (Action::RotateKey, ring("a"), set_rotation("a/active", 1)),
        (
            Action::ChangeState,
            ring("b"),
            transition("b/active", Transition::Deactivate),
        ),
        (
            Action::DestroyKey,
            ring("a"),
            destroy("a/waiting", None, 30),
        ),
        (
            Action::DestroyKey,
            ring("b"),
            destroy("b/active", Some(1), 1),
        ),
        (
            Action::ManageAccess,
            ring("a"),
            Change::Grant(grant("x", &ring("a"), Role::User)),
        ),
        (
            Action::ManageAccess,
            ring("b"),
            Change::Revoke(grant("x", &ring("b"), Role::User)),
        ),
        (
            Action::ManageAccess,
            Scope::All,
            Change::Grant(grant("x", &Scope::All, Role::User)),
        ),
        (
            Action::ManageAccess,
            Scope::All,
            Change::Revoke(grant("x", &Scope::All, Role::User)),
        ),
    ]
}

/// Of the custody: all on the cluster.
fn guarded_custody_changes() -> Vec<(Action, Scope, Change)> {
    let event = Change::Custody;
    let (set, attempt, custodian) = (
        SetId([2; 16]),
        AttemptId([9; 16]),
        CustodianName::new("dora").expect("a good name"),
    );
    let reason = "r".to_owned();
    vec![
        (
            Action::InitCustody,
            Scope::All,
            Change::InitCustody(Box::new(custody())),
        ),
        (
            Action::Seal,
            Scope::All,
            event(CustodyEvent::Sealed {
                reason: reason.clone(),
            }),
        ),
        (
            Action::Unseal,
            Scope::All,
            event(CustodyEvent::Unsealed { set, attempt }),
        ),
        (
            Action::Unseal,
            Scope::All,
            event(CustodyEvent::Cancelled { attempt }),
        ),
        (
            Action::Unseal,
            Scope::All,
            event(CustodyEvent::ShareAccepted {
                custodian: custodian.clone(),
                set,
                attempt,
            }),
        ),
        (
            Action::Unseal,
            Scope::All,
            event(CustodyEvent::ShareRefused {
                custodian: Some(custodian),
                reason,
            }),
        ),
    ]
}

/// The same matrix through `apply`: each change is checked against its own action and place.
#[test]
fn wrong_permission_checked_by_writes() {
    let mut base = Cluster::with_custody();
    for (n, name) in (0..).zip(["a/active", "a/waiting", "b/active"]) {
        base.must("root", create(name, n, (n == 1).then_some(u64::MAX)));
    }
    let mut changes = guarded_changes();
    changes.extend(guarded_custody_changes());
    for role in ROLES {
        for held in [Scope::All, ring("a")] {
            let mut cluster = base.clone();
            cluster.must("root", Change::Grant(grant("ann", &held, role)));
            for (action, at, change) in &changes {
                let mut cluster = cluster.clone();
                let permits = cluster.state.access().permits(&who("ann"), *action, at);
                let before = cluster.state.audit().size();
                let answer = cluster.write("ann", change.clone());
                let denied = matches!(answer, Err(Refusal::PermissionDenied(_)));
                assert_eq!(denied, !permits, "{role} on {held}: {change:?}");
                assert_eq!(
                    cluster.state.audit().size(),
                    before + 1,
                    "refusals are recorded too"
                );
                // A node may only tell what befalls its seal, and rotate what is due.
                cluster.index += 1;
                let (request, source) = (RequestId([1; 16]), String::new());
                let (actor, change) = (Actor::Node, change.clone());
                let may = matches!(change, Change::Custody(_));
                let early = matches!(change, Change::RotateKey { .. });
                let write = Write {
                    request,
                    attempt: 0,
                    actor,
                    source,
                    change,
                };
                let outcome = cluster.apply(Body::Write(write));
                let denied = matches!(outcome, Outcome::Written(Err(Refusal::PermissionDenied(_))));
                let conflict = outcome == Outcome::Written(Err(Refusal::Conflict));
                assert_eq!((denied, conflict), (!may && !early, early));
            }
        }
    }
}

/// A custodian may unseal and seal by the name alone, and nothing else.
#[test]
fn stranger_in_a_ceremony() {
    let mut cluster = Cluster::new();
    let attempt = AttemptId([9; 16]);
    let cancel = || Change::Custody(CustodyEvent::Cancelled { attempt });
    assert!(matches!(
        cluster.write("dora", cancel()),
        Err(Refusal::PermissionDenied(_))
    ));
    cluster.must("root", Change::InitCustody(Box::new(custody())));
    assert_eq!(cluster.write("dora", cancel()), Ok(Written::Done));
    for other in ["dora.", "dor", "fay", "user"] {
        assert!(matches!(
            cluster.write(other, cancel()),
            Err(Refusal::PermissionDenied(_))
        ));
    }
    for change in [
        create("a/k", 1, None),
        Change::InitCustody(Box::new(custody())),
    ] {
        assert!(matches!(
            cluster.write("dora", change),
            Err(Refusal::PermissionDenied(_))
        ));
    }
}

/// A cluster always has somebody who administers it.
#[test]
fn administration_without_an_admin() {
    let mut state = State::new();
    let form = |admins| Body::Form {
        cluster: ClusterId([1; 16]),
        admins,
    };
    let (node, time) = (NodeId(1), TimeMs(1));
    state.apply(
        LogIndex(1),
        Command {
            node,
            time,
            body: form(Vec::new()),
        },
    );
    assert_eq!(state.cluster(), None);
    let mut cluster = Cluster::new();
    cluster.apply(form(vec![who("mallory")]));
    assert!(
        powers(&cluster.state, "mallory").is_empty(),
        "only the first Form counts"
    );
    let last = || Change::Revoke(grant("root", &Scope::All, Role::Admin));
    cluster.must("root", Change::Grant(grant("ann", &ring("a"), Role::Admin)));
    cluster.must(
        "root",
        Change::Grant(grant("ann", &Scope::All, Role::Operator)),
    );
    assert_eq!(cluster.write("root", last()), Err(Refusal::LastAdmin));
    cluster.must(
        "root",
        Change::Grant(grant("ann", &Scope::All, Role::Admin)),
    );
    cluster.must("root", last());
    assert_eq!(cluster.state.access().grants().count(), 3);
}
