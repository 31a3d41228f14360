//! The stories of keys, held against the records of the audit log.

use crate::Rows;
use crate::reference::Model;
use conclave_core::history::{Erasure, record_of, record_row};
use conclave_core::{AuditOutcome, AuditRecord, AuditSequence, KeyId, NodeId, Revision, Table};
use prost::Message as _;
use std::collections::BTreeSet;

/// What is told of a key.
const TOLD: [&str; 17] = [
    "CreateKey",
    "RotateKey",
    "ActivateKey",
    "SuspendKey",
    "ResumeKey",
    "DeactivateKey",
    "MarkKeyCompromised",
    "SetKeyRotation",
    "ScheduleKeyDestruction",
    "CancelKeyDestruction",
    "DestroyKey",
    "SetRewrapPolicy",
    "RequestRewrap",
    "UpdateKeyLabels",
    "CreateAlias",
    "UpdateAlias",
    "DeleteAlias",
];

/// That nothing is missing in the stories, and nothing too much.
pub(crate) fn check(leaves: &[&[u8]], rows: &Rows, model: &Model) {
    let id_of = |name: &str| model.keys.get(name).map(|key| KeyId(key.id));
    let mut expected = BTreeSet::new();
    for leaf in leaves {
        let record = AuditRecord::decode(*leaf).expect("a record");
        if record.outcome != i32::from(AuditOutcome::Allowed) {
            continue;
        }
        let sequence = AuditSequence(record.sequence);
        if TOLD.contains(&record.operation.as_str()) {
            let key = KeyId::from_slice(&record.key_id).expect("it names a key");
            let earlier = record.detail.strip_prefix("before: ").and_then(id_of);
            for key in earlier.into_iter().chain([key]) {
                expected.insert((record_row(key, sequence), Vec::new()));
            }
        }
        if let Some(through) = record.detail.strip_prefix("destroyed up to revision ") {
            let erasure = Erasure {
                record: sequence,
                node: NodeId(record.node_id),
                through: Revision(through.parse().expect("a number")),
            };
            expected.insert(erasure.to_row());
        }
    }
    let found = rows
        .iter()
        .filter(|((table, _), _)| *table == Table::History);
    let found: BTreeSet<_> = found
        .map(|((_, row), value)| (row.clone(), value.clone()))
        .collect();
    assert_eq!(found, expected);
    for (row, value) in &found {
        assert!(record_of(row).is_some() || Erasure::from_row(row, value).is_some());
    }
}
