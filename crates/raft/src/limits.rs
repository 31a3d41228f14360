//! Every bound of this crate.

use std::time::Duration;

/// Longest message between nodes, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Longest encoded command, in bytes.
pub const COMMAND_BYTES_MAX: usize = 2 << 20;
/// Entries read for one append call stop behind this many bytes.
pub const APPEND_BYTES: usize = 4 << 20;
/// Entries in one append call.
pub const APPEND_ENTRIES_MAX: u64 = 1024;
/// Entries applied under one hold of the state's lock, and written in one batch.
pub const APPLY_ENTRIES_MAX: usize = 256;
/// Newest log entries kept in memory.
pub const RECENT_ENTRIES_MAX: usize = 8192;
/// Bytes of the newest log entries kept in memory.
pub const RECENT_BYTES_MAX: usize = 8 << 20;
/// Rows read at a time when the state is loaded.
pub const SCAN_ROWS: usize = 1024;

/// Append calls under way to one follower.
pub const APPENDS_IN_FLIGHT_MAX: usize = 64;
/// How long news of a commit waits for entries to travel with.
pub const COMMIT_NEWS_HELD_MAX: Duration = Duration::from_millis(2);

/// Bytes of a snapshot in one message.
pub const SNAPSHOT_CHUNK_BYTES: usize = 512 << 10;
/// Snapshots that a node keeps.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Snapshots that a node receives at a time.
pub const SNAPSHOTS_INCOMING_MAX: usize = 1;
/// How long a whole snapshot may take to arrive and be installed.
pub const SNAPSHOT_TRANSFER_MAX: Duration = Duration::from_secs(300);
/// How long the receiver waits for the next chunk of a snapshot.
pub const SNAPSHOT_CHUNK_PATIENCE: Duration = Duration::from_secs(5);
/// How long a follower may take to apply what is committed before a snapshot is installed over it.
pub const SNAPSHOT_QUIESCE_MAX: Duration = Duration::from_secs(5);

/// Proposals under way on one stream to the leader.
pub const PROPOSALS_IN_FLIGHT_MAX: usize = 1024;
/// Streams that one peer connection may have open; for whoever builds the peer port's server.
pub const PEER_STREAMS_MAX: u32 = 256;
/// How long opening a connection to a peer may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long opening a stream to the leader may take.
pub const STREAM_OPEN_MAX: Duration = Duration::from_secs(1);
/// An HTTP/2 ping goes out after this much silence.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// A connection whose ping is not answered in this time is closed.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// An append that carries entries waits at least this long: the follower's disk may take its time.
pub const APPEND_PATIENCE: Duration = Duration::from_secs(1);
/// How long one question for the leader's read index may take before it is asked anew.
pub const READ_INDEX_MAX: Duration = Duration::from_secs(1);
/// Pauses after which an unreachable peer is tried again; the last one repeats.
pub const BACKOFF: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
];
/// Pause before a proposal or a read looks for the leader again.
pub const LEADER_PAUSE: Duration = Duration::from_millis(20);
/// Longest deadline that a peer may set for a proposal.
pub const PROPOSAL_DEADLINE_MAX: Duration = Duration::from_secs(120);
/// Bytes of a peer's words that get into our own errors.
pub const PEER_TEXT_BYTES_MAX: usize = 256;
/// How long the snapshot that an erasure needs may take, before it is tried again.
pub const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked for meanwhile.
pub const SNAPSHOT_ASKED_EVERY: Duration = Duration::from_secs(1);
/// How long a purge of the log may take, before a leader that cannot do it hands over leadership.
pub const PURGE_PATIENCE: Duration = Duration::from_secs(3);
