//! Proofs that a record is in the audit log: RFC 6962 section 2.1.1.

use super::tree::{Hash, leaf_hash, node_hash};
use std::ops::Range;

/// Roots of subtrees of 2^8 leaves, of 2^16, and so on, are kept as rows: a proof reads fewer than 256 rows of each of these
/// levels, however long the log is.
const KEPT_LEVELS: u32 = 8;

/// A subtree with all its leaves: `index × 2^level` and those that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subtree {
    /// Its height; 0 is a leaf.
    pub level: u32,
    /// How many of its height are to the left of it.
    pub index: u64,
}

impl Subtree {
    /// Whether its root has a row.
    pub fn is_kept(self) -> bool {
        self.level > 0 && self.level.is_multiple_of(KEPT_LEVELS)
    }

    /// The row of its root.
    pub fn row(self) -> Vec<u8> {
        let level = u8::try_from(self.level).unwrap_or(u8::MAX);
        [[level].as_slice(), &self.index.to_be_bytes()].concat()
    }

    /// What its root is made of: the level that is kept or of leaves, and where on it, 1 to 128 of them.
    pub fn made_of(self) -> (u32, Range<u64>) {
        let above = self.level % KEPT_LEVELS;
        let first = self.index << above;
        let base = self.level.saturating_sub(above);
        (base, first..first.saturating_add(1 << above))
    }
}

/// The root over subtrees of one height, as many as a power of two.
///
/// # Panics
/// If there are none.
pub fn root_over(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        let (pairs, _) = hashes.as_chunks();
        hashes = pairs.iter().map(|[l, r]| node_hash(l, r)).collect();
    }
    hashes.pop().expect("there is a subtree")
}

/// The siblings on the way from leaf `sequence` to the root over the first `size` leaves, the lowest first; up to 64 of them.
/// Whoever keeps the tree says what the root of a subtree is.
///
/// # Errors
/// Those of `root_of`.
///
/// # Panics
/// If there is no such leaf.
pub fn inclusion_path<E>(
    sequence: u64,
    size: u64,
    mut root_of: impl FnMut(Subtree) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    assert!(sequence < size, "only what is in the log can be proved");
    let mut path = Vec::new();
    let mut around = 0..size;
    while let Some(middle) = middle_of(&around) {
        let (left, right) = (around.start..middle, middle..around.end);
        let (way, sibling) = if sequence < middle {
            (left, right)
        } else {
            (right, left)
        };
        path.push(root_of_range(sibling, &mut root_of)?);
        around = way;
    }
    path.reverse();
    Ok(path)
}

/// Where leaves part: to the left as many as the largest power of two that leaves some to the right; `None` for a single one.
fn middle_of(range: &Range<u64>) -> Option<u64> {
    let last = range.end.saturating_sub(range.start).saturating_sub(1);
    Some(range.start.saturating_add(1 << last.checked_ilog2()?))
}

/// Of leaves that begin where a subtree of as many begins.
fn root_of_range<E>(
    range: Range<u64>,
    root_of: &mut impl FnMut(Subtree) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let mut roots = Vec::new();
    let mut start = range.start;
    while let Some(level) = range.end.saturating_sub(start).checked_ilog2() {
        let index = start >> level;
        roots.push(root_of(Subtree { level, index })?);
        start = start.saturating_add(1 << level);
    }
    let mut from_the_right = roots.into_iter().rev();
    let last = from_the_right.next().expect("no sibling is empty");
    Ok(from_the_right.fold(last, |right, left| node_hash(&left, &right)))
}

