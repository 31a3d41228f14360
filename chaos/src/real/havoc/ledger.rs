//! The audit log as far as it was read, and whether what is read later still continues it.

use crate::evidence::Leaf;
use crate::merkle::{leaf_hash, root_of};
use anyhow::{Context as _, Result, ensure};
use conclave_client::Client;
use conclave_client::v1::{ListAuditRequest, ReadConsistency};
use std::collections::BTreeSet;

/// As the protocol allows.
const PAGE: u32 = 1_000;

/// The log so far.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    leaves: Vec<Leaf>,
    hashes: Vec<[u8; 32]>,
    /// Whose requests were recorded as done.
    done: BTreeSet<(String, Vec<u8>)>,
}

impl Ledger {
    /// Reads on, up to what is committed now.
    ///
    /// # Errors
    /// If it cannot be read, or has a gap.
    pub(super) async fn read_on(&mut self, client: &Client) -> Result<()> {
        loop {
            let start = u64::try_from(self.leaves.len())?;
            let request = ListAuditRequest {
                start,
                page_size: PAGE,
                newest: false,
                consistency: ReadConsistency::Linearizable.into(),
            };
            let page = client.list_audit(request).await.context("the audit log")?;
            if page.entries.is_empty() {
                return Ok(());
            }
            for entry in page.entries {
                let place = u64::try_from(self.leaves.len())?;
                ensure!(
                    entry.sequence == place,
                    "record {} is where {place} should be",
                    entry.sequence
                );
                self.push(Leaf::read(entry.leaf, None)?);
            }
        }
    }

    fn push(&mut self, leaf: Leaf) {
        self.hashes.push(leaf_hash(&leaf.bytes));
        if leaf.is_allowed() {
            let name = (
                leaf.record.principal.clone(),
                leaf.record.request_id.clone(),
            );
            self.done.insert(name);
        }
        self.leaves.push(leaf);
    }

    /// How many records were read.
    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.leaves.len()).unwrap_or(u64::MAX)
    }

    /// The root over the first records; `None` if fewer were read.
    pub(super) fn root(&self, size: u64) -> Option<[u8; 32]> {
        self.hashes.get(..usize::try_from(size).ok()?).map(root_of)
    }

    /// Whether something was done under this request id.
    pub(super) fn has_done(&self, principal: &str, request: &[u8]) -> bool {
        self.done
            .contains(&(principal.to_owned(), request.to_vec()))
    }

    /// What was read.
    pub(super) fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }
}
