//! Proofs that a record is in the audit log, from what the disk has of its tree.

use super::apply::StateMachine;
use conclave_core::audit::{Hash, Subtree, inclusion_path, leaf_hash, root_over};
use conclave_core::{AuditSequence, Table};
use conclave_env::StoreError;
use std::ops::{Bound, Range};

impl StateMachine {
    /// Siblings from the record up to the root over the first `size` records.
    ///
    /// # Errors
    /// As the disk has them.
    ///
    /// # Panics
    /// If the record is not among them.
    pub(crate) fn inclusion_path(
        &self,
        record: AuditSequence,
        size: u64,
    ) -> Result<Vec<Hash>, StoreError> {
        inclusion_path(record.0, size, |subtree| self.root_of(subtree))
    }

    fn root_of(&self, subtree: Subtree) -> Result<Hash, StoreError> {
        let (level, range) = subtree.made_of();
        let (start, end) = (range.start, range.end);
        let hashes = match level {
            0 => self.leaf_hashes(range)?,
            _ => self.kept_roots(level, range)?,
        };
        let wanted = end.saturating_sub(start);
        if u64::try_from(hashes.len()).ok() != Some(wanted) {
            let what = format!("the audit log's tree: {wanted} at {start} of level {level}");
            return Err(self.slot().corrupt(&what));
        }
        Ok(root_over(hashes))
    }

    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        let count = count(&range);
        let leaves = self.audit_records(AuditSequence(range.start), count)?;
        let in_range = leaves.iter().zip(range);
        let in_order = in_range.take_while(|((sequence, _), wanted)| sequence.0 == *wanted);
        Ok(in_order.map(|((_, leaf), _)| leaf_hash(leaf)).collect())
    }

    fn kept_roots(&self, level: u32, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        let row = |index| Subtree { level, index }.row();
        let (from, to) = (row(range.start), row(range.end));
        let rows = self.slot().with(|store| {
            store.scan(
                Table::AuditTree.name(),
                Bound::Included(&from),
                Bound::Excluded(&to),
                count(&range),
            )
        })?;
        let in_range = rows.into_iter().zip(range);
        let hashes = in_range.map_while(|((key, value), index)| {
            let hash = Hash::try_from(value).ok()?;
            (key == row(index)).then_some(hash)
        });
        Ok(hashes.collect())
    }
}

fn count(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}
