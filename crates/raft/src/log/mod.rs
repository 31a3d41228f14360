//! The Raft log and vote, over a [`Store`](conclave_env::Store).

mod recent;
mod store;

pub(crate) use store::{LogStore, PURGED_ROW, VOTE_ROW};

use conclave_env::Database;

/// Entries by index, big-endian.
pub(crate) const ENTRIES: &str = "entries";
/// Vote, committed and purged log ids, and whose the log is.
pub(crate) const META: &str = "meta";

/// The log's database.
pub(crate) const LOG: Database = Database {
    name: "log",
    tables: &[ENTRIES, META],
};
