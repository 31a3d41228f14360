//! The commands of steps, as a node would make them.

use crate::finding;
use crate::reference::Model;
use crate::steps::{DataKeyStep, Kind, NAMES, Step, UseStep, key_name, principal};
use conclave_core::{
    Actor, Algorithm, AttemptId, BatchId, Body, Change, ClusterId, Command, Custodian,
    CustodianName, Custody, CustodyEvent, DataKeyId, DataKeyUse, Direction, EncryptionContext,
    Generation, Grant, KekNumber, KeyId, KeySpec, KeyringName, NewDataKey, NodeId, Operation,
    Protection, RequestId, Revision, RewrapPolicy, Rewrapped, Role, RootWrapped, RotationPeriod,
    Scope, SetId, State, TimeMs, UseBatch, UseRecord, UsedKey, VersionNumber, WaitingPeriod,
    Wrapped, Write,
};

/// The last one never holds a share.
const CUSTODIANS: [&str; 4] = ["bob", "carl", "dora", "eve"];

pub(crate) fn wrapped(bytes: u16) -> Wrapped {
    Wrapped {
        kek: KekNumber(1),
        blob: vec![7; usize::from(bytes)],
        tag: Vec::new(),
    }
}

pub(crate) fn custody(set: u8, count: u8, threshold: u8, confirmed: bool) -> Custody {
    let custodian = |name: &&str| Custodian {
        name: CustodianName::new(name).expect("a good name"),
        recipient: format!("age1{name}"),
        share_digest: [set; 32],
    };
    Custody {
        set: SetId([set; 16]),
        generation: Generation(1),
        threshold,
        custodians: CUSTODIANS
            .iter()
            .take(usize::from(count))
            .map(custodian)
            .collect(),
        check_value: [set; 32],
        wrapped: RootWrapped {
            hsm_kek: wrapped(40),
            software_kek: wrapped(40),
            integrity_key: wrapped(40),
            audit_signing_key: wrapped(40),
        },
        audit_verifier_key: "audit+1".to_owned(),
        confirmed,
    }
}

fn event(number: u8, custodian: u8, set: u8, reason: u16) -> CustodyEvent {
    let set = SetId([set; 16]);
    let attempt = AttemptId([custodian; 16]);
    let reason = "r".repeat(usize::from(reason));
    let custodian = CustodianName::new(CUSTODIANS[usize::from(custodian)]).expect("a good name");
    match number {
        0 => CustodyEvent::ShareAccepted {
            custodian,
            set,
            attempt,
        },
        1 => CustodyEvent::ShareRefused {
            custodian: None,
            reason,
        },
        2 => CustodyEvent::Unsealed { set, attempt },
        3 => CustodyEvent::Resumed,
        4 => CustodyEvent::Cancelled { attempt },
        _ => CustodyEvent::Sealed { reason },
    }
}

impl UseStep {
    fn direction(&self) -> Direction {
        if self.process {
            Direction::Process
        } else {
            Direction::Protect
        }
    }

    fn operation(&self) -> Operation {
        if self.data_key.is_some() {
            return if self.process {
                Operation::DecryptDataKey
            } else {
                Operation::GenerateDataKey
            };
        }
        match (self.of_macs, self.process) {
            (false, true) => Operation::Decrypt,
            (false, false) => Operation::Encrypt,
            (true, true) => Operation::VerifyMac,
            (true, false) => Operation::GenerateMac,
        }
    }

    fn version(&self) -> Option<VersionNumber> {
        self.version.map(|n| VersionNumber(n.into()))
    }

    fn decide(
        &self,
        state: &State,
        key: u8,
    ) -> Result<UsedKey, (conclave_core::UseRefusal, UsedKey)> {
        let (principal, name) = (principal(self.principal), key_name(key));
        match state.decide_use(
            &principal,
            self.operation(),
            self.direction(),
            &name,
            self.version(),
        ) {
            Ok(permit) => Ok(permit.used_key()),
            Err(denial) => Err((denial.refusal(), state.refused_key(&name, self.version()))),
        }
    }

    /// What a node would hand in that decides on `state`.
    pub(crate) fn record(&self, state: &State) -> UseRecord {
        let Some(id) = self.data_key else {
            return self.record_of_key(state);
        };
        let id = DataKeyId([id; 16]);
        let plain = Self {
            destination: None,
            version: None,
            ..self.clone()
        };
        if !self.process {
            let new = NewDataKey {
                id,
                wrapped: vec![self.key; 100].into(),
                labels: EncryptionContext::default(),
            };
            let data_key = Some(Box::new(DataKeyUse::Register(new)));
            return UseRecord {
                data_key,
                ..plain.record_of_key(state)
            };
        }
        let Some(found) = state.data_key(id) else {
            let data_key = None;
            return Self { data_key, ..plain }.record_of_key(state);
        };
        let key = state.key_by_id(found.key).expect("it stays");
        let place = NAMES.iter().position(|it| *it == key.info.name.as_str());
        let step = Self {
            key: u8::try_from(place.expect("one of ours")).expect("few"),
            version: Some(u8::try_from(found.version.0).expect("few")),
            ..plain
        };
        let revision = found.revision;
        UseRecord {
            data_key: Some(Box::new(DataKeyUse::Of { id, revision })),
            ..step.record_of_key(state)
        }
    }

