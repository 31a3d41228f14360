//! Rows that do not fit each other, or that were damaged, are an error that names the row.

use conclave_core::{
    Actor, Algorithm, BatchId, Body, Change, ClusterId, Command, CorruptRow, Custodian,
    CustodianName, Custody, Generation, KekNumber, KeyId, KeyName, KeySpec, LogIndex, NodeId,
    Outcome, Pairs, PrincipalName, Protection, RequestId, RootWrapped, SetId, State, Table, TimeMs,
    UseBatch, Wrapped, Write, limits,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn apply(state: &mut State, index: u64, body: Body) -> Outcome {
    let (node, time) = (NodeId(1), TimeMs(1_000));
    state.apply(LogIndex(index), Command { node, time, body })
}

fn write(principal: &str, request: u64, change: Change) -> Body {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&request.to_be_bytes());
    Body::Write(Write {
        request: RequestId(id),
        attempt: 0,
        actor: Actor::Principal(PrincipalName::new(principal).expect("a good name")),
        source: String::new(),
        change,
    })
}

fn create(name: &str, id: u8) -> Change {
    let spec = KeySpec {
        name: KeyName::new(name).expect("a good name"),
        algorithm: Algorithm::Aes256Gcm,
        protection: Protection::Software,
        labels: Pairs::default(),
        pre_active: true,
        activate_at: Some(TimeMs(5_000)),
        rotate_every: None,
        rewrap: conclave_core::RewrapPolicy::default(),
        exportable: false,
    };
    Change::CreateKey {
        spec,
        id: KeyId([id; 16]),
        set: SetId([2; 16]),
        material: Box::new(wrapped().into()),
    }
}

fn wrapped() -> Wrapped {
    Wrapped {
        kek: KekNumber(1),
        blob: vec![1; 40],
        tag: Vec::new(),
    }
}

fn ceremony() -> Change {
    let custodian = |name: &str| Custodian {
        name: CustodianName::new(name).expect("a good name"),
        recipient: format!("age1{name}"),
        share_digest: [6; 32],
    };
    Change::InitCustody(Box::new(Custody {
        set: SetId([2; 16]),
        generation: Generation(1),
        threshold: 2,
        custodians: ["dora", "emil"].map(custodian).into(),
        check_value: [4; 32],
        wrapped: RootWrapped {
            hsm_kek: wrapped(),
            software_kek: wrapped(),
            integrity_key: wrapped(),
            audit_signing_key: wrapped(),
        },
        audit_verifier_key: "audit+1".to_owned(),
        confirmed: false,
    }))
}

/// A root key, two keys, a grant, requests and a batch.
fn rows() -> (State, Rows) {
    let mut state = State::new();
    let admins = vec![PrincipalName::new("root").expect("a good name")];
    apply(
        &mut state,
        1,
        Body::Form {
            cluster: ClusterId([1; 16]),
            admins,
        },
    );
    apply(&mut state, 2, write("root", 0, ceremony()));
    apply(&mut state, 3, write("root", 1, create("a/k", 1)));
    apply(&mut state, 4, write("root", 2, create("b/k", 2)));
    let id = BatchId {
        incarnation: 5,
        sequence: 0,
    };
    apply(
        &mut state,
        5,
        Body::Uses(UseBatch {
            id,
            records: Vec::new(),
        }),
    );
    let mut rows = Rows::new();
    for change in state.take_changes() {
        let value = change.value.expect("nothing was removed");
        rows.insert((change.table, change.key), value);
    }
    (state, rows)
}

fn on_disk_only(table: Table) -> bool {
    matches!(table, Table::Audit | Table::AuditTree | Table::History)
}

fn load(rows: &Rows) -> Result<State, CorruptRow> {
    State::load(
        rows.iter()
            .map(|((table, key), value)| (*table, key.clone(), value.clone())),
    )
}

fn refused(change: impl FnOnce(&mut Rows)) -> Table {
    let (_, mut rows) = rows();
    change(&mut rows);
    load(&rows).expect_err("the rows do not fit").table
}

