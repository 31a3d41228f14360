//! The Merkle tree hash of RFC 6962 section 2.1, word for word, independently of the product's.

use sha2::{Digest as _, Sha256};

/// The hash of one leaf.
pub(crate) fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into()
}

/// The root over the hashes of leaves.
pub(crate) fn root_of(hashes: &[[u8; 32]]) -> [u8; 32] {
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
