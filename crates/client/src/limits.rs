//! Every bound of the client, in one place.

use std::time::Duration;

/// How long a call may take, all attempts together, when the caller does not say.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
/// How long one attempt may take while there is another node to try. A frozen node costs this once.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(3);
/// Attempts at one call, whatever the deadline.
pub const ATTEMPTS_MAX: u32 = 64;
/// How long a node may take to accept a connection and prove who it is.
pub const CONNECT_MAX: Duration = Duration::from_secs(1);
/// The first pause, once every endpoint has been tried; each later pause is twice as long.
pub const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often an idle connection is asked whether it lives.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long it may take to answer.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one message either way.
pub const MESSAGE_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Connections to one node.
pub const CONNECTIONS_MAX: usize = 64;
/// Uses that wait to be written to one session; more wait before it.
pub const SESSION_REQUESTS_WAITING_MAX: usize = 256;
/// Characters of an error text that are kept.
pub const ERROR_TEXT_CHARS_MAX: usize = 1_000;
/// Hashes of the proof of one record of the audit log: a log of 2^64 records has as many levels.
pub const PROOF_HASHES_MAX: usize = 64;
/// Endpoints of one client.
pub const ENDPOINTS_MAX: usize = 255;

/// Input up to this size is encrypted by one call, larger input under a data key.
pub const SINGLE_PLAINTEXT_BYTES_MAX: usize = 32 * 1024;
/// Bytes of the largest ciphertext that one `Decrypt` opens: 64 KiB of plaintext, header and tag.
pub const SINGLE_CIPHERTEXT_BYTES_MAX: usize = 64 * 1024 + 256;
/// Chunks that are read at once.
pub const CHUNKS_READ_AHEAD: usize = 16;
