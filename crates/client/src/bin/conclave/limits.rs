//! Every bound of the command line, in one place.

use std::time::Duration;

/// How long a call of custody may take when nothing is said: an HSM may be slow to import a key.
pub(crate) const CUSTODY_DEADLINE: Duration = Duration::from_secs(30);
/// How long it may take to learn who the members are.
pub(crate) const DISCOVERY_MAX: Duration = Duration::from_secs(5);
/// How long a node may take to say how it is.
pub(crate) const STATUS_MAX: Duration = Duration::from_secs(3);

/// Bytes that are read from a file at once.
pub(crate) const READ_BYTES: usize = 1024 * 1024;
/// Bytes that are written at once.
pub(crate) const WRITE_BYTES: usize = 256 * 1024;
/// Input smaller than this is done before a progress bar could be read.
pub(crate) const WORTH_A_BAR_BYTES: u64 = 16 * 1024 * 1024;
/// Plaintext that a terminal is shown: what fits on a few screens.
pub(crate) const TERMINAL_TEXT_BYTES_MAX: usize = 32 * 1024;

/// Keys that are asked for at once.
pub(crate) const KEYS_PER_PAGE: u32 = 500;
/// Events of a key's history that are asked for at once.
pub(crate) const EVENTS_PER_PAGE: u32 = 500;
/// Registered data keys that are asked for at once.
pub(crate) const DATA_KEYS_PER_PAGE: u32 = 1_000;
/// How often a command that waits for data keys to be wrapped anew looks how many are left.
pub(crate) const REWRAP_LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Audit records that are asked for at once.
pub(crate) const RECORDS_PER_PAGE: u32 = 1_000;
/// Bytes of a file with proofs: a hundred of them have as many.
pub(crate) const PROOF_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a file with a key, in whatever encoding.
pub(crate) const MATERIAL_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a ciphertext under a public key: one of ML-KEM-768 has 1,088.
pub(crate) const ASYMMETRIC_CIPHERTEXT_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a file that holds a peer's public key.
pub(crate) const PEER_FILE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a message whose authentication code is made.
pub(crate) const MAC_MESSAGE_BYTES_MAX: usize = 64 * 1024;