/// The root of a log of `size` leaves in which `leaf` is the one at `sequence`, if `path` is its proof (RFC 9162 section
/// 2.1.3.2); `None` if the path has not as many hashes as it takes. Whoever verifies compares it with the root of a checkpoint.
pub fn root_by_path(leaf: &[u8], sequence: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let (mut node, mut last) = (sequence, size.checked_sub(1)?);
    if node > last {
        return None;
    }
    let mut root = leaf_hash(leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node % 2 == 1 || node == last {
            root = node_hash(sibling, &root);
            // The last one of its level, without a sibling there, has it further up.
            while node % 2 == 0 && node != 0 {
                node /= 2;
                last /= 2;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        node /= 2;
        last /= 2;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::super::AuditTree;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    /// A log with its rows, as a node has them.
    #[derive(Default)]
    struct Log {
        leaves: Vec<Vec<u8>>,
        tree: AuditTree,
        kept: BTreeMap<Subtree, Hash>,
    }

    impl Log {
        fn of(size: u64) -> Self {
            let mut log = Self::default();
            for n in 0..size {
                let leaf = n.to_be_bytes().to_vec();
                log.kept.extend(log.tree.append(&leaf));
                log.leaves.push(leaf);
            }
            log
        }

        fn root_of(&self, subtree: Subtree) -> Hash {
            let (level, range) = subtree.made_of();
            let hash = |index: u64| match level {
                0 => leaf_hash(&self.leaves[usize::try_from(index).unwrap()]),
                _ => self.kept[&Subtree { level, index }],
            };
            root_over(range.map(hash).collect())
        }

        fn path(&self, sequence: u64, size: u64) -> Vec<Hash> {
            let root_of = |subtree| Ok::<_, Infallible>(self.root_of(subtree));
            let Ok(path) = inclusion_path(sequence, size, root_of);
            path
        }
    }

    // The paths of the example in RFC 6962 section 2.1.3, for a tree of seven leaves.
    #[test]
    fn paths_are_those_of_the_rfc() {
        let log = Log::of(7);
        let root = |level, index| log.root_of(Subtree { level, index });
        let leaf = |index| root(0, index);
        let l = node_hash(&root(1, 2), &leaf(6));
        assert_eq!(log.path(0, 7), [leaf(1), root(1, 1), l]);
        assert_eq!(log.path(3, 7), [leaf(2), root(1, 0), l]);
        assert_eq!(log.path(4, 7), [leaf(5), leaf(6), root(2, 0)]);
        assert_eq!(log.path(6, 7), [root(1, 2), root(2, 0)]);
        assert!(log.path(0, 1).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Sizes beyond 2^16 take rows of two levels.
        #[test]
        fn each_leaf_of_each_size_is_proved_and_nothing_else(
            now in prop_oneof![1_u64..300, 65_000_u64..70_000],
            (then, at, other) in (any::<u64>(), any::<u64>(), any::<u64>()),
        ) {
            let log = Log::of(now);
            let size = then % now + 1;
            let (sequence, other) = (at % size, other % size);
            let path = log.path(sequence, size);
            let leaf = |sequence: u64| sequence.to_be_bytes();
            let root = Log::of(size).tree.root();
            prop_assert_eq!(root_by_path(&leaf(sequence), sequence, size, &path), Some(root));
            if other != sequence {
                prop_assert_ne!(root_by_path(&leaf(other), sequence, size, &path), Some(root));
                prop_assert_ne!(root_by_path(&leaf(sequence), other, size, &path), Some(root));
            }
            let mut longer = path.clone();
            longer.push([0; 32]);
            prop_assert_eq!(root_by_path(&leaf(sequence), sequence, size, &longer), None);
            if let Some((_, shorter)) = path.split_last() {
                prop_assert_ne!(root_by_path(&leaf(sequence), sequence, size, shorter), Some(root));
            }
        }
    }

    #[test]
    fn what_is_not_in_the_log_has_no_root() {
        assert_eq!(root_by_path(b"", 0, 0, &[]), None);
        assert_eq!(root_by_path(b"", 1, 1, &[]), None);
        assert_eq!(root_by_path(b"", u64::MAX, u64::MAX, &[[0; 32]; 70]), None);
    }

    #[test]
    fn rows_are_in_the_order_of_level_and_place() {
        let first = Subtree { level: 8, index: 1 }.row();
        assert_eq!(first, [8, 0, 0, 0, 0, 0, 0, 0, 1], "as stored");
        let row = |level, index| Subtree { level, index }.row();
        assert!(row(8, u64::MAX) < row(16, 0));
        assert!(row(8, 255) < row(8, 256));
        assert_eq!(
            Subtree {
                level: 11,
                index: 3
            }
            .made_of(),
            (8, 24..32)
        );
        assert_eq!(Subtree { level: 7, index: 0 }.made_of(), (0, 0..128));
    }
}
