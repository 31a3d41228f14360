//! A small cluster's state, and batches of uses of its key as a node proposes them.

use conclave_core::{
    Actor, Algorithm, AuditOutcome, AuditRecord, BatchId, Body, Change, ClusterId, Command,
    Custodian, CustodianName, Custody, Direction, EncryptionContext, Generation, Grant, KekNumber,
    KeyId, KeyName, KeySpec, Labels, LogIndex, NodeId, Operation, PrincipalName, Protection,
    RequestId, Revision, Role, RootWrapped, Scope, SetId, State, TimeMs, UseBatch, UseRecord,
    UsedKey, VersionNumber, Wrapped, Write,
};

/// Use records of one batch: one, as many as callers usually wait, and as many as fit.
pub const RECORDS: [u64; 3] = [1, 64, 1_024];

const NODE: NodeId = NodeId(1);
const SET: SetId = SetId([2; 16]);
const KEY: KeyId = KeyId([3; 16]);

fn principal(name: &str) -> PrincipalName {
    PrincipalName::new(name).expect("a good name")
}

fn key_name() -> KeyName {
    KeyName::new("payments/card-pan").expect("a good name")
}

fn wrapped() -> Wrapped {
    Wrapped {
        kek: KekNumber(1),
        blob: vec![7; 60],
        tag: Vec::new(),
    }
}

fn custody() -> Custody {
    let custodian = |name: &str| Custodian {
        name: CustodianName::new(name).expect("a good name"),
        recipient: format!("age1{name}"),
        share_digest: [1; 32],
    };
    Custody {
        set: SET,
        generation: Generation(1),
        threshold: 2,
        custodians: ["ann", "bob", "cem"].map(custodian).to_vec(),
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

fn command(body: Body) -> Command {
    let time = TimeMs(1_750_000_000_000);
    Command {
        node: NODE,
        time,
        body,
    }
}

fn write(number: u8, change: Change) -> Command {
    command(Body::Write(Write {
        request: RequestId([number; 16]),
        attempt: 0,
        actor: Actor::Principal(principal("admin")),
        source: "127.0.0.1:40000".to_owned(),
        change,
    }))
}

/// The commands after which principal `app` may use the key `payments/card-pan`. Revisions are places in the log, so
/// they must be applied in this order from index 1 on.
pub fn forming() -> Vec<Command> {
    let spec = KeySpec {
        name: key_name(),
        algorithm: Algorithm::Aes256Gcm,
        protection: Protection::Software,
        labels: Labels::default(),
        pre_active: false,
        activate_at: None,
        rotate_every: None,
        rewrap: conclave_core::RewrapPolicy::default(),
        exportable: false,
    };
    let grant = Grant {
        principal: principal("app"),
        scope: Scope::Keyring(key_name().keyring()),
        role: Role::User,
    };
    vec![
        command(Body::Form {
            cluster: ClusterId([1; 16]),
            admins: vec![principal("admin")],
        }),
        write(1, Change::InitCustody(Box::new(custody()))),
        write(2, Change::Grant(grant)),
        write(
            3,
            Change::CreateKey {
                spec,
                id: KEY,
                set: SET,
                material: Box::new(wrapped().into()),
            },
        ),
    ]
}

/// The state behind [`forming`], and the index of the next command.
pub fn formed() -> (State, LogIndex) {
    let (mut state, mut next) = (State::new(), LogIndex(1));
    for command in forming() {
        state.apply(next, command);
        next.0 += 1;
    }
    state.take_changes();
    (state, next)
}

/// Batches of uses that are all current after [`forming`], each with an id of its own.
pub struct Batches {
    used: UsedKey,
    access_revision: Revision,
    sequence: u64,
    requests: u64,
}

impl Default for Batches {
    fn default() -> Self {
        Self::new()
    }
}

impl Batches {
    /// The first batch is next.
    ///
    /// # Panics
    /// Never: [`forming`] allows the use.
    pub fn new() -> Self {
        let (state, _) = formed();
        let permit = state.decide_use(
            &principal("app"),
            Operation::Encrypt,
            Direction::Protect,
            &key_name(),
            None,
        );
        Self {
            used: permit.expect("forming allows it").used_key(),
            access_revision: state.access().revision(),
            sequence: 0,
            requests: 0,
        }
    }

    fn record(&mut self) -> UseRecord {
        self.requests += 1;
        let mut id = [0xa5; 16];
        id[..8].copy_from_slice(&self.requests.to_be_bytes());
        UseRecord {
            request: RequestId(id),
            attempt: 0,
            principal: principal("app"),
            source: "127.0.0.1:54321".to_owned(),
            operation: Operation::Encrypt,
            key: Some(self.used.clone()),
            destination: None,
            data_key: None,
            context: EncryptionContext::default(),
            count: 1,
            refusal: None,
            access_revision: self.access_revision,
        }
    }

    /// The next batch, of so many records.
    pub fn next(&mut self, records: u64) -> Command {
        let id = BatchId {
            incarnation: 1,
            sequence: self.sequence,
        };
        self.sequence += 1;
        let records = (0..records).map(|_| self.record()).collect();
        command(Body::Uses(UseBatch { id, records }))
    }
}

/// The audit record that `apply` makes of such a use.
pub fn audit_record(sequence: u64) -> AuditRecord {
    AuditRecord {
        sequence,
        time_ms: 1_750_000_000_000,
        node_id: NODE.0,
        request_id: vec![0xa5; 16],
        principal: "app".to_owned(),
        authentication: "mtls".to_owned(),
        source_address: "127.0.0.1:54321".to_owned(),
        operation: Operation::Encrypt.as_str().to_owned(),
        key: key_name().to_string(),
        key_id: KEY.as_bytes().to_vec(),
        version: VersionNumber(1).0,
        count: 1,
        outcome: AuditOutcome::Allowed.into(),
        key_revision: 4,
        access_revision: 3,
        ..AuditRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_core::{Outcome, Verdict};

    #[test]
    fn batches_are_recorded_and_leaves_are_like_those_of_apply() {
        let (mut state, index) = formed();
        let outcome = state.apply(index, Batches::new().next(64));
        let Outcome::Verdicts(verdicts) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(verdicts.len(), 64);
        assert!(
            verdicts
                .iter()
                .all(|verdict| matches!(verdict, Verdict::Recorded(_)))
        );
        let leaf = audit_record(4).to_leaf();
        assert!((100..250).contains(&leaf.len()), "{} bytes", leaf.len());
    }
}
