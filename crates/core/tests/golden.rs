//! What is stored and sent, byte for byte: a rolling upgrade reads what the older node wrote.
//!
//! Set `CONCLAVE_REWRITE_GOLDEN=1` to write the files anew; never for a format that was released.

use conclave_core::{
    Actor, Algorithm, AttemptId, AuditOutcome, AuditRecord, AuditSequence, BatchId, Body, Change,
    ClusterId, Command, Custodian, CustodianName, Custody, CustodyEvent, DataKeyId, DataKeyUse,
    EncryptionContext, ExpectedAlias, Generation, Grant, ImportJobId, ImportLife, ImportMethod,
    ImportTarget, KekNumber, KeyId, KeyName, KeySpec, KeyState, KeyringName, LogIndex, Material,
    NewDataKey, NewImportJob, NodeId, Operation, Outcome, Pairs, PrincipalName, Protection,
    Purpose, Refusal, RequestId, Revision, RewrapPolicy, Rewrapped, Role, RootWrapped,
    RotationPeriod, Scope, SetId, State, Table, TimeMs, Transition, UseBatch, UseRecord,
    UseRefusal, UsedKey, Verdict, VersionNumber, WaitingPeriod, Wrapped, Write, Written,
    outcome::{ActionName, LimitedThing, Malformation},
};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn directory() -> PathBuf {
    // Relative to the package, where tests run: what was built in one clone may be run in another.
    PathBuf::from("tests/golden")
}

