//! Random commands over few names, so that they meet each other.

use conclave_core::{ExpectedAlias, KeyName, PrincipalName, Role, Transition, limits};
use proptest::prelude::*;

/// Callers; the last two have names of custodians.
pub(crate) const PRINCIPALS: [&str; 4] = ["root", "ann", "bob", "carl"];
/// Keys on two keyrings.
pub(crate) const KEYS: [&str; 4] = ["a/k", "a/k2", "b/k", "b/k/deep"];

/// Other names on the same keyrings, and those: aliases may be made of all of them.
pub(crate) const NAMES: [&str; 7] = ["a/k", "a/k2", "b/k", "b/k/deep", "a/x", "a/y", "b/x"];

pub(crate) fn principal(n: u8) -> PrincipalName {
    PrincipalName::new(PRINCIPALS[usize::from(n) % PRINCIPALS.len()]).expect("a good name")
}

pub(crate) fn key_name(n: u8) -> KeyName {
    KeyName::new(NAMES[usize::from(n) % NAMES.len()]).expect("a good name")
}

/// One decision of a node, maybe on state that has passed.
#[derive(Clone, Debug)]
pub(crate) struct UseStep {
    pub(crate) principal: u8,
    pub(crate) key: u8,
    pub(crate) destination: Option<u8>,
    pub(crate) version: Option<u8>,
    pub(crate) process: bool,
    pub(crate) of_macs: bool,
    /// The registered data key that it makes or takes.
    pub(crate) data_key: Option<u8>,
    pub(crate) stale: bool,
    pub(crate) lie: u8,
}

/// What befalls registered data keys besides their uses.
#[derive(Clone, Debug)]
pub(crate) enum DataKeyStep {
    SetRewrap {
        key: u8,
        by_hand: bool,
        deactivate_old: bool,
    },
    RequestRewrap {
        key: u8,
    },
    /// Wraps anew what the key has, up to so many.
    Rewrap {
        key: u8,
        count: u8,
        lie: u8,
    },
    DeleteDataKey {
        id: u8,
    },
}

/// What helps to find keys.
#[derive(Clone, Debug)]
pub(crate) enum FindingStep {
    /// Sets labels, with values so long, and removes others.
    Label {
        key: u8,
        set: Vec<(u8, u16)>,
        remove: Vec<u8>,
    },
    SetAlias {
        alias: u8,
        target: u8,
        expected: ExpectedAlias,
    },
    DeleteAlias {
        alias: u8,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Form(Vec<u8>),
    Create {
        key: u8,
        id: u8,
        /// `None`: the current one.
        set: Option<u8>,
        pre_active: bool,
        date: Option<u32>,
        rotate: Option<u8>,
        blob: u16,
    },
    Rotate {
        key: u8,
        wrong_id: bool,
        offset: u8,
        blob: u16,
    },
    Transition {
        key: u8,
        version: Option<u8>,
        transition: Transition,
    },
    SetRotation {
        key: u8,
        hours: Option<u8>,
    },
    Destroy {
        key: u8,
        version: Option<u8>,
        days: u8,
        unused_for_ms: Option<u32>,
    },
    OfDataKeys(DataKeyStep),
    Finding(FindingStep),
    /// How far behind what was destroyed, or ahead of it.
    Erased(i8),
    Access {
        give: bool,
        to: u8,
        scope: u8,
        role: Role,
    },
    InitCustody {
        set: u8,
        count: u8,
        threshold: u8,
        confirmed: bool,
    },
    Event {
        event: u8,
        custodian: u8,
        set: u8,
        reason: u16,
    },
    Uses {
        incarnation: u8,
        sequence: u8,
        records: Vec<UseStep>,
    },
    Repeat(u8),
    Tick,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) node: u8,
    pub(crate) time: i64,
    pub(crate) actor: u8,
    pub(crate) request: u8,
    pub(crate) source: u16,
    pub(crate) remember_state: bool,
    pub(crate) kind: Kind,
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Admin),
        Just(Role::Operator),
        Just(Role::User),
        Just(Role::UseCompromised)
    ]
}

