//! Names that lead elsewhere than somebody thinks.

use crate::cluster::{Cluster, batch, create, grant, key, use_record, who};
use conclave_core::limits::ALIASES_PER_KEY_MAX;
use conclave_core::outcome::LimitedThing;
use conclave_core::{
    Change, Denial, Direction, ExpectedAlias, Operation, Outcome, Refusal, Role, Scope,
    SeenKeyrings, State, Transition, UseRecord, UseRefusal, Verdict,
};
use proptest::prelude::*;

fn set(alias: &str, target: &str, expected: ExpectedAlias) -> Change {
    Change::SetAlias {
        alias: key(alias),
        target: key(target),
        expected,
    }
}

fn delete(alias: &str) -> Change {
    Change::DeleteAlias { alias: key(alias) }
}

/// Two keys, and an alias of the first.
fn two_keys() -> Cluster {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", Change::Grant(grant("ann", &Scope::All, Role::User)));
    cluster.must("root", create("a/one", 1, None));
    cluster.must("root", create("a/two", 2, None));
    cluster.must("root", set("a/x", "a/one", ExpectedAlias::Absent));
    cluster
}

/// What a node would hand in that decides on `state`.
fn encryption(state: &State, name: &str) -> UseRecord {
    let permit = state.decide_use(
        &who("ann"),
        Operation::Encrypt,
        Direction::Protect,
        &key(name),
        None,
    );
    let mut record = use_record(state, "test");
    record.operation = Operation::Encrypt;
    match permit {
        Ok(permit) => record.key = Some(permit.used_key()),
        Err(denial) => {
            record.key = Some(state.refused_key(&key(name), None));
            record.refusal = Some(denial.refusal());
        }
    }
    record
}

fn verdict(cluster: &mut Cluster, sequence: u64, record: UseRecord) -> Verdict {
    let outcome = cluster.apply(batch(1, sequence, vec![record]));
    let Outcome::Verdicts(verdicts) = outcome else {
        panic!("{outcome:?}");
    };
    verdicts[0]
}

/// P1: what was decided before an alias moved or went is not recorded after it, and so not released.
#[test]
fn a_use_by_an_alias_that_moved() {
    let moves: [&[Change]; 4] = [
        &[set("a/x", "a/two", ExpectedAlias::Present)],
        &[delete("a/x")],
        &[delete("a/x"), set("a/x", "a/two", ExpectedAlias::Absent)],
        // There and back: nobody can say what it read.
        &[
            set("a/x", "a/two", ExpectedAlias::Present),
            set("a/x", "a/one", ExpectedAlias::Present),
        ],
    ];
    for changes in moves {
        let mut cluster = two_keys();
        let by_alias = encryption(&cluster.state, "a/x");
        let used = by_alias.key.clone().expect("it has one");
        assert_eq!((used.name, used.alias), (key("a/one"), Some(key("a/x"))));
        for change in changes {
            cluster.must("root", change.clone());
        }
        assert_eq!(
            verdict(&mut cluster, 0, by_alias),
            Verdict::Retry,
            "{changes:?}"
        );
    }
    // Unmoved, it is recorded with both names.
    let mut cluster = two_keys();
    cluster.leaves();
    let by_alias = encryption(&cluster.state, "a/x");
    assert!(matches!(
        verdict(&mut cluster, 0, by_alias),
        Verdict::Recorded(_)
    ));
    let leaf = cluster.leaves().pop().expect("a record");
    assert_eq!((leaf.key.as_str(), leaf.alias.as_str()), ("a/one", "a/x"));
}

/// That there is no such key is no longer so when there is an alias of the name.
#[test]
fn a_refusal_that_an_alias_overtakes() {
    let mut cluster = two_keys();
    let missing = encryption(&cluster.state, "a/y");
    assert_eq!(missing.refusal, Some(UseRefusal::KeyNotFound));
    cluster.must("root", set("a/y", "a/one", ExpectedAlias::Absent));
    assert_eq!(verdict(&mut cluster, 0, missing), Verdict::Retry);
}

/// A key and an alias of one name: which one a use meant would depend on where it was looked up.
#[test]
fn an_alias_that_shadows_a_key() {
    let mut cluster = two_keys();
    let (alias, of) = (key("a/x"), key("a/one"));
    let taken = cluster.write("root", create("a/x", 3, None));
    assert_eq!(taken, Err(Refusal::AliasExists { alias, key: of }));
    let taken = cluster.write("root", set("a/two", "a/one", ExpectedAlias::Absent));
    assert_eq!(taken, Err(Refusal::KeyExists(key("a/two"))));
    let itself = cluster.write("root", set("a/one", "a/one", ExpectedAlias::Absent));
    assert_eq!(itself, Err(Refusal::KeyExists(key("a/one"))));
    // No chains: the end of one would move without a word.
    let chain = cluster.write("root", set("a/y", "a/x", ExpectedAlias::Absent));
    assert!(matches!(chain, Err(Refusal::NamedByAlias { .. })));
    cluster.must("root", delete("a/x"));
    cluster.must("root", create("a/x", 3, None));
    assert!(cluster.state.key(&key("a/x")).is_some());
}

