//! What can go wrong.

use conclave_core::{ClusterId, CorruptRow, NodeId};
use conclave_env::StoreError;
use thiserror::Error;

/// Why a replica does not start, or cannot read its storage.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RaftError {
    /// The data directory belongs to no node yet.
    #[error(
        "{location} is not formatted: run `conclaved format` on a new node; never on one that was a member before \
         and lost its data, which must join under a new id"
    )]
    NotFormatted {
        /// Where.
        location: String,
    },
    /// The data directory belongs to a node already.
    #[error(
        "{location} belongs to node {node} of cluster {cluster} already: it is not formatted again"
    )]
    AlreadyFormatted {
        /// Where.
        location: String,
        /// Whose it is.
        node: NodeId,
        /// Whose it is.
        cluster: ClusterId,
    },
    /// The data directory belongs to another node or cluster.
    #[error(
        "{location} belongs to node {node} of cluster {cluster}, not to node {wanted_node} of cluster \
         {wanted_cluster}: correct the configuration or the data directory"
    )]
    Foreign {
        /// Where.
        location: String,
        /// Whose it is.
        node: NodeId,
        /// Whose it is.
        cluster: ClusterId,
        /// Who asked.
        wanted_node: NodeId,
        /// Who asked.
        wanted_cluster: ClusterId,
    },
    /// The configuration contradicts itself.
    #[error("the replication settings are wrong: {problem}")]
    Config {
        /// In which way.
        problem: String,
    },
    /// The disk.
    #[error(transparent)]
    Storage(#[from] StoreError),
    /// A row of the state cannot be read.
    #[error("the state is damaged ({0}): take the node out, and let it rejoin under a new id")]
    CorruptState(#[from] CorruptRow),
    /// openraft refused to start.
    #[error("replication does not start: {fault}")]
    Stopped {
        /// Why.
        fault: String,
    },
}

/// Why a command has no outcome.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProposeError {
    /// The command is certainly not in the log, and never will be by this call.
    #[error("not proposed: {why}")]
    NotProposed {
        /// Why.
        why: String,
    },
    /// The command is in the log, or will be, or never: nobody knows yet.
    #[error("perhaps proposed: {why}")]
    Unknown {
        /// Why.
        why: String,
    },
    /// This node stopped replicating. A command that was under way is perhaps in the log.
    #[error("this node stopped replicating: {fault}")]
    Stopped {
        /// What happened, and what to do.
        fault: String,
    },
}

/// Why a read cannot be linearizable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// No leader with a quorum answered, or this node did not catch up in time.
    #[error("{why}")]
    Unavailable {
        /// Why.
        why: String,
    },
    /// This node stopped replicating.
    #[error("this node stopped replicating: {fault}")]
    Stopped {
        /// What happened, and what to do.
        fault: String,
    },
}

/// Why what was destroyed is not erased from this node's disk yet.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EraseError {
    /// It takes longer.
    #[error("{why}: tried again")]
    Unfinished {
        /// What is waited for.
        why: String,
    },
    /// The disk.
    #[error(transparent)]
    Storage(#[from] StoreError),
}