    fn record_of_key(&self, state: &State) -> UseRecord {
        let (key, mut refusal) = match self.decide(state, self.key) {
            Ok(used) => (used, None),
            Err((refusal, used)) => (used, Some(refusal)),
        };
        let destination = self.destination.map(|key| match self.decide(state, key) {
            Ok(used) => used,
            Err((why, used)) => {
                refusal = refusal.or(Some(why));
                used
            }
        });
        let mut record = UseRecord {
            request: RequestId([3; 16]),
            attempt: 0,
            principal: principal(self.principal),
            source: "127.0.0.1".to_owned(),
            operation: self.operation(),
            key: Some(key),
            destination,
            data_key: None,
            context: EncryptionContext::default(),
            count: 1,
            refusal,
            access_revision: state.access().revision(),
        };
        // Revisions that never were: such a record must not count.
        match self.lie {
            1 => record.access_revision = Revision(record.access_revision.0 + 1_000_000),
            2 => {
                if let Some(key) = &mut record.key {
                    key.revision = Revision(key.revision.0 + 1_000_000);
                }
            }
            _ => {}
        }
        record
    }
}

impl Step {
    /// The command, as a node makes it that sees `current` or, where it lags, `stale`.
    pub(crate) fn command(
        &self,
        model: &Model,
        current: &State,
        stale: &State,
        past: &[Command],
    ) -> Command {
        let body = match &self.kind {
            Kind::Repeat(which) => match past.iter().rev().nth(usize::from(*which)) {
                Some(command) => return command.clone(),
                None => Body::Tick,
            },
            Kind::Tick => Body::Tick,
            Kind::Form(admins) => Body::Form {
                cluster: ClusterId([1; 16]),
                admins: admins.iter().copied().map(principal).collect(),
            },
            Kind::Uses {
                incarnation,
                sequence,
                records,
            } => {
                let seen = |step: &UseStep| if step.stale { stale } else { current };
                Body::Uses(UseBatch {
                    id: BatchId {
                        incarnation: u64::from(*incarnation),
                        sequence: u64::from(*sequence),
                    },
                    records: records.iter().map(|it| it.record(seen(it))).collect(),
                })
            }
            Kind::Create { .. }
            | Kind::Rotate { .. }
            | Kind::Transition { .. }
            | Kind::SetRotation { .. }
            | Kind::Destroy { .. }
            | Kind::OfDataKeys(_)
            | Kind::Finding(_)
            | Kind::Erased(_)
            | Kind::Access { .. }
            | Kind::InitCustody { .. }
            | Kind::Event { .. } => Body::Write(Write {
                request: RequestId([self.request; 16]),
                attempt: 0,
                actor: if self.actor == 9
                    || matches!(
                        self.kind,
                        Kind::Erased(_) | Kind::OfDataKeys(DataKeyStep::Rewrap { .. })
                    ) && self.actor != 1
                {
                    Actor::Node
                } else {
                    Actor::Principal(principal(self.actor))
                },
                source: "s".repeat(usize::from(self.source)),
                change: self.change(model),
            }),
        };
        let time = TimeMs(model.time.saturating_add_signed(self.time));
        Command {
            node: NodeId(self.node.into()),
            time,
            body,
        }
    }

    fn change(&self, model: &Model) -> Change {
        match &self.kind {
            Kind::Create {
                key,
                id,
                set,
                pre_active,
                date,
                rotate,
                blob,
            } => Change::CreateKey {
                spec: KeySpec {
                    activate_at: date.map(|after| TimeMs(model.time + u64::from(after))),
                    rotate_every: rotate.map(hours),
                    ..spec(*key, *id, *pre_active)
                },
                id: KeyId([*id; 16]),
                set: set.map_or_else(|| model.set(), |set| SetId([set; 16])),
                material: Box::new(wrapped(*blob).into()),
            },
            Kind::Rotate {
                key,
                wrong_id,
                offset,
                blob,
            } => rotation(model, *key, *wrong_id, *offset, *blob),
            Kind::Access {
                give,
                to,
                scope,
                role,
            } => access(*give, *to, *scope, *role),
            Kind::InitCustody {
                set,
                count,
                threshold,
                confirmed,
            } => Change::InitCustody(Box::new(custody(*set, *count, *threshold, *confirmed))),
            Kind::Event {
                event: number,
                custodian,
                set,
                reason,
            } => Change::Custody(event(*number, *custodian, *set, *reason)),
            Kind::Transition {
                key,
                version,
                transition,
            } => Change::Transition {
                name: key_name(*key),
                version: version.map(|n| VersionNumber(n.into())),
                transition: *transition,
            },
            Kind::SetRotation { key, hours } => set_rotation(*key, *hours),
            Kind::Destroy {
                key,
                version,
                days,
                unused_for_ms,
            } => destruction(*key, *version, *days, *unused_for_ms),
            Kind::OfDataKeys(step) => data_keys(step, model),
            Kind::Finding(step) => finding::change(step),
            Kind::Erased(ahead) => Change::Erased {
                through: Revision(model.destroyed.saturating_add_signed((*ahead).into())),
            },
            Kind::Form(_) | Kind::Uses { .. } | Kind::Repeat(_) | Kind::Tick => {
                unreachable!("no writes")
            }
        }
    }
}

