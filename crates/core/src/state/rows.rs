//! The state as rows of tables. The way back is [`super::load`].

use super::State;
use super::batches::{AppliedBatch, Incarnations};
use super::requests::Remembered;
use crate::access::Grant;
use crate::alias::Alias;
use crate::audit::{AuditTree, Hash, Subtree};
use crate::codec;
use crate::data_key::DataKey;
use crate::history::{self, Erasure};
use crate::ids::{
    AuditSequence, ClusterId, DataKeyId, ImportJobId, KeyId, NodeId, Revision, TimeMs,
    VersionNumber,
};
use crate::import::ImportJob;
use crate::key::{KeyInfo, KeyVersion, Usage};
use crate::names::KeyName;
use crate::uses::BatchId;
use serde::{Deserialize, Serialize};

/// A table of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// One row: what has no table of its own.
    Meta,
    /// Keys without their versions, by id.
    Keys,
    /// Versions, by key id and number.
    Versions,
    /// Grants, by their own encoding.
    Grants,
    /// One row.
    Custody,
    /// Answers remembered, by number.
    Requests,
    /// Verdicts of recent batches, by node and batch; and the processes of each node, by node.
    Batches,
    /// Leaves of the audit log, by sequence.
    Audit,
    /// How versions were used, by key id and number.
    Usage,
    /// How far nodes have erased what was destroyed, by node.
    Erased,
    /// Registered data keys, by id.
    DataKeys,
    /// Aliases, by name.
    Aliases,
    /// Which records of the audit log tell the story of a key (see [`crate::history`]).
    History,
    /// Import jobs, by id.
    Imports,
    /// Roots of the audit log's larger subtrees, for proofs (see [`crate::audit::Subtree`]).
    AuditTree,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Meta,
        Self::Keys,
        Self::Versions,
        Self::Grants,
        Self::Custody,
        Self::Requests,
        Self::Batches,
        Self::Audit,
        Self::Usage,
        Self::Erased,
        Self::DataKeys,
        Self::Aliases,
        Self::History,
        Self::Imports,
        Self::AuditTree,
    ];

    /// Those with wrapped keys: when one of these is destroyed, the files of all of them are written anew. (With the key of an
    /// import job, whoever kept what was wrapped for it has the material that came by it.)
    pub const OF_KEYS: [Self; 2] = [Self::Versions, Self::Imports];

    /// On the disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Keys => "keys",
            Self::Versions => "versions",
            Self::Grants => "grants",
            Self::Custody => "custody",
            Self::Requests => "requests",
            Self::Batches => "batches",
            Self::Audit => "audit",
            Self::Usage => "usage",
            Self::Erased => "erased",
            Self::DataKeys => "data-keys",
            Self::Aliases => "aliases",
            Self::History => "history",
            Self::Imports => "imports",
            Self::AuditTree => "audit-tree",
        }
    }
}

/// A row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// Where.
    pub table: Table,
    /// The row's name.
    pub key: Vec<u8>,
    /// Its contents; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// What has no table of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) cluster: Option<ClusterId>,
    pub(super) time: TimeMs,
    pub(super) access_revision: Revision,
    pub(super) next_request: u64,
    pub(super) audit: AuditTree,
}

/// The one row of [`Table::Meta`] that is the state's; the state machine keeps others beside it.
pub(super) const META_ROW: &[u8] = b"state";
pub(super) const CUSTODY_ROW: &[u8] = b"custody";

pub(super) fn version_row(id: KeyId, number: VersionNumber) -> Vec<u8> {
    [id.as_bytes().as_slice(), &number.0.to_be_bytes()].concat()
}

fn batch_row(node: NodeId, batch: BatchId) -> Vec<u8> {
    [node.0, batch.incarnation, batch.sequence]
        .map(u64::to_be_bytes)
        .concat()
}

impl State {
    fn save<T: Serialize>(&mut self, table: Table, key: impl Into<Vec<u8>>, value: &T) {
        let value = Some(codec::encode(value));
        self.changes.push(RowChange {
            table,
            key: key.into(),
            value,
        });
    }

    fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.changes.push(RowChange {
            table,
            key: key.into(),
            value: None,
        });
    }

    pub(super) fn save_meta(&mut self) {
        let meta = Meta {
            cluster: self.cluster,
            time: self.time,
            access_revision: self.access.revision(),
            next_request: self.requests.next(),
            audit: self.audit.clone(),
        };
        self.save(Table::Meta, META_ROW, &meta);
    }

    pub(super) fn save_key(&mut self, info: &KeyInfo) {
        self.save(Table::Keys, *info.id.as_bytes(), info);
    }

    pub(super) fn save_version(&mut self, id: KeyId, number: VersionNumber, it: &KeyVersion) {
        self.save(Table::Versions, version_row(id, number), it);
    }

    pub(super) fn save_usage(&mut self, id: KeyId, number: VersionNumber, it: Usage) {
        self.save(Table::Usage, version_row(id, number), &it);
    }

    pub(super) fn save_erased(&mut self, node: NodeId, through: Revision) {
        self.save(Table::Erased, node.0.to_be_bytes(), &through);
    }

    pub(super) fn save_data_key(&mut self, id: DataKeyId, it: &DataKey) {
        self.save(Table::DataKeys, *id.as_bytes(), it);
    }

    pub(super) fn save_data_key_removed(&mut self, id: DataKeyId) {
        self.remove(Table::DataKeys, *id.as_bytes());
    }

    pub(super) fn save_alias(&mut self, name: &KeyName, it: &Alias) {
        self.save(Table::Aliases, name.as_str().as_bytes(), it);
    }

    pub(super) fn save_alias_removed(&mut self, name: &KeyName) {
        self.remove(Table::Aliases, name.as_str().as_bytes());
    }

    pub(super) fn save_history(&mut self, id: KeyId, record: AuditSequence) {
        self.changes.push(RowChange {
            table: Table::History,
            key: history::record_row(id, record),
            value: Some(Vec::new()),
        });
    }

    pub(super) fn save_erasure(&mut self, record: AuditSequence, node: NodeId, through: Revision) {
        let erasure = Erasure {
            record,
            node,
            through,
        };
        let (key, value) = erasure.to_row();
        self.changes.push(RowChange {
            table: Table::History,
            key,
            value: Some(value),
        });
    }

    pub(super) fn save_import_job(&mut self, id: ImportJobId, it: &ImportJob) {
        self.save(Table::Imports, *id.as_bytes(), it);
    }

    pub(super) fn save_import_job_removed(&mut self, id: ImportJobId) {
        self.remove(Table::Imports, *id.as_bytes());
    }

    pub(super) fn save_grant(&mut self, grant: &Grant) {
        self.save(Table::Grants, codec::encode(grant), &());
    }

    pub(super) fn remove_grant(&mut self, grant: &Grant) {
        self.remove(Table::Grants, codec::encode(grant));
    }

    pub(super) fn save_custody(&mut self) {
        if let Some(custody) = self.custody.clone() {
            self.save(Table::Custody, CUSTODY_ROW, &custody);
        }
    }

    pub(super) fn save_request(&mut self, number: u64, it: &Remembered) {
        self.save(Table::Requests, number.to_be_bytes(), it);
    }

    pub(super) fn remove_request(&mut self, number: u64) {
        self.remove(Table::Requests, number.to_be_bytes());
    }

    pub(super) fn save_batch(&mut self, node: NodeId, id: BatchId, batch: &AppliedBatch) {
        self.save(Table::Batches, batch_row(node, id), batch);
    }

    pub(super) fn save_incarnations(&mut self, node: NodeId, it: &Incarnations) {
        self.save(Table::Batches, node.0.to_be_bytes(), it);
    }

    pub(super) fn remove_batch(&mut self, node: NodeId, batch: BatchId) {
        self.remove(Table::Batches, batch_row(node, batch));
    }

    pub(super) fn save_leaf(&mut self, sequence: u64, leaf: Vec<u8>) {
        let key = sequence.to_be_bytes().to_vec();
        self.changes.push(RowChange {
            table: Table::Audit,
            key,
            value: Some(leaf),
        });
    }

    pub(super) fn save_subtree(&mut self, subtree: Subtree, root: Hash) {
        self.changes.push(RowChange {
            table: Table::AuditTree,
            key: subtree.row(),
            value: Some(root.to_vec()),
        });
    }
}