fn transition() -> impl Strategy<Value = Transition> {
    prop_oneof![
        Just(Transition::Activate),
        Just(Transition::Suspend),
        Just(Transition::Resume),
        Just(Transition::Deactivate),
        Just(Transition::MarkCompromised),
        Just(Transition::ScheduleDestruction),
        Just(Transition::CancelDestruction),
        Just(Transition::Destroy)
    ]
}

fn blob() -> impl Strategy<Value = u16> {
    prop_oneof![8 => Just(32_u16), 1 => Just(0), 1 => Just(4096), 1 => Just(4097)]
}

fn use_step() -> impl Strategy<Value = UseStep> {
    let version = prop_oneof![3 => Just(None), 1 => (0_u8..4).prop_map(Some)];
    let destination = prop_oneof![5 => Just(None), 1 => (0_u8..7).prop_map(Some)];
    let lie = prop_oneof![8 => Just(0_u8), 1 => Just(1), 1 => Just(2)];
    (
        0_u8..4,
        prop_oneof![2 => 0_u8..4, 1 => 4_u8..7],
        destination,
        version,
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::option::of(0_u8..12),
        any::<bool>(),
        lie,
    )
        .prop_map(
            |(principal, key, destination, version, process, of_macs, data_key, stale, lie)| {
                UseStep {
                    principal,
                    key,
                    destination,
                    version,
                    process,
                    of_macs,
                    data_key,
                    stale,
                    lie,
                }
            },
        )
}

/// Mostly a key's own.
fn name() -> impl Strategy<Value = u8> {
    prop_oneof![9 => 0_u8..4, 1 => 4_u8..7]
}

fn expected_alias(keys: u8) -> impl Strategy<Value = ExpectedAlias> {
    prop_oneof![
        5 => Just(ExpectedAlias::Absent),
        4 => Just(ExpectedAlias::Present),
        2 => (0..keys).prop_map(|key| ExpectedAlias::Of(key_name(key))),
    ]
}

fn set_alias() -> impl Strategy<Value = Kind> {
    let alias = prop_oneof![1 => 0_u8..4, 9 => 4_u8..7];
    (alias, name(), expected_alias(4)).prop_map(|(alias, target, expected)| {
        Kind::Finding(FindingStep::SetAlias {
            alias,
            target,
            expected,
        })
    })
}

