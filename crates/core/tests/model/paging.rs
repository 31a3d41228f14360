//! Lists page by page, while keys are created and labelled.

use conclave_core::{
    Action, Actor, Algorithm, Body, Change, ClusterId, Command, Grant, KeyFilter, KeyId,
    KeyListing, KeyName, KeyPage, KeySpec, KeyState, KeyringName, LabelFilter, Labels, LogIndex,
    NodeId, Outcome, PrincipalName, Protection, Purpose, RequestId, RewrapPolicy, Role, Scope,
    SeenKeyrings, State, TimeMs, Write,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// `a-` is ordered before `a/`.
const KEYRINGS: [&str; 3] = ["a", "a-b", "b"];

struct World {
    state: State,
    index: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            state: State::new(),
            index: 0,
        };
        let form = Body::Form {
            cluster: ClusterId([1; 16]),
            admins: vec![principal("root")],
        };
        world.apply(form);
        let custody = crate::commands::custody(0, 3, 2, false);
        world.write(Change::InitCustody(Box::new(custody)));
        world
    }

    fn apply(&mut self, body: Body) -> Outcome {
        self.index += 1;
        let command = Command {
            node: NodeId(1),
            time: TimeMs(self.index),
            body,
        };
        self.state.apply(LogIndex(self.index), command)
    }

    fn write(&mut self, change: Change) {
        let request = RequestId(u128::from(self.index).to_be_bytes());
        let outcome = self.apply(Body::Write(Write {
            request,
            attempt: 0,
            actor: Actor::Principal(principal("root")),
            source: String::new(),
            change,
        }));
        assert!(matches!(outcome, Outcome::Written(Ok(_))), "{outcome:?}");
    }

    fn create_once(&mut self, there: &mut BTreeMap<KeyName, New>, it: New) {
        there.entry(it.name()).or_insert_with(|| {
            self.create(&it);
            it
        });
    }

    fn create(&mut self, it: &New) {
        let spec = KeySpec {
            name: it.name(),
            algorithm: it.algorithm,
            protection: it.protection,
            labels: it.labels(),
            pre_active: it.pre_active,
            activate_at: None,
            rotate_every: None,
            rewrap: RewrapPolicy::default(),
            exportable: false,
        };
        let id = KeyId(u128::from(self.index).to_be_bytes());
        let set = self.state.custody().expect("there is one").set;
        let material = Box::new(crate::commands::wrapped(9).into());
        self.write(Change::CreateKey {
            spec,
            id,
            set,
            material,
        });
    }
}

fn principal(name: &str) -> PrincipalName {
    PrincipalName::new(name).expect("a good name")
}

/// A key to be created.
#[derive(Clone, Debug)]
struct New {
    keyring: usize,
    number: u8,
    algorithm: Algorithm,
    protection: Protection,
    pre_active: bool,
    labels: BTreeMap<String, String>,
}

impl New {
    fn name(&self) -> KeyName {
        let name = format!("{}/{:02}", KEYRINGS[self.keyring], self.number);
        KeyName::new(&name).expect("a good name")
    }

    fn labels(&self) -> Labels {
        Labels::new(self.labels.clone()).expect("few")
    }
}

fn new() -> impl Strategy<Value = New> {
    let algorithm = prop_oneof![Just(Algorithm::Aes256Gcm), Just(Algorithm::HmacSha256)];
    let protection = prop_oneof![Just(Protection::Software), Just(Protection::Hsm)];
    let labels = prop::collection::btree_map("[xy]", "[12]", 0..3);
    (
        0..3_usize,
        0_u8..40,
        algorithm,
        protection,
        any::<bool>(),
        labels,
    )
        .prop_map(
            |(keyring, number, algorithm, protection, pre_active, labels)| New {
                keyring,
                number,
                algorithm,
                protection,
                pre_active,
                labels,
            },
        )
}

fn filter() -> impl Strategy<Value = KeyFilter> {
    let label = ("[xy]", prop::option::of("[12]"));
    let label = label.prop_map(|(name, value)| LabelFilter { name, value });
    let state = prop_oneof![Just(KeyState::Active), Just(KeyState::PreActive)];
    let purpose = prop_oneof![Just(Purpose::Encrypt), Just(Purpose::Mac)];
    let algorithm = prop_oneof![Just(Algorithm::Aes256Gcm), Just(Algorithm::HmacSha256)];
    let protection = prop_oneof![Just(Protection::Software), Just(Protection::Hsm)];
    (
        prop::collection::btree_set(label, 0..2),
        prop::option::weighted(0.3, state),
        prop::option::weighted(0.2, purpose),
        prop::option::weighted(0.2, algorithm),
        prop::option::weighted(0.2, protection),
    )
        .prop_map(
            |(labels, state, purpose, algorithm, protection)| KeyFilter {
                labels,
                state,
                purpose,
                algorithm,
                protection,
            },
        )
}

/// The rule, word for word.
fn is_wanted(it: &New, wanted: &KeyListing, rings: &[usize]) -> bool {
    let filter = &wanted.filter;
    let state = if it.pre_active {
        KeyState::PreActive
    } else {
        KeyState::Active
    };
    let has = |label: &LabelFilter| match (it.labels.get(&label.name), &label.value) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(found), Some(value)) => found == value,
    };
    rings.contains(&it.keyring)
        && it.name().as_str().starts_with(&wanted.prefix)
        && filter.labels.iter().all(has)
        && filter.state.is_none_or(|it| it == state)
        && filter.purpose.is_none_or(|purpose| {
            purpose
                == if it.algorithm == Algorithm::Aes256Gcm {
                    Purpose::Encrypt
                } else {
                    Purpose::Mac
                }
        })
        && filter
            .algorithm
            .is_none_or(|algorithm| algorithm == it.algorithm)
        && filter
            .protection
            .is_none_or(|protection| protection == it.protection)
}