/// Whoever may use the alias follows from the keyring of its key, so both are of one.
#[test]
fn an_alias_into_another_keyring() {
    let mut cluster = two_keys();
    let ring = Scope::Keyring(key("b/x").keyring());
    cluster.must("root", Change::Grant(grant("bob", &ring, Role::Admin)));
    let refused = cluster.write("bob", set("b/x", "a/one", ExpectedAlias::Absent));
    let (alias, of) = (key("b/x"), key("a/one"));
    assert_eq!(refused, Err(Refusal::AliasKeyring { alias, key: of }));
    let refused = cluster.write("bob", set("a/y", "a/one", ExpectedAlias::Absent));
    assert!(matches!(refused, Err(Refusal::PermissionDenied(_))));
    let refused = cluster.write("bob", delete("a/x"));
    assert!(matches!(refused, Err(Refusal::PermissionDenied(_))));
    let denied = cluster.state.decide_use(
        &who("bob"),
        Operation::Encrypt,
        Direction::Protect,
        &key("a/x"),
        None,
    );
    assert!(matches!(denied, Err(Denial::Permission { .. })));
}

/// Nobody destroys a key through a name that may have moved since.
#[test]
fn a_key_is_changed_by_its_own_name_only() {
    let mut cluster = two_keys();
    let transition = Change::Transition {
        name: key("a/x"),
        version: None,
        transition: Transition::Suspend,
    };
    let refused = cluster
        .write("root", transition)
        .expect_err("by its own name");
    assert_eq!(refused.reason(), "NAMED_BY_ALIAS");
    assert!(
        refused.to_string().contains("a/one"),
        "it names the key: {refused}"
    );
    let view = cluster.state.alias(&key("a/x")).expect("it stays");
    assert_eq!((view.key, view.earlier), (key("a/one"), None));
}

#[test]
fn a_key_has_so_many_aliases() {
    let mut cluster = two_keys();
    for n in 1..ALIASES_PER_KEY_MAX {
        cluster.must(
            "root",
            set(&format!("a/x{n}"), "a/one", ExpectedAlias::Absent),
        );
    }
    cluster.must("root", set("a/y", "a/two", ExpectedAlias::Absent));
    let limit = Refusal::LimitReached {
        what: LimitedThing::AliasesOfKey,
        max: 100,
    };
    let one_more = cluster.write("root", set("a/z", "a/one", ExpectedAlias::Absent));
    assert_eq!(one_more, Err(limit.clone()));
    let moved = cluster.write("root", set("a/y", "a/one", ExpectedAlias::Present));
    assert_eq!(moved, Err(limit));
    // One that stays takes no more room.
    cluster.must("root", set("a/x1", "a/one", ExpectedAlias::Present));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Aliases, too, are listed once, whatever is made or deleted in between.
    #[test]
    fn pages_of_aliases_neither_repeat_nor_skip(
        names in prop::collection::btree_set("[abc]/x[0-9]", 1..20),
        between in prop::collection::vec("[abc]/x[0-9]", 0..20),
        prefix in prop_oneof![Just(String::new()), "[abc]", "[abc]/x[0-4]"],
        size in 1_usize..5, of_one in any::<bool>(),
    ) {
        let mut cluster = two_keys();
        cluster.must("root", delete("a/x"));
        let rings = ["a", "b", "c"].map(|ring| format!("{ring}/one"));
        for (n, name) in (3..).zip(&rings[1..]) {
            cluster.must("root", create(name, n, None));
        }
        let target = |alias: &str| format!("{}/one", &alias[..1]);
        for name in &names {
            cluster.must("root", set(name, &target(name), ExpectedAlias::Absent));
        }
        let one = cluster.state.key(&key("b/one")).expect("it was made").info.id;
        let of = of_one.then_some(one);
        let mut between = between.into_iter();
        let (mut listed, mut after, mut touched) = (Vec::new(), None, Vec::new());
        loop {
            let page = cluster.state.alias_page(&prefix, of, &SeenKeyrings::All, after.as_ref(), size);
            prop_assert!(page.aliases.len() <= size);
            listed.extend(page.aliases.into_iter().map(|view| view.name.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
            if let Some(name) = between.next() {
                let made = set(&name, &target(&name), ExpectedAlias::Absent);
                if cluster.write("root", made).is_err() {
                    cluster.must("root", delete(&name));
                }
                touched.push(name);
            }
        }
        prop_assert!(listed.is_sorted_by(|a, b| a < b), "{listed:?}");
        let wanted = |name: &&String| name.starts_with(&prefix) && (!of_one || name.starts_with("b/"));
        for name in names.iter().filter(wanted).filter(|name| !touched.contains(name)) {
            prop_assert!(listed.contains(name), "{name} is missing in {listed:?}");
        }
        for name in &listed {
            prop_assert!(wanted(&name) && (names.contains(name) || touched.contains(name)));
        }
    }
}