fn data_keys(step: &DataKeyStep, model: &Model) -> Change {
    match step {
        DataKeyStep::SetRewrap {
            key,
            by_hand,
            deactivate_old,
        } => Change::SetRewrap {
            name: key_name(*key),
            policy: RewrapPolicy {
                by_hand: *by_hand,
                deactivate_old: *deactivate_old,
            },
        },
        DataKeyStep::RequestRewrap { key } => Change::RequestRewrap {
            name: key_name(*key),
        },
        DataKeyStep::Rewrap { key, count, lie } => rewrap(model, *key, *count, *lie),
        DataKeyStep::DeleteDataKey { id } => Change::DeleteDataKey {
            id: DataKeyId([*id; 16]),
        },
    }
}

fn spec(key: u8, id: u8, pre_active: bool) -> KeySpec {
    KeySpec {
        name: key_name(key),
        algorithm: algorithm(id),
        protection: if id == 3 && pre_active {
            Protection::Hsm
        } else {
            Protection::Software
        },
        labels: EncryptionContext::default(),
        pre_active,
        activate_at: None,
        rotate_every: None,
        rewrap: RewrapPolicy::default(),
        exportable: false,
    }
}

fn destruction(key: u8, version: Option<u8>, days: u8, unused_for_ms: Option<u32>) -> Change {
    let after = WaitingPeriod::from_ms(u64::from(days) * 86_400_000);
    Change::ScheduleDestruction {
        name: key_name(key),
        version: version.map(|n| VersionNumber(n.into())),
        after: after.expect("within its bounds"),
        unused_for_ms: unused_for_ms.map(u64::from),
    }
}

/// Wraps anew up to `count` data keys of a key, some of which another node may have been quicker with.
fn rewrap(model: &Model, key: u8, count: u8, lie: u8) -> Change {
    let name = key_name(key);
    let found = model.keys.get(name.as_str());
    let primary = found.map_or(1, |key| key.versions.len());
    let ours = model.data_keys.iter();
    let ours = ours.filter(|(_, it)| it.name == name.as_str() || lie == 1);
    let items = ours.take(usize::from(count)).map(|(id, it)| Rewrapped {
        id: DataKeyId(*id),
        from: VersionNumber(it.version.saturating_sub(u32::from(lie == 2))),
        wrapped: vec![9; if lie == 3 { 513 } else { 90 }].into(),
    });
    Change::RewrapDataKeys {
        id: KeyId(if lie == 4 {
            [99; 16]
        } else {
            found.map_or([0; 16], |key| key.id)
        }),
        to: VersionNumber(u32::try_from(primary).expect("few") - u32::from(lie == 5)),
        items: items.collect(),
        name,
    }
}

fn algorithm(id: u8) -> Algorithm {
    match id {
        0 | 2 => Algorithm::Aes256Gcm,
        4 => Algorithm::HmacSha384,
        _ => Algorithm::ChaCha20Poly1305,
    }
}

fn hours(count: u8) -> RotationPeriod {
    RotationPeriod::from_ms(u64::from(count) * 3_600_000).expect("within its bounds")
}

fn set_rotation(key: u8, every: Option<u8>) -> Change {
    Change::SetRotation {
        name: key_name(key),
        every: every.map(hours),
    }
}

fn rotation(model: &Model, key: u8, wrong_id: bool, offset: u8, blob: u16) -> Change {
    let found = model.keys.get(key_name(key).as_str());
    let last = found.map_or(0, |key| key.versions.len());
    let id = found.map_or([0; 16], |key| key.id);
    Change::RotateKey {
        name: key_name(key),
        id: KeyId(if wrong_id { [99; 16] } else { id }),
        version: VersionNumber(u32::try_from(last).expect("few") + u32::from(offset)),
        material: Box::new(wrapped(blob).into()),
    }
}

fn access(give: bool, to: u8, scope: u8, role: Role) -> Change {
    let ring = |text| Scope::Keyring(KeyringName::new(text).expect("a good name"));
    let scope = match scope {
        0 => Scope::All,
        1 => ring("a"),
        _ => ring("b"),
    };
    let grant = Grant {
        principal: principal(to),
        scope,
        role,
    };
    if give {
        Change::Grant(grant)
    } else {
        Change::Revoke(grant)
    }
}