fn names(page: &KeyPage<'_>) -> Vec<String> {
    page.keys
        .iter()
        .map(|key| key.info.name.to_string())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Keys that were there all the time are listed exactly once, others at most once; nothing that does not fit.
    #[test]
    fn pages_neither_repeat_nor_skip(
        before in prop::collection::vec(new(), 0..60),
        between in prop::collection::vec(prop::collection::vec(new(), 0..4), 0..40),
        filter in filter(),
        prefix in prop_oneof![Just(String::new()), "a", "a/[0-3]", "a-", "[ab]/", "c"],
        rings in prop::option::of(prop::sample::subsequence(vec![0_usize, 1, 2], 0..3)),
        size in 1_usize..7, examined in 1_usize..9,
    ) {
        let mut world = World::new();
        let mut there = BTreeMap::new();
        for it in before {
            world.create_once(&mut there, it);
        }
        let wanted = KeyListing { prefix, filter };
        let all: Vec<usize> = rings.clone().unwrap_or_else(|| vec![0, 1, 2]);
        let seen = match &rings {
            None => SeenKeyrings::All,
            Some(rings) => {
                let scope = |ring: &usize| Scope::Keyring(KeyringName::new(KEYRINGS[*ring]).unwrap());
                rings.iter().map(scope).collect::<Vec<_>>().iter().collect()
            }
        };
        let always: BTreeSet<String> = there.values()
            .filter(|it| is_wanted(it, &wanted, &all)).map(|it| it.name().to_string()).collect();
        let mut listed = Vec::new();
        let mut after = None;
        let mut between = between.into_iter();
        loop {
            let page = world.state.key_page(&wanted, &seen, after.as_ref(), size, examined);
            prop_assert!(page.keys.len() <= size.min(examined));
            listed.extend(names(&page));
            let Some(next) = page.next else { break };
            prop_assert!(after.as_ref().is_none_or(|after| next > *after), "it goes on");
            let visible = all.iter().any(|ring| next.keyring().as_str() == KEYRINGS[*ring]);
            prop_assert!(visible, "where a page ends says nothing of other keyrings: {next}");
            after = Some(next);
            for it in between.next().unwrap_or_default() {
                world.create_once(&mut there, it);
            }
        }
        prop_assert!(listed.is_sorted());
        let once: BTreeSet<String> = listed.iter().cloned().collect();
        prop_assert_eq!(once.len(), listed.len(), "none twice");
        prop_assert!(always.is_subset(&once), "{:?} lacks some of {:?}", once, always);
        for name in &once {
            let it = &there[&KeyName::new(name).unwrap()];
            prop_assert!(is_wanted(it, &wanted, &all), "{name} is not wanted");
        }
    }

    #[test]
    fn lists_are_told_apart(one in filter(), other in filter(), a in "[ab]{0,2}", b in "[ab]{0,2}") {
        let one = KeyListing { prefix: a, filter: one };
        let other = KeyListing { prefix: b, filter: other };
        prop_assert_eq!(one.digest() == other.digest(), one == other);
    }
}

/// A filter that nothing fits holds the state for a bounded time only.
#[test]
fn an_empty_page_may_not_be_the_last_one() {
    let mut world = World::new();
    for number in 0..10 {
        world.create(&New {
            keyring: 0,
            number,
            algorithm: Algorithm::Aes256Gcm,
            protection: Protection::Software,
            pre_active: false,
            labels: BTreeMap::new(),
        });
    }
    let state = Some(KeyState::Destroyed);
    let filter = KeyFilter {
        state,
        ..KeyFilter::default()
    };
    let prefix = String::new();
    let wanted = KeyListing { prefix, filter };
    let page = |after: Option<&KeyName>| {
        let page = world
            .state
            .key_page(&wanted, &SeenKeyrings::All, after, 5, 6);
        (page.keys.len(), page.next)
    };
    let next = KeyName::new("a/05").unwrap();
    assert_eq!(page(None), (0, Some(next.clone())));
    assert_eq!(page(Some(&next)), (0, None));
}

#[test]
fn keyrings_are_seen_by_grants() {
    let mut world = World::new();
    let scopes = |state: &State| -> SeenKeyrings {
        let ann = principal("ann");
        state.access().scopes(&ann, Action::ReadKey).collect()
    };
    assert_eq!(scopes(&world.state), SeenKeyrings::Some(BTreeSet::new()));
    for (ring, role) in [
        ("a", Role::User),
        ("b", Role::UseCompromised),
        ("a-b", Role::Admin),
    ] {
        let scope = Scope::Keyring(KeyringName::new(ring).unwrap());
        let grant = Grant {
            principal: principal("ann"),
            scope,
            role,
        };
        world.write(Change::Grant(grant));
    }
    let two = BTreeSet::from(["a/".to_owned(), "a-b/".to_owned()]);
    assert_eq!(scopes(&world.state), SeenKeyrings::Some(two));
    let scope = Scope::All;
    let role = Role::Operator;
    let principal = principal("ann");
    world.write(Change::Grant(Grant {
        principal,
        scope,
        role,
    }));
    assert_eq!(scopes(&world.state), SeenKeyrings::All);
}