#[test]
fn rows_load_in_any_order_and_others_of_meta_are_passed_over() {
    let (state, mut rows) = rows();
    rows.insert((Table::Meta, b"applied".to_vec()), vec![255; 3]);
    let backwards = rows.iter().rev();
    let loaded = State::load(backwards.map(|((table, key), it)| (*table, key.clone(), it.clone())));
    assert_eq!(loaded, Ok(state));
    assert_eq!(load(&Rows::new()), Ok(State::new()));
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let key = |id: u8| (Table::Keys, vec![id; 16]);
    let of = |rows: &Rows, table: Table| {
        let mut names = rows.keys().filter(|(other, _)| *other == table);
        names.next().expect("there is one").clone()
    };
    assert_eq!(
        refused(|rows| rows.retain(|(table, _), _| *table != Table::Meta)),
        Table::Meta
    );
    assert_eq!(
        refused(|rows| rows.retain(|(table, _), _| *table != Table::Keys)),
        Table::Versions
    );
    assert_eq!(
        refused(|rows| rows.retain(|(table, _), _| *table != Table::Versions)),
        Table::Keys
    );
    // Two blobs swapped: each row says whose it is.
    let swap = |rows: &mut Rows| {
        let (one, two) = (rows[&key(1)].clone(), rows[&key(2)].clone());
        rows.insert(key(1), two);
        rows.insert(key(2), one);
    };
    assert_eq!(refused(swap), Table::Keys);
    let twice = |rows: &mut Rows| {
        let (mut row, version) = (rows[&key(1)].clone(), of(rows, Table::Versions));
        row[1..17].fill(3);
        let name = [vec![3; 16], vec![0, 0, 0, 1]].concat();
        rows.insert((Table::Versions, name), rows[&version].clone());
        rows.insert(key(3), row);
    };
    assert_eq!(refused(twice), Table::Keys, "two keys of one name");
    let not_given = |rows: &mut Rows| {
        let row = rows[&of(rows, Table::Requests)].clone();
        rows.insert((Table::Requests, vec![255; 8]), row);
    };
    assert_eq!(refused(not_given), Table::Requests);
    let too_much_erased = |rows: &mut Rows| {
        rows.insert((Table::Erased, vec![0, 0, 0, 0, 0, 0, 0, 1]), vec![1, 9]);
    };
    assert_eq!(refused(too_much_erased), Table::Erased);
    let use_of_nothing = |rows: &mut Rows| {
        let name = [vec![1; 16], vec![0, 0, 0, 2]].concat();
        rows.insert((Table::Usage, name), vec![1, 3, 3]);
    };
    assert_eq!(refused(use_of_nothing), Table::Usage);
    assert_eq!(refused(data_key_under_nothing), Table::DataKeys);
    let nodeless = |rows: &mut Rows| {
        rows.retain(|(table, name), _| *table != Table::Batches || name.len() == 24);
    };
    assert_eq!(refused(nodeless), Table::Batches);
    let ended = |rows: &mut Rows| {
        let (table, mut name) = rows
            .keys()
            .find(|(_, name)| name.len() == 24)
            .cloned()
            .unwrap();
        let row = rows[&(table, name.clone())].clone();
        name[15] = 9;
        rows.insert((table, name), row);
    };
    assert_eq!(refused(ended), Table::Batches);
    for table in Table::ALL.into_iter().filter(|table| {
        ![Table::Meta, Table::Audit, Table::AuditTree, Table::History].contains(table)
    }) {
        let strange = |rows: &mut Rows| {
            rows.insert((table, b"strange".to_vec()), vec![1, 0]);
        };
        assert_eq!(refused(strange), table);
    }
}

fn data_key_under_nothing(rows: &mut Rows) {
    let data_key = conclave_core::DataKey {
        key: KeyId([1; 16]),
        version: conclave_core::VersionNumber(2),
        wrapped: vec![1].into(),
        context: Pairs::default(),
        labels: Pairs::default(),
        created_at: TimeMs(1),
        revision: conclave_core::Revision(1),
    };
    let row = postcard::to_extend(&data_key, vec![1]).expect("it can be written");
    rows.insert((Table::DataKeys, vec![1; 16]), row);
}

fn alias(rows: &mut Rows, name: &str, target: u8) {
    let alias = conclave_core::Alias {
        target: KeyId([target; 16]),
        created_at: TimeMs(1),
        changed_at: TimeMs(1),
        revision: conclave_core::Revision(1),
    };
    let row = postcard::to_extend(&alias, vec![1]).expect("it can be written");
    rows.insert((Table::Aliases, name.as_bytes().to_vec()), row);
}

#[test]
fn aliases_that_do_not_fit_are_refused() {
    let loaded = |name: &str, target| {
        let (_, mut rows) = rows();
        alias(&mut rows, name, target);
        load(&rows).map_err(|corrupt| corrupt.table)
    };
    assert!(loaded("a/x", 1).is_ok());
    for (name, target) in [("a/x", 99), ("a/k", 1), ("other/x", 1), ("a", 1)] {
        assert_eq!(
            loaded(name, target),
            Err(Table::Aliases),
            "{name} of {target}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_rows_are_an_error_and_not_a_panic(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        flip in 1_u8.., cut in any::<bool>(),
    ) {
        let (_, mut rows) = rows();
        let name = rows.keys().nth(which.index(rows.len())).unwrap().clone();
        let value = rows.get_mut(&name).unwrap();
        // Of some rows the name says it all.
        prop_assume!(!value.is_empty());
        let at = at.index(value.len());
        if cut {
            value.truncate(at);
        } else {
            value[at] ^= flip;
        }
        let loaded = load(&rows);
        prop_assert!(!cut || on_disk_only(name.0) || loaded.is_err());
    }
}

#[test]
fn request_memory_of_the_cluster_is_bounded() {
    let (mut state, rows) = rows();
    let mut count = rows
        .keys()
        .filter(|(table, _)| *table == Table::Requests)
        .count();
    let per_principal = limits::REQUESTS_PER_PRINCIPAL_MAX as u64;
    for n in 0..limits::REQUESTS_MAX as u64 + 10 {
        let principal = format!("p{}", n / per_principal);
        apply(&mut state, n + 6, write(&principal, n, create("a/k", 1)));
        for change in state.take_changes() {
            if change.table == Table::Requests {
                count = if change.value.is_some() {
                    count + 1
                } else {
                    count - 1
                };
            }
        }
        assert!(count <= limits::REQUESTS_MAX);
    }
    assert_eq!(count, limits::REQUESTS_MAX);
}