/// The bytes of the file, and that `written` is still equal to them.
fn golden(name: &str, written: &[u8]) -> Vec<u8> {
    let path = directory().join(format!("{name}.hex"));
    if std::env::var("CONCLAVE_REWRITE_GOLDEN").is_ok_and(|it| it == "1") {
        std::fs::write(&path, format!("{}\n", hex::encode(written))).expect("the tree is writable");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let bytes = hex::decode(text.trim()).expect("golden files are hexadecimal");
    assert_eq!(
        hex::encode(written),
        hex::encode(&bytes),
        "{name} is written in another way"
    );
    bytes
}

fn principal(name: &str) -> PrincipalName {
    PrincipalName::new(name).expect("a good name")
}

fn key_name() -> KeyName {
    KeyName::new("payments/card-pan").expect("a good name")
}

fn pairs() -> Pairs {
    let pairs = [("env", "prod"), ("team", "cards")];
    Pairs::new(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()).expect("small")
}

fn wrapped(fill: u8) -> Wrapped {
    Wrapped {
        kek: KekNumber(3),
        blob: vec![fill; 40],
        tag: vec![fill; 32],
    }
}

fn spec(name: &str, pre_active: bool) -> KeySpec {
    KeySpec {
        name: KeyName::new(name).expect("a good name"),
        algorithm: Algorithm::Aes256Gcm,
        protection: Protection::Hsm,
        labels: pairs(),
        pre_active,
        activate_at: pre_active.then_some(TimeMs(1_700_000_900_000)),
        rotate_every: pre_active.then(period),
        rewrap: RewrapPolicy::default(),
        exportable: false,
    }
}

fn period() -> RotationPeriod {
    RotationPeriod::from_ms(90 * 86_400_000).expect("within its bounds")
}

fn grant(scope: Scope, role: Role) -> Grant {
    Grant {
        principal: principal("ann"),
        scope,
        role,
    }
}

fn keyring() -> Scope {
    Scope::Keyring(KeyringName::new("payments").expect("a good name"))
}

fn custody() -> Custody {
    let custodian = |name: &str| Custodian {
        name: CustodianName::new(name).expect("a good name"),
        recipient: format!("age1{name}"),
        share_digest: [6; 32],
    };
    Custody {
        set: SetId([2; 16]),
        generation: Generation(1),
        threshold: 2,
        custodians: ["dora", "emil", "fay"].map(custodian).into(),
        check_value: [4; 32],
        wrapped: RootWrapped {
            hsm_kek: wrapped(1),
            software_kek: wrapped(2),
            integrity_key: wrapped(3),
            audit_signing_key: wrapped(4),
        },
        audit_verifier_key: "audit.example+1a2b3c4d+key".to_owned(),
        confirmed: false,
    }
}

fn record(revision: u64, refusal: Option<UseRefusal>) -> UseRecord {
    let used = UsedKey {
        name: key_name(),
        id: Some(KeyId([7; 16])),
        version: Some(VersionNumber(1)),
        revision: Revision(revision),
        alias: None,
    };
    UseRecord {
        request: RequestId([9; 16]),
        attempt: 2,
        principal: principal("ann"),
        source: "192.0.2.7:4711".to_owned(),
        operation: Operation::ReEncrypt,
        key: Some(used.clone()),
        destination: Some(used),
        data_key: None,
        context: pairs(),
        count: 3,
        refusal,
        access_revision: Revision(1),
    }
}

fn command(body: Body) -> Command {
    Command {
        node: NodeId(2),
        time: TimeMs(1_700_000_000_000),
        body,
    }
}

fn write(request: u8, actor: Actor, change: Change) -> Command {
    let source = "192.0.2.7:4711".to_owned();
    let request = RequestId([request; 16]);
    command(Body::Write(Write {
        request,
        attempt: 1,
        actor,
        source,
        change,
    }))
}

fn transition(version: Option<VersionNumber>, transition: Transition) -> Change {
    Change::Transition {
        name: key_name(),
        version,
        transition,
    }
}

/// One change of each kind, in an order in which most are carried out.
fn changes() -> Vec<(&'static str, Change)> {
    let set = SetId([2; 16]);
    let custodian = CustodianName::new("dora").expect("a good name");
    let create = |name, id, pre_active| Change::CreateKey {
        spec: spec(name, pre_active),
        id: KeyId([id; 16]),
        set,
        material: Box::new(wrapped(5).into()),
    };
    let rotate = Change::RotateKey {
        name: key_name(),
        id: KeyId([7; 16]),
        version: VersionNumber(2),
        material: Box::new(wrapped(6).into()),
    };
    let attempt = AttemptId([3; 16]);
    let accepted = CustodyEvent::ShareAccepted {
        custodian: custodian.clone(),
        set,
        attempt,
    };
    let refused = CustodyEvent::ShareRefused {
        custodian: Some(custodian),
        reason: "SHARE_WRONG".to_owned(),
    };
    vec![
        ("init-custody", Change::InitCustody(Box::new(custody()))),
        ("share-accepted", Change::Custody(accepted)),
        ("share-refused", Change::Custody(refused)),
        (
            "unsealed",
            Change::Custody(CustodyEvent::Unsealed { set, attempt }),
        ),
        ("resumed", Change::Custody(CustodyEvent::Resumed)),
        (
            "cancelled",
            Change::Custody(CustodyEvent::Cancelled { attempt }),
        ),
        (
            "sealed",
            Change::Custody(CustodyEvent::Sealed {
                reason: "operator".to_owned(),
            }),
        ),
        ("create-key", create("payments/card-pan", 7, false)),
        ("create-key-later", create("payments/next", 8, true)),
        ("rotate-key", rotate),
        (
            "suspend-version",
            transition(Some(VersionNumber(1)), Transition::Suspend),
        ),
        ("suspend-key", transition(None, Transition::Suspend)),
        ("resume-key", transition(None, Transition::Resume)),
        ("deactivate-key", transition(None, Transition::Deactivate)),
        ("activate-key", transition(None, Transition::Activate)),
        ("grant", Change::Grant(grant(keyring(), Role::User))),
        (
            "grant-operator",
            Change::Grant(grant(keyring(), Role::Operator)),
        ),
        ("revoke", Change::Revoke(grant(Scope::All, Role::Admin))),
    ]
}

fn set_alias(alias: &str, target: KeyName, expected: ExpectedAlias) -> Change {
    Change::SetAlias {
        alias: KeyName::new(alias).expect("a good name"),
        target,
        expected,
    }
}

/// What came later, in the same way.
fn later_changes() -> Vec<(&'static str, Change)> {
    let set_rotation = Change::SetRotation {
        name: key_name(),
        every: Some(period()),
    };
    vec![
        ("set-rotation", set_rotation),
        (
            "compromise-version",
            transition(Some(VersionNumber(2)), Transition::MarkCompromised),
        ),
        (
            "grant-use-compromised",
            Change::Grant(grant(keyring(), Role::UseCompromised)),
        ),
        (
            "create-signing-key",
            Change::CreateKey {
                spec: KeySpec {
                    algorithm: Algorithm::EcdsaP256,
                    protection: Protection::Software,
                    ..spec("payments/documents", false)
                },
                id: KeyId([9; 16]),
                set: SetId([2; 16]),
                material: Box::new(Material {
                    wrapped: wrapped(7),
                    public: Some(vec![8; 91].into_boxed_slice()),
                }),
            },
        ),
        (
            "destroy-version",
            Change::ScheduleDestruction {
                name: key_name(),
                version: Some(VersionNumber(2)),
                after: WaitingPeriod::from_ms(30 * 86_400_000).expect("within its bounds"),
                unused_for_ms: Some(7 * 86_400_000),
            },
        ),
        (
            "set-rewrap",
            Change::SetRewrap {
                name: key_name(),
                policy: RewrapPolicy {
                    by_hand: true,
                    deactivate_old: true,
                },
            },
        ),
        ("request-rewrap", Change::RequestRewrap { name: key_name() }),
    ]
}

/// What helps to find keys, in the same way.
fn finding_changes() -> Vec<(&'static str, Change)> {
    let other = |name| KeyName::new(name).expect("a good name");
    let (next, old) = (other("payments/next"), other("payments/old"));
    vec![
        (
            "set-labels",
            Change::SetLabels {
                name: key_name(),
                set: Pairs::new([("tier".to_owned(), "1".to_owned())].into()).expect("small"),
                remove: BTreeSet::from(["env".to_owned()]),
            },
        ),
        (
            "create-alias",
            set_alias("payments/pan", key_name(), ExpectedAlias::Absent),
        ),
        (
            "create-other-alias",
            set_alias("payments/old", key_name(), ExpectedAlias::Absent),
        ),
        (
            "update-alias",
            set_alias("payments/pan", next, ExpectedAlias::Of(key_name())),
        ),
        ("delete-alias", Change::DeleteAlias { alias: old }),
    ]
}

/// Material from outside.
fn import_changes() -> Vec<(&'static str, Change)> {
    vec![
        (
            "create-import-job",
            Change::CreateImportJob(Box::new(NewImportJob {
                id: ImportJobId([12; 16]),
                keyring: KeyringName::new("payments").expect("a good name"),
                method: ImportMethod::RsaOaep3072Sha256Aes256,
                lives: ImportLife::from_ms(7 * 86_400_000).expect("within its bounds"),
                set: SetId([2; 16]),
                wrapped: wrapped(8),
                public: vec![9; 400].into(),
                protection: Protection::Software,
            })),
        ),
        (
            "import-key",
            Change::Import {
                job: ImportJobId([12; 16]),
                target: ImportTarget::Key {
                    spec: KeySpec {
                        exportable: true,
                        protection: Protection::Software,
                        ..spec("payments/ours", false)
                    },
                    id: KeyId([13; 16]),
                    set: SetId([2; 16]),
                },
                material: Box::new(wrapped(10).into()),
                digest: [14; 32],
            },
        ),
        (
            "import-version",
            Change::Import {
                job: ImportJobId([12; 16]),
                target: ImportTarget::Version {
                    name: key_name(),
                    id: KeyId([7; 16]),
                    version: VersionNumber(3),
                },
                material: Box::new(wrapped(11).into()),
                digest: [15; 32],
            },
        ),
        (
            "create-agreement-key",
            Change::CreateKey {
                spec: KeySpec {
                    algorithm: Algorithm::EcdhP256,
                    protection: Protection::Hsm,
                    ..spec("payments/partners", false)
                },
                id: KeyId([10; 16]),
                set: SetId([2; 16]),
                material: Box::new(Material {
                    wrapped: wrapped(9),
                    public: Some(vec![10; 91].into_boxed_slice()),
                }),
            },
        ),
    ]
}

fn batch(sequence: u64, records: Vec<UseRecord>) -> Body {
    let incarnation = 77;
    let id = BatchId {
        incarnation,
        sequence,
    };
    Body::Uses(UseBatch { id, records })
}

/// One command of each kind, in the same order.
fn commands() -> Vec<(&'static str, Command)> {
    let form = Body::Form {
        cluster: ClusterId([1; 16]),
        admins: vec![principal("root"), principal("second")],
    };
    let root = || Actor::Principal(principal("root"));
    let mut all = vec![("form", command(form))];
    let changes = [
        changes(),
        later_changes(),
        import_changes(),
        finding_changes(),
    ]
    .concat();
    for (n, (name, change)) in (1..).zip(changes) {
        all.push((name, write(n, root(), change)));
    }
    let node_event = Change::Custody(CustodyEvent::Resumed);
    all.push(("by-node", write(90, Actor::Node, node_event)));
    let refusal = Some(UseRefusal::KeyState);
    all.push((
        "uses",
        command(batch(0, vec![record(3, None), record(0, refusal)])),
    ));
    let random = UseRecord {
        operation: Operation::GenerateRandom,
        key: None,
        destination: None,
        data_key: None,
        context: EncryptionContext::default(),
        access_revision: Revision(17),
        ..record(0, None)
    };
    all.push(("uses-random", command(batch(1, vec![random]))));
    all.push(("tick", command(Body::Tick)));
    let uses = data_key_uses();
    all.push(("uses-counted", command(batch(2, uses))));
    let later = Command {
        time: TimeMs(1_700_000_000_000 + 30 * 86_400_000),
        ..command(Body::Tick)
    };
    all.push(("tick-that-destroys", later));
    let destroyed = Revision(u64::try_from(all.len()).expect("few"));
    all.extend(last_commands(destroyed));
    all
}

/// When most requests before are forgotten.
fn last_commands(destroyed: Revision) -> Vec<(&'static str, Command)> {
    let root = || Actor::Principal(principal("root"));
    let mut all = Vec::new();
    let erased = Change::Erased { through: destroyed };
    let rewrapped = Change::RewrapDataKeys {
        name: key_name(),
        id: KeyId([7; 16]),
        to: VersionNumber(2),
        items: vec![Rewrapped {
            id: DataKeyId([8; 16]),
            from: VersionNumber(1),
            wrapped: vec![9; 20].into(),
        }],
    };
    all.push(("rewrap-data-keys", write(93, Actor::Node, rewrapped)));
    let id = DataKeyId([11; 16]);
    all.push((
        "delete-data-key",
        write(94, root(), Change::DeleteDataKey { id }),
    ));
    all.push(("erased", write(91, Actor::Node, erased)));
    let left = Change::CreateImportJob(Box::new(NewImportJob {
        id: ImportJobId([16; 16]),
        keyring: KeyringName::new("payments").expect("a good name"),
        method: ImportMethod::RsaOaep4096Sha256Aes256,
        lives: ImportLife::from_ms(600_000).expect("within its bounds"),
        set: SetId([2; 16]),
        wrapped: wrapped(12),
        public: vec![9; 400].into(),
        protection: Protection::Software,
    }));
    all.push(("create-another-import-job", write(95, root(), left)));
    // By now the requests before are forgotten.
    let remembered = Change::Grant(grant(keyring(), Role::Admin));
    all.push(("grant-admin", write(92, root(), remembered)));
    let agreement = UseRecord {
        operation: Operation::DeriveSharedSecret,
        ..record(0, Some(UseRefusal::PublicKeyInvalid))
    };
    all.push(("uses-agreement", command(batch(3, vec![agreement]))));
    let inside = Change::CreateImportJob(Box::new(NewImportJob {
        id: ImportJobId([17; 16]),
        keyring: KeyringName::new("payments").expect("a good name"),
        method: ImportMethod::RsaOaep3072Sha1Aes256,
        lives: ImportLife::from_ms(600_000).expect("within its bounds"),
        set: SetId([2; 16]),
        wrapped: wrapped(13),
        public: vec![9; 400].into(),
        protection: Protection::Hsm,
    }));
    all.push(("create-hsm-import-job", write(96, root(), inside)));
    all
}

/// Of each kind, after one that has nothing to do with data keys.
fn data_key_uses() -> Vec<UseRecord> {
    let new = |id| {
        Some(Box::new(DataKeyUse::Register(NewDataKey {
            id: DataKeyId([id; 16]),
            wrapped: vec![id; 134].into(),
            labels: pairs(),
        })))
    };
    let registered = |id| UseRecord {
        operation: Operation::GenerateDataKey,
        data_key: new(id),
        count: 1,
        ..counted()
    };
    let (id, revision) = (DataKeyId([10; 16]), Revision(0));
    let of = UseRecord {
        operation: Operation::DecryptDataKey,
        data_key: Some(Box::new(DataKeyUse::Of { id, revision })),
        ..counted()
    };
    vec![counted(), registered(10), registered(11), of]
}

/// A use that the state of its time allows.
fn counted() -> UseRecord {
    let used = UsedKey {
        revision: Revision(39),
        alias: Some(KeyName::new("payments/pan").expect("a good name")),
        ..record(0, None).key.expect("it has one")
    };
    UseRecord {
        key: Some(used),
        destination: None,
        access_revision: Revision(22),
        ..record(0, None)
    }
}

#[test]
fn commands_are_read_and_written_as_before() {
    for (name, command) in commands() {
        let bytes = golden(&format!("command-{name}"), &command.encode());
        assert_eq!(Command::decode(&bytes), Ok(command), "{name}");
    }
}

fn refusals() -> Vec<Refusal> {
    let (name, version) = (key_name(), VersionNumber(9));
    let state = KeyState::Suspended;
    let mut all = vec![
        Refusal::NotFormed,
        Refusal::KeyNotFound(name.clone()),
        Refusal::KeyExists(name.clone()),
        Refusal::VersionNotFound {
            name: name.clone(),
            version,
        },
        Refusal::WrongState {
            what: "key payments/card-pan".to_owned(),
            from: KeyState::PreActive,
            transition: Transition::Deactivate,
        },
        Refusal::NotRotatable { name, state },
        Refusal::Conflict,
        Refusal::CustodySettled,
        Refusal::NoCustody,
        Refusal::StaleSet,
        Refusal::LastAdmin,
        Refusal::RequestReused,
    ];
    all.extend(
        [
            ActionName::CreateKey,
            ActionName::RotateKey,
            ActionName::ChangeState,
            ActionName::ManageAccess,
            ActionName::InitCustody,
            ActionName::Seal,
            ActionName::Unseal,
        ]
        .map(Refusal::PermissionDenied),
    );
    all.extend(
        [
            LimitedThing::Keys,
            LimitedThing::Versions,
            LimitedThing::Grants,
        ]
        .map(|what| Refusal::LimitReached { what, max: 10_000 }),
    );
    all.extend(
        [
            Malformation::Wrapped,
            Malformation::Custody,
            Malformation::Text,
            Malformation::ActivationDate,
            Malformation::AlgorithmProtection,
        ]
        .map(Refusal::Malformed),
    );
    all.extend(later_refusals());
    all
}

fn later_refusals() -> Vec<Refusal> {
    vec![
        Refusal::Malformed(Malformation::Transition),
        Refusal::PermissionDenied(ActionName::DestroyKey),
        Refusal::RecentlyUsed {
            what: "key payments/card-pan".to_owned(),
            ago_ms: 86_400_000,
            unused_for_ms: 7 * 86_400_000,
        },
        Refusal::DataKeysLeft {
            what: "key payments/card-pan".to_owned(),
            count: 20_000,
        },
        Refusal::DataKeyNotFound(DataKeyId([10; 16])),
        Refusal::Destroyed(key_name()),
        Refusal::PermissionDenied(ActionName::DeleteDataKey),
        Refusal::ImportJobNotFound(ImportJobId([12; 16])),
        Refusal::ImportJobExpired {
            id: ImportJobId([12; 16]),
            at: TimeMs(1_700_000_000_000),
        },
        Refusal::ImportJobUsed(ImportJobId([12; 16])),
        Refusal::ImportJobElsewhere {
            id: ImportJobId([12; 16]),
            keyring: KeyringName::new("payments").expect("a good name"),
        },
        Refusal::PermissionDenied(ActionName::ImportKey),
        Refusal::Malformed(Malformation::Exportable),
        Refusal::LimitReached {
            what: LimitedThing::ImportJobs,
            max: 1_000,
        },
    ]
}

/// What came with labels and aliases.
fn finding_refusals() -> Vec<Refusal> {
    let limit = |what| Refusal::LimitReached { what, max: 32 };
    let (alias, key) = (
        KeyName::new("payments/pan").expect("a good name"),
        key_name(),
    );
    vec![
        Refusal::PermissionDenied(ActionName::LabelKey),
        Refusal::Malformed(Malformation::Labels),
        limit(LimitedThing::Labels),
        limit(LimitedThing::LabelBytes),
        Refusal::PermissionDenied(ActionName::ManageAliases),
        limit(LimitedThing::Aliases),
        limit(LimitedThing::AliasesOfKey),
        Refusal::AliasNotFound(alias.clone()),
        Refusal::AliasExists {
            alias: alias.clone(),
            key: key.clone(),
        },
        Refusal::NamedByAlias {
            alias: alias.clone(),
            key: key.clone(),
        },
        Refusal::AliasKeyring {
            alias: alias.clone(),
            key: key.clone(),
        },
        Refusal::AliasPurpose {
            alias: alias.clone(),
            earlier: key.clone(),
            from: Purpose::Encrypt,
            key: key.clone(),
            to: Purpose::Sign,
        },
        Refusal::AliasMoved { alias, key },
        Refusal::ImportJobProtection {
            id: ImportJobId([17; 16]),
            protection: Protection::Hsm,
            asked: Protection::Software,
        },
    ]
}

#[test]
fn outcomes_are_read_and_written_as_before() {
    let mut state = State::new();
    let (mut key, mut alias) = (None, None);
    for (index, (_, command)) in (1..).zip(commands()) {
        match state.apply(LogIndex(index), command) {
            Outcome::Written(Ok(Written::Key(view))) => key = Some(view),
            Outcome::Written(Ok(Written::Alias(view))) => alias = Some(view),
            Outcome::None | Outcome::Written(_) | Outcome::Verdicts(_) | Outcome::BatchRefused => {}
        }
    }
    let key = key.expect("keys were created");
    let alias = alias.expect("aliases were set");
    let verdicts = vec![Verdict::Recorded(AuditSequence(300)), Verdict::Retry];
    let mut all = vec![
        ("none".to_owned(), Outcome::None),
        ("done".to_owned(), Outcome::Written(Ok(Written::Done))),
        ("key".to_owned(), Outcome::Written(Ok(Written::Key(key)))),
        (
            "alias".to_owned(),
            Outcome::Written(Ok(Written::Alias(alias))),
        ),
        ("verdicts".to_owned(), Outcome::Verdicts(verdicts)),
        ("batch-refused".to_owned(), Outcome::BatchRefused),
    ];
    for (n, refusal) in refusals().into_iter().chain(finding_refusals()).enumerate() {
        let reason = refusal.reason().to_lowercase().replace('_', "-");
        all.push((
            format!("refusal-{n:02}-{reason}"),
            Outcome::Written(Err(refusal)),
        ));
    }
    for (name, outcome) in all {
        let bytes = golden(&format!("outcome-{name}"), &outcome.encode());
        assert_eq!(Outcome::decode(&bytes), Ok(outcome), "{name}");
    }
}

/// All rows that the commands above leave, as one line each: table, name, value.
#[test]
fn rows_are_read_and_written_as_before() {
    let mut state = State::new();
    let mut rows = BTreeMap::new();
    for (index, (_, command)) in (1..).zip(commands()) {
        state.apply(LogIndex(index), command);
    }
    for change in state.take_changes() {
        let key = (change.table, change.key);
        match change.value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
    let tables: BTreeSet<Table> = rows.keys().map(|(table, _)| *table).collect();
    // The first root of a subtree comes with 256 records: its row is held by a test of its own.
    let all = Table::ALL.into_iter();
    let all = all.filter(|table| *table != Table::AuditTree).collect();
    assert_eq!(tables, all, "a row of each table");
    let mut read = Vec::new();
    for (n, ((table, key), value)) in rows.iter().enumerate() {
        let length = u32::try_from(key.len()).expect("short").to_be_bytes();
        let row = [&length, key.as_slice(), value].concat();
        let bytes = golden(&format!("row-{n:02}-{}", table.name()), &row);
        let (length, rest) = bytes.split_at(4);
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        let (key, value) = rest.split_at(length as usize);
        read.push((*table, key.to_vec(), value.to_vec()));
    }
    assert_eq!(State::load(read).expect("the rows fit"), state);
}

#[test]
fn audit_record_is_read_and_written_as_before() {
    let record = AuditRecord {
        sequence: 41,
        time_ms: 1_700_000_000_000,
        node_id: 2,
        request_id: vec![9; 16],
        attempt: 1,
        principal: "ann".to_owned(),
        authentication: "mtls".to_owned(),
        source_address: "192.0.2.7:4711".to_owned(),
        operation: "ReEncrypt".to_owned(),
        key: "payments/card-pan".to_owned(),
        key_id: vec![7; 16],
        version: 1,
        context: pairs().into(),
        count: 3,
        outcome: AuditOutcome::Denied.into(),
        reason: "KEY_STATE".to_owned(),
        key_revision: 3,
        access_revision: 1,
        detail: "ACTIVE -> SUSPENDED".to_owned(),
        destination_key: "payments/next".to_owned(),
        destination_version: 2,
        data_key_id: vec![6; 16],
        alias: "payments/pan".to_owned(),
        destination_alias: "payments/new".to_owned(),
        destruction_revision: 77,
    };
    let bytes = golden("audit-record", &record.encode_to_vec());
    assert_eq!(AuditRecord::decode(bytes.as_slice()), Ok(record));
}
