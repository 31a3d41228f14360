//! The Merkle tree over the audit log: RFC 6962 section 2.1, SHA-256.

use super::proof::Subtree;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The hash of a leaf or an inner node.
pub type Hash = [u8; 32];

/// The tree's right edge: enough to append and to tell the root, in 40 hashes for a million million
/// leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTree {
    size: u64,
    /// Roots of the perfect subtrees that the leaves fall into, the largest first: one a set bit of
    /// `size`.
    edge: Vec<Hash>,
}

/// RFC 6962: the hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into()
}

/// RFC 6962: the hash of an inner node.
pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

impl AuditTree {
    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The Merkle tree hash of all leaves; of none, the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut from_the_right = self.edge.iter().rev();
        match from_the_right.next() {
            None => Sha256::digest([]).into(),
            Some(last) => from_the_right.fold(*last, |right, left| node_hash(left, &right)),
        }
    }

    /// Adds a leaf. Answers which subtrees it completes whose roots are kept, with these.
    ///
    /// # Panics
    /// At the 2^64th.
    pub fn append(&mut self, leaf: &[u8]) -> Vec<(Subtree, Hash)> {
        let mut kept = Vec::new();
        let mut hash = leaf_hash(leaf);
        // Each trailing set bit of the size is a perfect subtree that the new leaf completes to a
        // larger one.
        for below in 0..self.size.trailing_ones() {
            let left = self
                .edge
                .pop()
                .expect("there is a subtree for each set bit of the size");
            hash = node_hash(&left, &hash);
            let level = below.saturating_add(1);
            let index = self.size >> level;
            let subtree = Subtree { level, index };
            if subtree.is_kept() {
                kept.push((subtree, hash));
            }
        }
        self.edge.push(hash);
        self.size = self.size.checked_add(1).expect("no log has 2^64 records");
        kept
    }

    /// Whether the edge has as many subtrees as the size demands.
    pub(crate) fn is_sound(&self) -> bool {
        u32::try_from(self.edge.len()).is_ok_and(|len| len == self.size.count_ones())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962 section 2.1, word for word.
    fn by_definition(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => leaf_hash(leaf),
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(k);
                node_hash(&by_definition(left), &by_definition(right))
            }
        }
    }

    #[test]
    fn root_is_that_of_the_definition() {
        let mut tree = AuditTree::default();
        let mut leaves = Vec::new();
        assert_eq!(tree.root(), by_definition(&leaves));
        for n in 0_u32..200 {
            let leaf = n.to_be_bytes().repeat(usize::try_from(n % 5).unwrap());
            tree.append(&leaf);
            leaves.push(leaf);
            assert_eq!(
                tree.root(),
                by_definition(&leaves),
                "of {} leaves",
                leaves.len()
            );
            assert!(tree.is_sound());
        }
    }

    /// The known answers of the Certificate Transparency project's test data.
    #[test]
    fn root_of_known_leaves() {
        let mut tree = AuditTree::default();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(tree.root()), empty);
        tree.append(b"");
        let one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(hex::encode(tree.root()), one);
        tree.append(&[0]);
        let two = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
        assert_eq!(hex::encode(tree.root()), two);
    }
}
