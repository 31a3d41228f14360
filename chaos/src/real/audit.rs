//! Reading the audit log from outside, and computing its root independently of the product.

use crate::merkle::{leaf_hash, root_of};
use anyhow::{Result, ensure};
use conclave_client::v1::{AuditEntry, ListAuditRequest, ReadConsistency};
use conclave_client::{Client, store::v1::AuditRecord};

/// The whole log as the node that answers has it.
///
/// # Errors
/// If it cannot be read, or has a gap.
pub async fn audit_log(client: &Client) -> Result<Vec<AuditEntry>> {
    let mut entries: Vec<AuditEntry> = Vec::new();
    loop {
        let request = ListAuditRequest {
            start: u64::try_from(entries.len())?,
            page_size: 1_000,
            newest: false,
            consistency: ReadConsistency::Linearizable.into(),
        };
        let page = client.list_audit(request).await?.entries;
        if page.is_empty() {
            return Ok(entries);
        }
        for entry in page {
            let place = u64::try_from(entries.len())?;
            ensure!(
                entry.sequence == place,
                "{} is where {place} should be",
                entry.sequence
            );
            ensure!(entry.record.is_some(), "record {place} cannot be read");
            entries.push(entry);
        }
    }
}

/// The records about one request.
pub fn records_of<'a>(
    log: &'a [AuditEntry],
    request_id: &'a [u8],
) -> impl Iterator<Item = &'a AuditRecord> {
    let records = log.iter().filter_map(|entry| entry.record.as_ref());
    records.filter(move |record| record.request_id == request_id)
}

/// The root of leaves.
pub fn merkle_root<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let hashes: Vec<[u8; 32]> = leaves.into_iter().map(leaf_hash).collect();
    root_of(&hashes)
}
