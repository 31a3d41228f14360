//! Every bound of the replicated state, in one place.

use std::ops::RangeInclusive;

/// Pairs of an encryption context, and of a key's labels.
pub const PAIRS_MAX: usize = 32;
/// Bytes of all names and values of an encryption context, or of a key's labels, together.
pub const PAIRS_BYTES_MAX: usize = 8 * 1024;
/// Versions of one key.
pub const VERSIONS_MAX: u32 = 10_000;
/// Keys of the cluster.
pub const KEYS_MAX: usize = 1_000_000;
/// Registered data keys of the cluster: each takes about 400 bytes of memory on every node, and more with context and
/// labels.
pub const DATA_KEYS_MAX: usize = 1_000_000;
/// Bytes of a data key, wrapped: one of 64 bytes has 166.
pub const DATA_KEY_WRAPPED_BYTES_MAX: usize = 512;
/// Data keys that one command wraps anew.
pub const REWRAPS_PER_COMMAND_MAX: usize = 256;
/// Aliases of the cluster.
pub const ALIASES_MAX: usize = 100_000;
/// Aliases of one key.
pub const ALIASES_PER_KEY_MAX: usize = 100;
/// Import jobs of the cluster.
pub const IMPORT_JOBS_MAX: usize = 1_000;
/// Milliseconds that an import job lives: 10 minutes to 7 days.
pub const IMPORT_LIFE_MS: RangeInclusive<u64> = 600_000..=7 * 86_400_000;
/// Grants of the cluster.
pub const GRANTS_MAX: usize = 100_000;
/// Answers remembered for one principal; the oldest is forgotten first.
pub const REQUESTS_PER_PRINCIPAL_MAX: usize = 1_024;
/// Answers remembered in the cluster; the oldest is forgotten first.
pub const REQUESTS_MAX: usize = 200_000;
/// How long an answer is remembered, in milliseconds.
pub const REQUEST_MEMORY_MS: u64 = 10 * 60 * 1_000;
/// Use batches remembered for one node; the oldest is forgotten first.
pub const BATCHES_PER_NODE_MAX: usize = 64;
/// Former processes of one node that are remembered, so that no batch of theirs counts any more.
pub const RETIRED_INCARNATIONS_MAX: usize = 64;
/// Use records of one batch.
pub const RECORDS_PER_BATCH_MAX: usize = 1_024;
/// Bytes of wrapped material.
pub const WRAPPED_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a public key: those of ML-DSA-65 have 1,974.
pub const PUBLIC_KEY_BYTES_MAX: usize = 4 * 1024;
/// Bytes of any text in a command that is not a name: a source address, a reason.
pub const TEXT_BYTES_MAX: usize = 512;
/// Custodians of a root key.
pub const CUSTODIANS_MAX: usize = 255;
/// Bytes of a custodian's recipient: post-quantum ones have about 2,000.
pub const RECIPIENT_BYTES_MAX: usize = 4 * 1024;
/// Work of one kind that one tick does at most, so that no single `apply` takes long.
pub const TICK_WORK_MAX: usize = 1_000;
/// Milliseconds of a rotation period: an hour to ten years.
pub const ROTATION_PERIOD_MS: RangeInclusive<u64> = 3_600_000..=10 * 366 * 24 * 3_600_000;
/// Milliseconds that a destruction waits: 1 to 90 days.
pub const DESTRUCTION_WAIT_MS: RangeInclusive<u64> = 86_400_000..=90 * 86_400_000;
/// Bytes of a key's name at most.
pub const KEY_NAME_BYTES_MAX: usize = 255;
/// Segments of a key's name at most.
pub const KEY_NAME_SEGMENTS_MAX: usize = 8;
/// Bytes of one segment, of a keyring, a principal or a custodian at most.
pub const SEGMENT_BYTES_MAX: usize = 63;
