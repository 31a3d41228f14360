//! Appending to the audit log.

use super::{Place, State};
use crate::audit::{AuditOutcome, AuditRecord, MUTUAL_TLS};
use crate::command::{Actor, Change, Write};
use crate::ids::{AuditSequence, KeyId};
use crate::planted::{Bug, is_planted, next_call};

/// What a write leaves in the audit log besides what its envelope says.
#[derive(Default)]
pub(super) struct Note {
    pub(super) key: String,
    pub(super) key_id: Vec<u8>,
    pub(super) version: u32,
    pub(super) key_revision: u64,
    pub(super) access_revision: u64,
    pub(super) detail: String,
    pub(super) data_key_id: Vec<u8>,
    pub(super) alias: String,
    pub(super) destruction_revision: u64,
    /// Another key whose story this is, too.
    pub(super) also: Option<KeyId>,
}

impl Note {
    pub(super) fn of(detail: String) -> Self {
        Self {
            detail,
            ..Self::default()
        }
    }
}

/// The client's attempt; for a planted bug another number now and then.
pub(super) fn attempt_of(sequence: u64, attempt: u32) -> u32 {
    if is_planted(Bug::NondeterministicApply) && sequence.is_multiple_of(16) {
        next_call()
    } else {
        attempt
    }
}

impl State {
    /// Adds a record: sequence and time are given here.
    pub(super) fn append_audit(&mut self, place: Place, record: AuditRecord) -> AuditSequence {
        let sequence = self.audit.size();
        let record = AuditRecord {
            sequence,
            time_ms: place.time.0,
            node_id: place.node.0,
            attempt: attempt_of(sequence, record.attempt),
            ..record
        };
        self.append_leaf(record.to_leaf())
    }

    /// Adds the leaf of a record that has the sequence which comes next.
    pub(super) fn append_leaf(&mut self, leaf: Vec<u8>) -> AuditSequence {
        let sequence = self.audit.size();
        for (subtree, root) in self.audit.append(&leaf) {
            self.save_subtree(subtree, root);
        }
        self.save_leaf(sequence, leaf);
        AuditSequence(sequence)
    }

    /// What the cluster does by itself.
    pub(super) fn journal_node_event(&mut self, place: Place, operation: &str, note: Note) {
        let record = AuditRecord {
            authentication: "node".to_owned(),
            operation: operation.to_owned(),
            outcome: AuditOutcome::Allowed.into(),
            key: note.key,
            key_id: note.key_id,
            version: note.version,
            count: 1,
            key_revision: note.key_revision,
            access_revision: self.access.revision().0,
            detail: note.detail,
            data_key_id: note.data_key_id,
            alias: note.alias,
            destruction_revision: note.destruction_revision,
            ..AuditRecord::default()
        };
        let told = KeyId::from_slice(&record.key_id);
        let record = self.append_audit(place, record);
        self.tell(told, record);
    }

    /// Makes a record part of a key's story.
    fn tell(&mut self, key: Option<KeyId>, record: AuditSequence) {
        if let Some(key) = key {
            self.save_history(key, record);
        }
    }

    /// A write and what became of it.
    pub(super) fn journal_write(
        &mut self,
        place: Place,
        write: &Write,
        note: Note,
        outcome: AuditOutcome,
        reason: &str,
    ) {
        if is_planted(Bug::SkipLeaf) && matches!(write.change, Change::Revoke(_)) {
            return;
        }
        let (principal, authentication) = match &write.actor {
            Actor::Principal(name) => (name.to_string(), MUTUAL_TLS),
            Actor::Node => (String::new(), "node"),
        };
        let record = AuditRecord {
            request_id: write.request.as_bytes().to_vec(),
            attempt: write.attempt,
            principal,
            authentication: authentication.to_owned(),
            source_address: write.source.clone(),
            operation: write.change.operation().to_owned(),
            key: note.key,
            key_id: note.key_id,
            version: note.version,
            count: 1,
            outcome: outcome.into(),
            reason: reason.to_owned(),
            key_revision: note.key_revision,
            access_revision: note.access_revision,
            detail: note.detail,
            data_key_id: note.data_key_id,
            alias: note.alias,
            destruction_revision: note.destruction_revision,
            ..AuditRecord::default()
        };
        let told = KeyId::from_slice(&record.key_id);
        let record = self.append_audit(place, record);
        if outcome == AuditOutcome::Allowed && write.change.is_told() {
            self.tell(told, record);
            self.tell(note.also, record);
            if let Change::Erased { through } = &write.change {
                self.save_erasure(record, place.node, *through);
            }
        }
    }
}
