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

/// The root of `size` leaves in which `leaf` is the hash of the one at `index`, by its path (section 2.1.1), read as the
/// recursion that makes it; nothing if it has a hash too few or too many.
pub(crate) fn root_by_path(
    leaf: [u8; 32],
    index: usize,
    size: usize,
    path: &[Vec<u8>],
) -> Option<[u8; 32]> {
    let Some(half) = size.checked_sub(1).filter(|below| *below > 0) else {
        return path.is_empty().then_some(leaf);
    };
    let half = 1_usize << half.ilog2();
    let (sibling, below) = path.split_last()?;
    let inner = |left: &[u8], right: &[u8]| {
        let hash = Sha256::new().chain_update([1]).chain_update(left);
        hash.chain_update(right).finalize().into()
    };
    Some(match index.checked_sub(half) {
        None => inner(&root_by_path(leaf, index, half, below)?, sibling),
        Some(index) => inner(sibling, &root_by_path(leaf, index, size - half, below)?),
    })
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
