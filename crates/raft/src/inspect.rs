//! Reading what a node has stored, from outside: for whoever examines a data directory, and for the simulator, which
//! holds the logs of all nodes against each other. Nothing here is used by a running node.

use crate::codec;
use crate::log::{ENTRIES, LOG, META};
use crate::machine::STATE;
use crate::types::{Entry, LogId, Payload, Vote};
use bytes::Bytes;
use conclave_core::{LogIndex, NodeId};

/// The database and the table that hold the log's entries, by big-endian index.
pub const LOG_TABLE: (&str, &str) = (LOG.name, ENTRIES);
/// The name of the database that holds the state, by [`Table`](conclave_core::Table).
pub const STATE_DATABASE: &str = STATE.name;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Of the leader that appended it: its term and its id. openraft tells leaders apart by both, and orders them by
    /// term, then by id.
    pub leader: (u64, NodeId),
    /// Its place.
    pub index: LogIndex,
    /// What it carries.
    pub content: LogContent,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogContent {
    /// Nothing: a leader's first entry.
    Blank,
    /// The members.
    Membership,
    /// An encoded [`Command`](conclave_core::Command).
    Command(Bytes),
}

/// The row of [`META_TABLE`] that says up to which entry the log was purged.
pub const PURGED_ROW: &[u8] = crate::log::PURGED_ROW;
/// The database and the table that hold what is known of the log.
pub const META_TABLE: (&str, &str) = (LOG.name, META);

/// Reads the index up to which the log was purged.
///
/// # Errors
/// What is wrong with the bytes.
pub fn purged_index(bytes: &[u8]) -> Result<LogIndex, String> {
    let id: LogId = codec::decode(bytes).map_err(|error| error.to_string())?;
    Ok(LogIndex(id.index))
}

/// The row of [`META_TABLE`] that holds the node's vote.
pub const VOTE_ROW: &[u8] = crate::log::VOTE_ROW;

/// Reads a vote: the term, and the node that it is for.
///
/// # Errors
/// What is wrong with the bytes.
pub fn vote(bytes: &[u8]) -> Result<(u64, NodeId), String> {
    let vote: Vote = codec::decode(bytes).map_err(|error| error.to_string())?;
    Ok((vote.leader_id.term, NodeId(vote.leader_id.node_id)))
}

/// Reads an entry as it is stored.
///
/// # Errors
/// What is wrong with the bytes.
pub fn log_entry(bytes: &[u8]) -> Result<LogEntry, String> {
    let entry: Entry = codec::decode(bytes).map_err(|error| error.to_string())?;
    let content = match entry.payload {
        Payload::Blank => LogContent::Blank,
        Payload::Membership(_) => LogContent::Membership,
        Payload::Normal(proposal) => LogContent::Command(proposal.0.0),
    };
    let leader = entry.log_id.committed_leader_id();
    Ok(LogEntry {
        leader: (leader.term, NodeId(leader.node_id)),
        index: LogIndex(entry.log_id.index),
        content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Opaque, Proposal};
    use openraft::vote::RaftLeaderId;

    type Leader = openraft::type_config::alias::LeaderIdOf<crate::types::Types>;

    #[test]
    fn what_is_stored_is_read() {
        let id = LogId::new(Leader::new(3, 2).to_committed(), 300);
        let payload = Payload::Normal(Proposal(Opaque::from(vec![1, 2])));
        let entry = Entry {
            log_id: id,
            payload,
        };
        let read = log_entry(&codec::encode(&entry)).unwrap();
        assert_eq!((read.leader, read.index), ((3, NodeId(2)), LogIndex(300)));
        assert_eq!(
            read.content,
            LogContent::Command(Bytes::from_static(&[1, 2]))
        );
        assert_eq!(purged_index(&codec::encode(&id)), Ok(LogIndex(300)));
        assert_eq!(vote(&codec::encode(&Vote::new(3, 2))), Ok((3, NodeId(2))));
        assert!(log_entry(&[9]).is_err());
    }
}
