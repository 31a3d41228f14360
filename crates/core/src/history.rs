//! The stories of keys: which records of the audit log tell them, so that nobody reads millions of uses for a few of them.
//!
//! A record is part of a key's story if it was done (what was refused is in the audit log only), and is no use, nor of a
//! registered data key. Records say of nodes, not of keys, that they erased what was destroyed: these are rows of their own,
//! and whoever tells a story looks for those that erased this key.
//!
//! Two kinds of rows of [`crate::Table::History`], told apart by their first byte: 0 ‖ key id (16) ‖ record (u64, big
//! endian), empty; 1 ‖ record, with the node and the revision up to which it erased.

use crate::ids::{AuditSequence, KeyId, NodeId, Revision};
use std::ops::RangeInclusive;

const OF_KEY: u8 = 0;
const ERASURE: u8 = 1;

/// That a node has erased what was destroyed up to a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The record that says so.
    pub record: AuditSequence,
    /// Which node.
    pub node: NodeId,
    /// Up to which revision.
    pub through: Revision,
}

/// The name of the row by which a record is part of a key's story.
pub fn record_row(key: KeyId, record: AuditSequence) -> Vec<u8> {
    let record = record.0.to_be_bytes();
    [&[OF_KEY], key.as_bytes().as_slice(), &record].concat()
}

/// All rows of a key's story from a record on.
pub fn rows_of(key: KeyId, from: AuditSequence) -> RangeInclusive<Vec<u8>> {
    record_row(key, from)..=record_row(key, AuditSequence(u64::MAX))
}

/// The record of such a row.
pub fn record_of(row: &[u8]) -> Option<AuditSequence> {
    let (head, record) = row.split_last_chunk()?;
    let is_of_key = head.len() == 17 && head.first() == Some(&OF_KEY);
    is_of_key.then(|| AuditSequence(u64::from_be_bytes(*record)))
}

/// All rows of erasures from a record on.
pub fn erasure_rows(from: AuditSequence) -> RangeInclusive<Vec<u8>> {
    erasure_row(from)..=erasure_row(AuditSequence(u64::MAX))
}

fn erasure_row(record: AuditSequence) -> Vec<u8> {
    [[ERASURE].as_slice(), &record.0.to_be_bytes()].concat()
}

impl Erasure {
    /// As stored.
    pub fn to_row(self) -> (Vec<u8>, Vec<u8>) {
        let value = [self.node.0, self.through.0].map(u64::to_be_bytes);
        (erasure_row(self.record), value.concat())
    }

    /// From what was stored.
    pub fn from_row(key: &[u8], value: &[u8]) -> Option<Self> {
        let (ERASURE, record) = key.split_first().map(|(tag, rest)| (*tag, rest))? else {
            return None;
        };
        let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
        let (node, through) = value.split_at_checked(8)?;
        Some(Self {
            record: AuditSequence(number(record)?),
            node: NodeId(number(node)?),
            through: Revision(number(through)?),
        })
    }
}

/// Of erasures in the order of their records, those by which something that was destroyed at one of these revisions went
/// from a node's disk.
pub fn erasures_of<'a>(
    destroyed: &'a [Revision],
    erasures: impl IntoIterator<Item = Erasure> + 'a,
) -> impl Iterator<Item = Erasure> + 'a {
    let mut before = std::collections::BTreeMap::new();
    erasures.into_iter().filter(move |erasure| {
        let from = before
            .insert(erasure.node, erasure.through)
            .unwrap_or_default();
        destroyed
            .iter()
            .any(|revision| *revision > from && *revision <= erasure.through)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_ordered_by_key_and_record(
            keys in prop::collection::vec(prop::array::uniform16(0_u8..3), 2),
            records in prop::collection::vec(any::<u64>(), 2), from in any::<u64>(),
        ) {
            let row = |n: usize| record_row(KeyId(keys[n]), AuditSequence(records[n]));
            let place = |n: usize| (keys[n], records[n]);
            prop_assert_eq!(row(0).cmp(&row(1)), place(0).cmp(&place(1)));
            prop_assert_eq!(record_of(&row(0)), Some(AuditSequence(records[0])));
            let rows = rows_of(KeyId(keys[1]), AuditSequence(from));
            prop_assert_eq!(rows.contains(&row(0)), keys[0] == keys[1] && records[0] >= from);
            let erasure = Erasure {
                record: AuditSequence(records[0]),
                node: NodeId(records[1]),
                through: Revision(from),
            };
            let (key, value) = erasure.to_row();
            prop_assert_eq!(Erasure::from_row(&key, &value), Some(erasure));
            prop_assert!(!rows.contains(&key) && record_of(&key).is_none());
            prop_assert_eq!(erasure_rows(AuditSequence(from)).contains(&key), records[0] >= from);
            prop_assert_eq!(Erasure::from_row(&row(0), &value), None);
            prop_assert_eq!(Erasure::from_row(&key, &value[1..]), None);
        }
    }

    #[test]
    fn a_node_erases_what_was_destroyed_once() {
        let erasure = |record, node, through| Erasure {
            record: AuditSequence(record),
            node: NodeId(node),
            through: Revision(through),
        };
        let all = [
            erasure(10, 1, 5),
            erasure(11, 2, 4),
            erasure(12, 1, 9),
            erasure(13, 2, 9),
            erasure(14, 1, 20),
        ];
        let of = |destroyed: &[u64]| -> Vec<u64> {
            let destroyed: Vec<_> = destroyed.iter().copied().map(Revision).collect();
            let found = erasures_of(&destroyed, all);
            found.map(|it| it.record.0).collect()
        };
        assert_eq!(of(&[5]), [10, 13]);
        assert_eq!(of(&[4]), [10, 11]);
        assert_eq!(of(&[4, 9]), [10, 11, 12, 13]);
        assert!(of(&[21]).is_empty() && of(&[]).is_empty());
    }
}
