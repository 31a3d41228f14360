//! Every bound of this crate.

use std::time::Duration;

/// Bytes of a checkpoint's name.
pub const CHECKPOINT_NAME_BYTES_MAX: usize = 64;
/// Bytes of the name of a checkpoint's file.
pub const FILE_NAME_BYTES_MAX: usize = 128;
/// Files of a checkpoint.
pub const CHECKPOINT_FILES_MAX: usize = 100_000;
/// Bytes of what whoever took a checkpoint keeps with it.
pub const CHECKPOINT_META_BYTES_MAX: usize = 1 << 20;

/// Shortest secret that [`Hsm::wrap_secret`](crate::Hsm::wrap_secret) takes, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;
/// Longest secret that [`Hsm::wrap_secret`](crate::Hsm::wrap_secret) takes, in bytes.
pub const SECRET_BYTES_MAX: usize = 64;
/// Longest wrapped key that is handed to a module, in bytes: a secret of the greatest length, padded, and one
/// block of eight bytes.
pub const WRAPPED_BYTES_MAX: usize = SECRET_BYTES_MAX + 8;
/// Longest wrapped key from outside that is handed to a module, in bytes: the longest RSA key, and an AES key under one.
pub const IMPORTED_BYTES_MAX: usize = 4 << 10;
/// Length of the root key and of every key that a module generates, in bytes.
pub const KEY_BYTES: usize = 32;

/// How long a TLS handshake may take, from the first byte to the last.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the opening of an outgoing connection may take, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes under way on one listener.
pub const HANDSHAKES_MAX: usize = 256;
/// Open connections of one listener, unless configured otherwise.
pub const CONNECTIONS_MAX_DEFAULT: usize = 4096;
/// Pause after `accept` has failed, so that a lack of file descriptors does not spin the loop.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Refused connections are logged at most once in this time.
pub const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What [`Storage::probe`](crate::Storage::probe) writes, in bytes.
pub const PROBE_BYTES: usize = 24 << 20;

/// Longest message that a module is asked to authenticate, in bytes.
pub const HMAC_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Most random bytes asked from a module in one call.
pub const RANDOM_BYTES_MAX: usize = 64 << 10;

/// Calls that a thread of the module makes before it hands over their answers.
pub const CALLS_TOGETHER_MAX: usize = 8;

/// Callers of [`Store::sync`](crate::Store::sync) that wait; above, the store answers an error.
pub const SYNCS_WAITING_MAX: usize = 65_536;
/// The watermark file is fsynced at most once in this time.
pub const WATERMARK_SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Write buffer of one table, in bytes.
pub const WRITE_BUFFER_BYTES: usize = 4 << 20;
/// Write buffers of all tables of a database together, in bytes.
pub const DATABASE_BUFFERS_BYTES: usize = 16 << 20;
/// Write-ahead log that is kept before tables are flushed, in bytes: what a restart has to replay.
pub const WAL_BYTES_MAX: u64 = 128 << 20;
/// How long files that a table no longer needs may take to go, before that is an error.
pub const ERASURE_MAX: Duration = Duration::from_secs(30);
/// Pause before looking again whether they have gone.
pub const ERASURE_PAUSE: Duration = Duration::from_millis(10);
/// Bytes of tables that earlier checkpoints hold, which each checkpoint reads again to see whether they are still what
/// they were.
pub const SCRUB_BYTES: u64 = 64 << 20;
/// Block cache of all databases together, in bytes.
pub const BLOCK_CACHE_BYTES: usize = 8 << 20;

/// Whether a secret of so many bytes can be wrapped by every module: whole blocks of eight bytes.
pub(crate) fn is_secret_length(bytes: usize) -> bool {
    (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes) && bytes.is_multiple_of(8)
}
