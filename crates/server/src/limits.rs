//! Every bound of a node, in one place. What an operator may want to change is in [`crate::config`] instead.

use std::time::Duration;

/// Bytes of one plaintext, and of one AAD.
pub const PLAINTEXT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the label of an RSA-OAEP ciphertext.
pub const OAEP_LABEL_BYTES_MAX: usize = 1_024;
/// Bytes of a peer's public key; those that agree have fewer than a hundred.
pub const PEER_PUBLIC_KEY_BYTES_MAX: usize = 4_096;
/// Bytes of one request as gRPC frames it.
pub const REQUEST_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Bytes of one answer as gRPC frames it.
pub const RESPONSE_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Items of one batch.
pub const BATCH_ITEMS_MAX: usize = 1_024;
/// Random bytes of one call.
pub const RANDOM_BYTES_MAX: u32 = 1_024;
/// Bytes of a data key.
pub const DATA_KEY_BYTES: std::ops::RangeInclusive<u32> = 16..=64;
/// Bytes of an imported key, wrapped: 512 of RSA, and of KWP a little more than the key has.
pub const IMPORTED_BYTES_MAX: usize = 8 * 1024;
/// How long an import job lives unless the caller says otherwise.
pub const IMPORT_LIFE_DEFAULT: Duration = Duration::from_secs(86_400);
/// Records of the audit log that are proved by one call.
pub const PROOFS_MAX: usize = 100;
/// Entries of one page.
pub const PAGE_SIZE_MAX: u32 = 1_000;
/// Entries of a page when the caller does not say.
pub const PAGE_SIZE_DEFAULT: u32 = 100;

/// How long a call may take when the caller does not say.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
/// How long a call may take at most.
pub const DEADLINE_MAX: Duration = Duration::from_secs(60);
/// How long a stream of audit records waits for news before it looks again.
pub const TAIL_POLL: Duration = Duration::from_millis(500);

/// Calls under way on one connection.
pub const CALLS_PER_CONNECTION_MAX: u32 = 256;
/// Uses under way on one session.
pub const SESSION_USES_MAX: usize = 256;
/// Bytes of all headers of one call.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Streams that a client may have reset while they wait.
pub const PENDING_RESETS_MAX: usize = 32;
/// How often an idle connection is asked whether it lives.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How long it may take to answer.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls whose work is under way on a node; more are told to come again.
pub const CALLS_IN_FLIGHT_MAX: usize = 4_096;

/// Items of a batch that are worth other threads; half of them go to each at least.
pub const PARALLEL_ITEMS_MIN: usize = 256;
/// Items of a batch after which whoever else waits for the thread has his turn.
pub const TURN_ITEMS: usize = 32;
/// Calls of one batch that the HSM has before it at a time.
pub const HSM_CALLS_AHEAD: usize = 16;
/// Random bytes drawn from the HSM at a time for data keys.
pub const DRAWN_BYTES: usize = 4_096;

/// Use records of one batch.
pub const BATCH_RECORDS_MAX: usize = 1_024;
/// Bytes of the records of one batch, by estimate.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Batches under way at once.
pub const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// After this time a batch no longer keeps the next one waiting.
pub const BATCH_STAGGER: Duration = Duration::from_millis(5);
/// How long a batch waits for callers who have just been answered: twice what the one before took, and at least this,
pub const GATHER_MIN: Duration = Duration::from_millis(3);
/// and at most this.
pub const GATHER_MAX: Duration = Duration::from_millis(10);
/// Records whose callers are worth waiting for.
pub const GATHER_RECORDS_MIN: usize = 8;
/// Pauses left out, at most, after some that were in vain.
pub const GATHERS_SKIPPED_MAX: u32 = 64;
/// Use records that wait for a batch.
pub const RECORDS_WAITING_MAX: usize = 16 * 1024;
/// How long a batch is proposed again before its callers are told that it is unknown what became of it.
pub const BATCH_PATIENCE: Duration = Duration::from_secs(10);
/// How often a use is decided anew because key or rules changed meanwhile.
pub const DECISIONS_MAX: u32 = 64;
/// How often a write is prepared anew because the key changed meanwhile.
pub const WRITE_CONFLICTS_MAX: u32 = 16;
/// Equal refusals of one principal within this time are one record.
pub const REFUSAL_WINDOW: Duration = Duration::from_secs(1);
/// Different refusals that are counted at once; beyond, each is a record of its own.
pub const REFUSAL_KINDS_MAX: usize = 4_096;

/// Unwrapped versions kept ready.
pub const LOADED_VERSIONS_MAX: usize = 4_096;

/// RSA keys that a node draws at once for users, of data key pairs.
pub const PRIMES_AT_ONCE: usize = 1;

/// How long an unseal attempt lasts.
pub const UNSEAL_ATTEMPT_LIFE: Duration = Duration::from_secs(600);
/// How often the first leader of a cluster looks whether it is to form it.
pub const FORM_INTERVAL: Duration = Duration::from_millis(50);
/// How often the leader looks whether something is due.
pub const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// Keys rotated because their period has passed, at most, before a pause of [`TICK_INTERVAL`].
pub const ROTATIONS_PER_TURN_MAX: usize = 256;
/// How long a destruction waits unless the caller says otherwise.
pub const WAITING_PERIOD_DEFAULT: Duration = Duration::from_secs(30 * 86_400);
/// How long the word of a node that it has erased what was destroyed may take to commit.
pub const ERASURE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a key's rotation may be overdue before a node that does not lead makes it.
pub const ROTATION_GRACE: Duration = Duration::from_secs(60);
/// How long one such rotation may take to commit.
pub const ROTATION_PATIENCE: Duration = Duration::from_secs(5);
/// Registered data keys that are wrapped anew with one command.
pub const REWRAPS_PER_TURN_MAX: usize = 128;
/// How long a node rests between two such commands, at least.
pub const REWRAP_REST_MIN: Duration = Duration::from_millis(10);
/// How long a node that does not lead sees no data key wrapped anew, though some are due, before it does it.
pub const REWRAP_GRACE: Duration = Duration::from_secs(10);
/// How long such a command may take to commit.
pub const REWRAP_PATIENCE: Duration = Duration::from_secs(5);
/// Data keys that do not open, at most, which are passed over.
pub const REWRAPS_FAILED_MAX: usize = 1_024;
/// Keys that a page of a list examines, at most.
pub const KEYS_EXAMINED_PER_PAGE: usize = 10_000;
/// Erasures that are looked through for those of one key, at most: a node makes one for each time that something is
/// destroyed.
pub const ERASURES_EXAMINED_MAX: usize = 10_000;
/// Registered data keys that a page of a list looks at, at most.
pub const DATA_KEYS_SEEN_PER_PAGE: usize = 10_000;
/// How often a node looks whether its HSM still holds the root key.
pub const HSM_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a node whose storage failed looks whether it works again.
pub const STORAGE_PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a node whose storage failed stays out at least: closing the databases may free just enough room for a
/// moment, and others should lead meanwhile.
pub const STORAGE_REST: Duration = Duration::from_secs(5);
/// How long a node takes to stop at most.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(9);