/// Aliases that move while keys are used by them.
pub(crate) fn alias_step() -> impl Strategy<Value = Step> {
    let use_step = (
        prop_oneof![1 => 0_u8..2, 4 => 4_u8..6],
        any::<bool>(),
        any::<bool>(),
    );
    let use_step = use_step.prop_map(|(key, process, stale)| UseStep {
        principal: 0,
        key,
        destination: None,
        version: None,
        process,
        of_macs: false,
        data_key: None,
        stale,
        lie: 0,
    });
    let transition = prop_oneof![Just(Transition::Suspend), Just(Transition::Resume)];
    let kind = prop_oneof![
        6 => (any::<u8>(), prop::collection::vec(use_step, 1..5)).prop_map(
            |(sequence, records)| Kind::Uses { incarnation: 5, sequence, records }),
        6 => (4_u8..6, 0_u8..2, expected_alias(2)).prop_map(
            |(alias, target, expected)| Kind::Finding(FindingStep::SetAlias { alias, target, expected })),
        2 => (4_u8..6).prop_map(|alias| Kind::Finding(FindingStep::DeleteAlias { alias })),
        1 => (0_u8..2, transition).prop_map(
            |(key, transition)| Kind::Transition { key, version: None, transition }),
        1 => (0_u8..2).prop_map(|key| Kind::Rotate { key, wrong_id: false, offset: 1, blob: 32 }),
    ];
    let kept = prop::bool::weighted(0.2);
    (0_i64..2_000, any::<u8>(), kept, kind).prop_map(|(time, request, remember_state, kind)| Step {
        node: 1,
        time,
        actor: 0,
        request,
        source: 9,
        remember_state,
        kind,
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    let date = prop_oneof![3 => Just(None), 2 => (0_u32..900_000).prop_map(Some)];
    let other_set = prop_oneof![9 => Just(None), 1 => (0_u8..3).prop_map(Some)];
    prop_oneof![
        1 => prop::collection::vec(0_u8..4, 0..3).prop_map(Kind::Form),
        8 => (prop_oneof![9 => 0_u8..4, 1 => 4_u8..7], 0_u8..5, other_set, any::<bool>(), date, prop::option::of(1_u8..3), blob()).prop_map(
            |(key, id, set, pre_active, date, rotate, blob)| {
                Kind::Create { key, id, set, pre_active, date, rotate, blob }
            }),
        6 => (name(), prop::bool::weighted(0.1), prop_oneof![6 => Just(1_u8), 1 => 0_u8..3],
            blob()).prop_map(
            |(key, wrong_id, offset, blob)| Kind::Rotate { key, wrong_id, offset, blob }),
        10 => (name(), prop_oneof![Just(None), (0_u8..4).prop_map(Some)], transition()).prop_map(
            |(key, version, transition)| Kind::Transition { key, version, transition }),
        3 => (name(), prop::option::of(1_u8..3)).prop_map(
            |(key, hours)| Kind::SetRotation { key, hours }),
        6 => (name(), prop_oneof![Just(None), (0_u8..4).prop_map(Some)], 1_u8..3,
            prop_oneof![Just(None), Just(Some(0)), Just(Some(3_600_000)), (0_u32..5_000).prop_map(Some)]).prop_map(
            |(key, version, days, unused_for_ms)| Kind::Destroy { key, version, days, unused_for_ms }),
        3 => (name(), any::<bool>(), any::<bool>()).prop_map(
            |(key, by_hand, deactivate_old)| Kind::OfDataKeys(DataKeyStep::SetRewrap { key, by_hand, deactivate_old })),
        2 => name().prop_map(|key| Kind::OfDataKeys(DataKeyStep::RequestRewrap { key })),
        6 => (0_u8..4, 1_u8..5, prop_oneof![6 => Just(0_u8), 1 => 1_u8..6]).prop_map(
            |(key, count, lie)| Kind::OfDataKeys(DataKeyStep::Rewrap { key, count, lie })),
        2 => (0_u8..12).prop_map(|id| Kind::OfDataKeys(DataKeyStep::DeleteDataKey { id })),
        10 => set_alias(),
        3 => (0_u8..7).prop_map(|alias| Kind::Finding(FindingStep::DeleteAlias { alias })),
        4 => (name(), prop::collection::vec((0_u8..40, prop_oneof![9 => 0_u16..3, 1 => 4_000_u16..4_100]), 0..24),
            prop::collection::vec(0_u8..40, 0..4)).prop_map(
            |(key, set, remove)| Kind::Finding(FindingStep::Label { key, set, remove })),
        3 => prop_oneof![4 => Just(0_i8), 1 => -3_i8..3].prop_map(Kind::Erased),
        12 => (prop::bool::weighted(0.7), 0_u8..4, 0_u8..3, role()).prop_map(
            |(give, to, scope, role)| Kind::Access { give, to, scope, role }),
        4 => (0_u8..3, 1_u8..4, 1_u8..4, prop::bool::weighted(0.1)).prop_map(
            |(set, count, threshold, confirmed)| {
                Kind::InitCustody { set, count, threshold, confirmed }
            }),
        4 => (0_u8..6, 0_u8..4, 0_u8..3,
            prop_oneof![6 => Just(9_u16), 1 => Just(512), 1 => Just(513)]).prop_map(
            |(event, custodian, set, reason)| Kind::Event { event, custodian, set, reason }),
        12 => (prop_oneof![8 => Just(5_u8), 1 => 4_u8..7], any::<u8>(),
            prop::collection::vec(use_step(), 0..5)).prop_map(
            |(incarnation, sequence, records)| Kind::Uses { incarnation, sequence, records }),
        3 => any::<u8>().prop_map(Kind::Repeat),
        3 => Just(Kind::Tick),
    ]
}

/// Uses of registered data keys by one who may.
fn data_key_use() -> impl Strategy<Value = UseStep> {
    let stale = prop::bool::weighted(0.3);
    (0_u8..2, prop::bool::weighted(0.4), 0_u8..12, stale).prop_map(
        |(key, process, data_key, stale)| UseStep {
            principal: 0,
            key,
            destination: None,
            version: None,
            process,
            of_macs: false,
            data_key: Some(data_key),
            stale,
            lie: 0,
        },
    )
}

fn version_transition() -> impl Strategy<Value = Transition> {
    prop_oneof![
        2 => Just(Transition::Suspend),
        2 => Just(Transition::Resume),
        1 => Just(Transition::Deactivate),
        2 => Just(Transition::MarkCompromised),
    ]
}

/// What befalls registered data keys, of two keys that can be used.
pub(crate) fn data_key_step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        10 => (any::<u8>(), prop::collection::vec(data_key_use(), 1..6)).prop_map(
            |(sequence, records)| Kind::Uses { incarnation: 5, sequence, records }),
        4 => (0_u8..2).prop_map(
            |key| Kind::Rotate { key, wrong_id: false, offset: 1, blob: 32 }),
        8 => (0_u8..2, 1_u8..9, prop_oneof![9 => Just(0_u8), 1 => 1_u8..6]).prop_map(
            |(key, count, lie)| Kind::OfDataKeys(DataKeyStep::Rewrap { key, count, lie })),
        4 => (0_u8..2, (1_u8..5).prop_map(Some), version_transition()).prop_map(
            |(key, version, transition)| Kind::Transition { key, version, transition }),
        1 => (0_u8..2, prop_oneof![Just(Transition::Suspend), Just(Transition::Resume)]).prop_map(
            |(key, transition)| Kind::Transition { key, version: None, transition }),
        3 => (0_u8..2, any::<bool>(), any::<bool>()).prop_map(
            |(key, by_hand, deactivate_old)| Kind::OfDataKeys(DataKeyStep::SetRewrap { key, by_hand, deactivate_old })),
        2 => (0_u8..2).prop_map(|key| Kind::OfDataKeys(DataKeyStep::RequestRewrap { key })),
        1 => (0_u8..2, prop::option::of(1_u8..5), prop_oneof![Just(None), Just(Some(0))]).prop_map(
            |(key, version, unused_for_ms)| Kind::Destroy { key, version, days: 1, unused_for_ms }),
        2 => (0_u8..12).prop_map(|id| Kind::OfDataKeys(DataKeyStep::DeleteDataKey { id })),
        1 => (prop::bool::weighted(0.5)).prop_map(|give| {
            let role = Role::UseCompromised;
            Kind::Access { give, to: 0, scope: 1, role }
        }),
        3 => Just(Kind::Tick),
    ];
    let time = prop_oneof![20 => 0_i64..2_000, 1 => Just(86_400_000_i64)];
    let kept = prop::bool::weighted(0.3);
    (1_u8..3, time, any::<u8>(), kept, kind).prop_map(
        |(node, time, request, remember_state, kind)| Step {
            node,
            time,
            actor: 0,
            request,
            source: 9,
            remember_state,
            kind,
        },
    )
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let memory = i64::try_from(limits::REQUEST_MEMORY_MS).expect("minutes");
    let time = prop_oneof![
        12 => 0_i64..2_000,
        1 => Just(memory - 1),
        1 => Just(memory),
        1 => -5_000_i64..0,
        1 => Just(300_000_i64),
        1 => Just(3_600_000_i64),
        1 => Just(86_400_000_i64),
    ];
    let actor = prop_oneof![6 => Just(0_u8), 6 => 1_u8..4, 1 => Just(9_u8)];
    let source = prop_oneof![20 => Just(9_u16), 1 => Just(512), 1 => Just(513)];
    let kept = prop::bool::weighted(0.2);
    (1_u8..3, time, actor, 0_u8..60, source, kept, kind()).prop_map(
        |(node, time, actor, request, source, remember_state, kind)| Step {
            node,
            time,
            actor,
            request,
            source,
            remember_state,
            kind,
        },
    )
}
