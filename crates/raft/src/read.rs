//! Linearizable reads: the leader names an index that covers all that was acknowledged before, after a quorum has
//! confirmed that it still leads; this node reads when it has applied up to there.

use crate::error::ReadError;
use crate::limits::{LEADER_PAUSE, READ_INDEX_MAX};
use crate::peers::quote;
use crate::replica::Core;
use conclave_core::{LogIndex, NodeId};
use conclave_proto::peer::v1::ReadIndexRequest;
use conclave_proto::peer::v1::read_index_reply::Result as Reply;
use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::time::{Instant, sleep, timeout_at};

/// What a node that was held for the leader says.
pub(crate) enum LeaderRead {
    /// The read index.
    Index(LogIndex),
    /// It does not lead.
    NotLeader,
    /// It leads, or led, but cannot prove it.
    NoQuorum(String),
}

impl Core {
    /// The read index, if this node leads.
    pub(crate) async fn read_index_here(&self, deadline: Instant) -> LeaderRead {
        let linearizer = self.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        match timeout_at(deadline, linearizer).await {
            Ok(Ok(linearizer)) => {
                LeaderRead::Index(LogIndex(linearizer.read_log_id().log_id().index))
            }
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_)))) => {
                LeaderRead::NotLeader
            }
            Ok(Err(error)) => LeaderRead::NoQuorum(error.to_string()),
            Err(_) => LeaderRead::NoQuorum("no quorum confirmed the leader in time".to_owned()),
        }
    }

    async fn read_index_there(&self, leader: NodeId, deadline: Instant) -> LeaderRead {
        let Some(address) = self.address(leader) else {
            return LeaderRead::NoQuorum(format!("leader {leader} has no known address"));
        };
        let request = ReadIndexRequest {
            cluster_id: self.config.cluster.as_bytes().to_vec().into(),
            target: leader.0,
        };
        let (mut client, line) = self.dialer.client(leader, &address);
        match timeout_at(deadline, client.read_index(request)).await {
            Ok(Ok(reply)) => match reply.into_inner().result {
                Some(Reply::Index(index)) => LeaderRead::Index(LogIndex(index)),
                Some(Reply::NotLeader(_)) | None => LeaderRead::NotLeader,
            },
            Ok(Err(status)) => {
                self.dialer.note(leader, line, &status);
                LeaderRead::NoQuorum(format!("leader {leader}: {}", quote(status.message())))
            }
            Err(_) => LeaderRead::NoQuorum(format!("leader {leader} did not answer in time")),
        }
    }

    /// Waits until this node has applied all that was acknowledged anywhere before the call.
    pub(crate) async fn read_index(&self, deadline: Instant) -> Result<LogIndex, ReadError> {
        loop {
            if let Some(fault) = self.fault.get() {
                return Err(ReadError::Stopped { fault });
            }
            let attempt = deadline.min(Instant::now() + READ_INDEX_MAX);
            let read = match self.leader() {
                None => LeaderRead::NotLeader,
                Some(leader) if leader == self.config.node => self.read_index_here(attempt).await,
                Some(leader) => self.read_index_there(leader, attempt).await,
            };
            let why = match read {
                LeaderRead::Index(index) => {
                    self.wait_applied(index, deadline).await?;
                    return Ok(index);
                }
                LeaderRead::NotLeader => "no node leads at the moment".to_owned(),
                LeaderRead::NoQuorum(why) => why,
            };
            if Instant::now() + LEADER_PAUSE >= deadline {
                return Err(ReadError::Unavailable { why });
            }
            sleep(LEADER_PAUSE).await;
        }
    }

    /// Waits until this node has applied up to `index`.
    pub(crate) async fn wait_applied(
        &self,
        index: LogIndex,
        deadline: Instant,
    ) -> Result<(), ReadError> {
        let mut applied = self.machine.applied();
        let reached = timeout_at(deadline, applied.wait_for(|applied| *applied >= index));
        tokio::select! {
            biased;
            reached = reached => {
                let why = || format!("this node has not applied entry {index} yet");
                reached.map(drop).map_err(|_| ReadError::Unavailable { why: why() })
            }
            fault = self.fault.happened() => Err(ReadError::Stopped { fault }),
        }
    }
}
