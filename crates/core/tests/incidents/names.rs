//! Names, lists and sizes.

use crate::cluster::{Cluster, create, grant, key, ring, who};
use conclave_core::{
    Action, Body, Change, Command, CustodianName, Direction, KeyName, KeyringName, NodeId,
    Operation, Pairs, PrincipalName, Role, Scope, TimeMs, limits,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn two_names_one_identity() {
    let twins = [
        "Ann",
        "ANN",
        " ann",
        "ann ",
        "ann\t",
        "ann\n",
        "ann\0",
        "a\u{0430}nn",
        "\u{ff41}nn",
        "ann\u{200b}",
        "a\u{0301}nn",
        "\u{feff}ann",
        "ann%20",
        "ann/",
        "/ann",
        "ann*",
        "*",
        "",
        "-ann",
        ".ann",
        "_ann",
    ];
    for twin in twins {
        assert!(PrincipalName::new(twin).is_err(), "{twin:?}");
        assert!(KeyringName::new(twin).is_err(), "{twin:?}");
        assert!(CustodianName::new(twin).is_err(), "{twin:?}");
        assert!(KeyName::new(&format!("{twin}/k")).is_err(), "{twin:?}");
    }
    // What differs by one byte is somebody else.
    let mut cluster = Cluster::with_custody();
    cluster.must("root", Change::Grant(grant("ann", &Scope::All, Role::User)));
    cluster.must("root", create("a/k", 1, None));
    for (name, allowed) in [
        ("ann", true),
        ("ann.", false),
        ("ann-", false),
        ("an", false),
    ] {
        let decision = cluster.state.decide_use(
            &who(name),
            Operation::Encrypt,
            Direction::Protect,
            &key("a/k"),
            None,
        );
        assert_eq!(decision.is_ok(), allowed, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing is folded: a name is accepted unchanged or not at all, by the door and by the
    /// decoder.
    #[test]
    fn name_normalised_into_a_privileged_one(text in "\\PC{0,70}|[a-zA-Z0-9./_* %-]{0,70}") {
        let bytes = postcard::to_stdvec(&text).unwrap();
        if let Ok(name) = PrincipalName::new(&text) {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()
                || b"._-".contains(&b)));
        } else {
            prop_assert!(postcard::from_bytes::<PrincipalName>(&bytes).is_err());
        }
        if let Ok(name) = KeyName::new(&text) {
            prop_assert_eq!(name.as_str(), &text);
            let keyring = name.keyring();
            prop_assert_eq!(Some(keyring.as_str()), text.split('/').next());
            prop_assert!(KeyringName::new(keyring.as_str()).is_ok());
        } else {
            prop_assert!(postcard::from_bytes::<KeyName>(&bytes).is_err());
        }
    }
}

#[test]
fn authorised_before_made_canonical() {
    let spellings = [
        "a/./k",
        "a/../k",
        "a//k",
        "/a/k",
        "a/k/",
        "a/",
        "a",
        "./a/k",
        "../a/k",
        "a/k/..",
        "a/k/.",
        "a%2fk",
        "a/%2e%2e/k",
        "a/%2e/k",
        "a\\k",
        "a/k?x",
        "a/k#x",
        "a;b/k",
        "A/k",
        "a/K",
        "a/ k",
        "a/k ",
        "a/\u{2024}\u{2024}/k",
        "a\u{2215}k",
        "a/.k",
        "a/-k",
    ];
    for spelling in spellings {
        assert!(KeyName::new(spelling).is_err(), "{spelling:?}");
        let bytes = postcard::to_stdvec(spelling).unwrap();
        assert!(
            postcard::from_bytes::<KeyName>(&bytes).is_err(),
            "decoded {spelling:?}"
        );
    }
    // And dots inside a segment are not a way up.
    assert_eq!(key("a/b../k").keyring().as_str(), "a");
    assert_eq!(key("a../k").keyring().as_str(), "a..");
}

#[test]
fn wildcard_through_an_identity() {
    for name in [
        "*", "a*", "a/*", "**", "?", "[a-z]", "a|b", "$", "^a", "a,b", "{a,b}", "a/b",
    ] {
        assert!(PrincipalName::new(name).is_err(), "{name}");
        assert!(KeyringName::new(name).is_err(), "{name}");
    }
    // A keyring whose name is a prefix, or has a dot where an expression has any character.
    let mut cluster = Cluster::new();
    cluster.must(
        "root",
        Change::Grant(grant("ann", &ring("p.y"), Role::User)),
    );
    cluster.must(
        "root",
        Change::Grant(grant("ann", &ring("pay"), Role::User)),
    );
    for (at, allowed) in [
        ("p.y", true),
        ("pay", true),
        ("pzy", false),
        ("payments", false),
    ] {
        let permits = cluster
            .state
            .access()
            .permits(&who("ann"), Action::UseKey, &ring(at));
        assert_eq!(permits, allowed, "{at}");
    }
}

#[test]
fn range_and_list_bounds() {
    let mut cluster = Cluster::with_custody();
    let names = ["a/k", "a/k-1", "a/k/z", "a/kz", "aa/k", "b/k"];
    for (n, name) in (0..).zip(names) {
        cluster.must("root", create(name, n, None));
    }
    let list = |prefix: &str, after: Option<&str>| -> Vec<String> {
        let after = after.map(key);
        let keys = cluster.state.keys(prefix, after.as_ref());
        keys.map(|key| key.info.name.to_string()).collect()
    };
    assert_eq!(list("", None).len(), names.len());
    assert_eq!(list("", Some("b/k")), Vec::<String>::new());
    assert_eq!(list("", Some("a/k")), &list("", None)[1..]);
    assert_eq!(list("a/", None), ["a/k", "a/k-1", "a/k/z", "a/kz"]);
    assert_eq!(list("a", None).len(), 5);
    assert_eq!(
        list("b", Some("a/k")),
        ["b/k"],
        "the prefix begins behind the cursor"
    );
    assert_eq!(
        list("a/", Some("b/k")),
        Vec::<String>::new(),
        "the cursor is behind the prefix"
    );
    assert_eq!(
        list("b/k", Some("b/k")),
        Vec::<String>::new(),
        "the last element"
    );
    assert_eq!(list("b/k", None), ["b/k"]);
    assert_eq!(list("a/k", Some("a/k")), ["a/k-1", "a/k/z", "a/kz"]);
    assert_eq!(list("\u{10ffff}", None), Vec::<String>::new());
    assert_eq!(list("a/k\0", None), Vec::<String>::new());
}

#[test]
fn quota_evaded_by_encoding() {
    // Bytes are counted, not characters; names count like values; all splits count alike.
    let pairs = |name: String, value: String| Pairs::new(BTreeMap::from([(name, value)]));
    let max = limits::PAIRS_BYTES_MAX;
    for (name, value) in [(1, max - 1), (max - 1, 1), (max, 0), (max / 2, max / 2)] {
        assert!(pairs("n".repeat(name), "v".repeat(value)).is_ok());
        assert!(pairs("n".repeat(name), "v".repeat(value + 1)).is_err());
    }
    assert!(pairs("n".to_owned(), "\u{1f511}".repeat(max / 4 + 1)).is_err());
    assert!(pairs(String::new(), "v".to_owned()).is_err());
    let many = |n: usize| Pairs::new((0..n).map(|n| (format!("{n}"), String::new())).collect());
    assert!(many(limits::PAIRS_MAX).is_ok() && many(limits::PAIRS_MAX + 1).is_err());
    // The decoder keeps the same limits as the door, so no command gets round it.
    let big = BTreeMap::from([("n".to_owned(), "v".repeat(max))]);
    assert!(postcard::from_bytes::<Pairs>(&postcard::to_stdvec(&big).unwrap()).is_err());
    // A number spelt with more bytes than it takes is the same request, or none.
    let command = Command {
        node: NodeId(1),
        time: TimeMs(1),
        body: Body::Tick,
    };
    let canonical = command.encode();
    let padded = [&canonical[..1], &[0x81, 0x00], &canonical[2..]].concat();
    assert!(Command::decode(&padded).is_err() || Command::decode(&padded) == Ok(command));
    assert!(Command::decode(&[canonical.as_slice(), &[0]].concat()).is_err());
}
