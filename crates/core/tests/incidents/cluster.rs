//! A formed cluster to try things on.

use conclave_core::{
    Action, Actor, Algorithm, AuditRecord, BatchId, Body, Change, ClusterId, Command, Custodian,
    CustodianName, Custody, EncryptionContext, Generation, Grant, KekNumber, KeyId, KeyName,
    KeySpec, KeyState, KeyringName, LogIndex, NodeId, Operation, Outcome, Pairs, PrincipalName,
    Protection, Refusal, RequestId, Role, RootWrapped, RotationPeriod, Scope, SetId, State, Table,
    TimeMs, Transition, UseBatch, UseRecord, VersionNumber, WaitingPeriod, Wrapped, Write, Written,
};
use prost::Message as _;
use std::collections::BTreeSet;

pub(crate) const ROLES: [Role; 4] = [
    Role::Admin,
    Role::Operator,
    Role::User,
    Role::UseCompromised,
];
pub(crate) const ACTIONS: [Action; 12] = [
    Action::UseKey,
    Action::UseCompromised,
    Action::ReadKey,
    Action::CreateKey,
    Action::RotateKey,
    Action::ChangeState,
    Action::DestroyKey,
    Action::ManageAccess,
    Action::InitCustody,
    Action::Seal,
    Action::Unseal,
    Action::ReadAudit,
];

pub(crate) fn who(name: &str) -> PrincipalName {
    PrincipalName::new(name).expect("a good name")
}

pub(crate) fn key(name: &str) -> KeyName {
    KeyName::new(name).expect("a good name")
}

pub(crate) fn ring(name: &str) -> Scope {
    Scope::Keyring(KeyringName::new(name).expect("a good name"))
}

pub(crate) fn grant(principal: &str, scope: &Scope, role: Role) -> Grant {
    Grant {
        principal: who(principal),
        scope: scope.clone(),
        role,
    }
}

pub(crate) fn wrapped() -> Wrapped {
    Wrapped {
        kek: KekNumber(1),
        blob: vec![1; 40],
        tag: Vec::new(),
    }
}

/// A key of the cluster that [`custody`] belongs to.
pub(crate) fn create(name: &str, id: u8, activate_at: Option<u64>) -> Change {
    let spec = KeySpec {
        name: key(name),
        algorithm: Algorithm::Aes256Gcm,
        protection: Protection::Software,
        labels: Pairs::default(),
        pre_active: activate_at.is_some(),
        activate_at: activate_at.map(TimeMs),
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

pub(crate) fn set_rotation(name: &str, hours: u64) -> Change {
    let every = RotationPeriod::from_ms(hours * 3_600_000).expect("within its bounds");
    Change::SetRotation {
        name: key(name),
        every: Some(every),
    }
}

pub(crate) fn transition(name: &str, transition: Transition) -> Change {
    Change::Transition {
        name: key(name),
        version: None,
        transition,
    }
}

/// The end of a key, or of one version, in so many days.
pub(crate) fn destroy(name: &str, version: Option<u32>, days: u64) -> Change {
    Change::ScheduleDestruction {
        name: key(name),
        version: version.map(VersionNumber),
        after: WaitingPeriod::from_ms(days * 86_400_000).expect("within its bounds"),
        unused_for_ms: Some(7 * 86_400_000),
    }
}

pub(crate) fn custody() -> Custody {
    let custodian = |name: &str| Custodian {
        name: CustodianName::new(name).expect("a good name"),
        recipient: format!("age1{name}"),
        share_digest: [6; 32],
    };
    Custody {
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
    }
}

/// A formed cluster whose admin is `root`.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) time: u64,
    pub(crate) requests: u64,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let mut it = Self {
            state: State::new(),
            index: 0,
            time: 1_000,
            requests: 0,
        };
        let (cluster, admins) = (ClusterId([1; 16]), vec![who("root")]);
        it.apply(Body::Form { cluster, admins });
        it
    }

    /// With a root key, so that it can have keys.
    pub(crate) fn with_custody() -> Self {
        let mut it = Self::new();
        it.must("root", Change::InitCustody(Box::new(custody())));
        it
    }

    pub(crate) fn apply(&mut self, body: Body) -> Outcome {
        self.index += 1;
        let (node, time) = (NodeId(1), TimeMs(self.time));
        self.state
            .apply(LogIndex(self.index), Command { node, time, body })
    }

    pub(crate) fn ask(
        &mut self,
        request: u64,
        by: &str,
        change: Change,
    ) -> Result<Written, Refusal> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&request.to_be_bytes());
        let write = Write {
            request: RequestId(id),
            attempt: 0,
            actor: Actor::Principal(who(by)),
            source: "test".to_owned(),
            change,
        };
        let Outcome::Written(answer) = self.apply(Body::Write(write)) else {
            panic!("a write is answered as a write");
        };
        answer
    }

    pub(crate) fn write(&mut self, by: &str, change: Change) -> Result<Written, Refusal> {
        self.requests += 1;
        self.ask(self.requests, by, change)
    }

    pub(crate) fn must(&mut self, by: &str, change: Change) {
        self.write(by, change).expect("it is allowed");
    }

    pub(crate) fn leaves(&mut self) -> Vec<AuditRecord> {
        let changes = self.state.take_changes().into_iter();
        let leaves = changes.filter(|change| change.table == Table::Audit);
        let decode = |leaf: Vec<u8>| AuditRecord::decode(leaf.as_slice()).expect("a record");
        leaves
            .map(|change| decode(change.value.expect("leaves stay")))
            .collect()
    }

    pub(crate) fn key_state(&self, name: &str) -> KeyState {
        self.state
            .key(&key(name))
            .expect("it was created")
            .info
            .state
    }
}

/// All that a principal may do, as (action, where).
pub(crate) fn powers(state: &State, name: &str) -> BTreeSet<(Action, Scope)> {
    let scopes = [Scope::All, ring("a"), ring("b")];
    let pairs = ACTIONS
        .iter()
        .flat_map(|action| scopes.iter().map(move |at| (*action, at.clone())));
    pairs
        .filter(|(action, at)| state.access().permits(&who(name), *action, at))
        .collect()
}

pub(crate) fn use_record(state: &State, source: &str) -> UseRecord {
    UseRecord {
        request: RequestId([3; 16]),
        attempt: 0,
        principal: who("ann"),
        source: source.to_owned(),
        operation: Operation::GenerateRandom,
        key: None,
        destination: None,
        data_key: None,
        context: EncryptionContext::default(),
        count: 1,
        refusal: None,
        access_revision: state.access().revision(),
    }
}

pub(crate) fn batch(incarnation: u64, sequence: u64, records: Vec<UseRecord>) -> Body {
    Body::Uses(UseBatch {
        id: BatchId {
            incarnation,
            sequence,
        },
        records,
    })
}
