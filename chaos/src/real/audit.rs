//! Reading the audit log from outside, and computing its root independently of the product.

use anyhow::{Result, ensure};
use conclave_client::v1::{AuditEntry, ListAuditRequest, ReadConsistency};
use conclave_client::{Client, store::v1::AuditRecord};
use sha2::{Digest as _, Sha256};

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

/// The Merkle tree hash of RFC 6962 section 2.1, word for word.
pub fn merkle_root<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let hash_leaf = |leaf: &[u8]| {
        Sha256::new()
            .chain_update([0])
            .chain_update(leaf)
            .finalize()
    };
    let hashes: Vec<[u8; 32]> = leaves
        .into_iter()
        .map(|leaf| hash_leaf(leaf).into())
        .collect();
    root_of(&hashes)
}

fn root_of(hashes: &[[u8; 32]]) -> [u8; 32] {
    match hashes {
        [] => Sha256::digest([]).into(),
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len().next_power_of_two() / 2);
            let (left, right) = (root_of(left), root_of(right));
            Sha256::new()
                .chain_update([1])
                .chain_update(left)
                .chain_update(right)
                .finalize()
                .into()
        }
    }
}
