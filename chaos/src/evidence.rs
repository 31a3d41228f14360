//! What a run leaves for the invariants to judge: the clients' history, and the audit log.

use crate::history::History;
use anyhow::{Context as _, Result};
use conclave_core::AuditRecord;
use conclave_core::audit::AuditOutcome;
use prost::Message as _;
use std::collections::BTreeMap;
use std::time::Duration;

/// One leaf of the audit log.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// What it says.
    pub record: AuditRecord,
    /// The bytes that are hashed.
    pub bytes: Vec<u8>,
    /// When some node was first seen to have applied it; `None` where nobody looks into nodes.
    pub applied: Option<Duration>,
}

impl Leaf {
    /// Reads a leaf.
    ///
    /// # Errors
    /// If it is no record.
    pub fn read(bytes: Vec<u8>, applied: Option<Duration>) -> Result<Self> {
        let record = AuditRecord::decode(bytes.as_slice()).context("a leaf is no audit record")?;
        Ok(Self {
            record,
            bytes,
            applied,
        })
    }

    /// Whether what it records was done.
    pub fn is_allowed(&self) -> bool {
        self.record.outcome == i32::from(AuditOutcome::Allowed)
    }

    /// Whether it records the use of a key, or of the random generator.
    pub fn is_use(&self) -> bool {
        matches!(
            self.record.operation.as_str(),
            "Encrypt"
                | "Decrypt"
                | "GenerateDataKey"
                | "GenerateDataKeyPair"
                | "DecryptDataKey"
                | "ReEncrypt"
                | "GenerateRandom"
                | "GenerateMac"
                | "VerifyMac"
                | "Sign"
                | "Verify"
                | "DeriveSharedSecret"
                | "Decapsulate"
        )
    }
}

/// What a run leaves.
#[derive(Default)]
pub struct Evidence {
    /// As the clients saw it.
    pub history: History,
    /// The audit log, whole.
    pub leaves: Vec<Leaf>,
    /// Who was made admin of everything when the cluster was formed.
    pub admins: Vec<String>,
    /// How many custodians unseal a node; 0 if there was no ceremony.
    pub threshold: usize,
}

impl Evidence {
    /// The leaves about each request, in their order: by principal and request id.
    pub fn by_request(&self) -> BTreeMap<(&str, &[u8]), Vec<&Leaf>> {
        let mut found: BTreeMap<(&str, &[u8]), Vec<&Leaf>> = BTreeMap::new();
        for leaf in &self.leaves {
            let record = &leaf.record;
            let name = (record.principal.as_str(), record.request_id.as_slice());
            found.entry(name).or_default().push(leaf);
        }
        found
    }
}
