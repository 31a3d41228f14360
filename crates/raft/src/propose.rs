//! Proposing a command, from any node.

use crate::error::ProposeError;
use crate::limits::{COMMAND_BYTES_MAX, LEADER_PAUSE};
use crate::peers::Answered;
use crate::replica::Core;
use crate::types::{Opaque, Proposal};
use bytes::Bytes;
use conclave_core::{NodeId, Outcome};
use openraft::errors::{ClientWriteError, RaftError};
use tokio::time::{Instant, sleep, timeout_at};

impl Core {
    /// Commits an encoded command as the leader, which this node need not be.
    ///
    /// openraft answers `ForwardToLeader` only for what it never appended; what it appended and then lost is
    /// `LogEntryDiscarded`, and another leader may have committed that.
    pub(crate) async fn commit_here(&self, command: Bytes, deadline: Instant) -> Answered {
        if let Some(fault) = self.fault.get() {
            return Answered::Stopped(fault);
        }
        if command.len() > COMMAND_BYTES_MAX {
            return Answered::NotProposed(too_long(command.len()));
        }
        let write = self.raft.client_write(Proposal(Opaque(command)));
        let Ok(written) = timeout_at(deadline, write).await else {
            let why = "no quorum confirmed the entry within the deadline".to_owned();
            return Answered::Unknown(why);
        };
        match written {
            Ok(written) => Answered::Outcome(written.data.0.0),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                Answered::NotLeader(forward.leader_id.map(NodeId))
            }
            Err(RaftError::APIError(
                error @ (ClientWriteError::LogEntryDiscarded(_)
                | ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_)),
            )) => Answered::Unknown(error.to_string()),
            Err(RaftError::Fatal(fatal)) => {
                Answered::Stopped(self.fault.get().unwrap_or_else(|| fatal.to_string()))
            }
        }
    }

    /// Commits an encoded command wherever the leader is, waiting for one while nothing was proposed yet.
    pub(crate) async fn propose(
        &self,
        command: Bytes,
        deadline: Instant,
    ) -> Result<Outcome, ProposeError> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::NotProposed {
                why: too_long(command.len()),
            });
        }
        loop {
            if let Some(fault) = self.fault.get() {
                return Err(ProposeError::Stopped { fault });
            }
            let why = match self.propose_once(command.clone(), deadline).await {
                Answered::Outcome(bytes) => {
                    return Outcome::decode(&bytes).map_err(|error| {
                        let why = format!("the outcome cannot be read ({error})");
                        ProposeError::Unknown { why }
                    });
                }
                Answered::Unknown(why) => return Err(ProposeError::Unknown { why }),
                Answered::Stopped(fault) => return Err(ProposeError::Stopped { fault }),
                Answered::NotProposed(why) => why,
                Answered::NotLeader(Some(leader)) => format!("node {leader} is said to lead now"),
                Answered::NotLeader(None) => "no node leads at the moment".to_owned(),
            };
            if Instant::now() + LEADER_PAUSE >= deadline {
                return Err(ProposeError::NotProposed { why });
            }
            sleep(LEADER_PAUSE).await;
        }
    }

    async fn propose_once(&self, command: Bytes, deadline: Instant) -> Answered {
        match self.leader() {
            None => Answered::NotLeader(None),
            Some(leader) if leader == self.config.node => self.commit_here(command, deadline).await,
            Some(leader) => match self.address(leader) {
                Some(address) => {
                    self.links
                        .propose(leader, &address, command, deadline)
                        .await
                }
                None => Answered::NotProposed(format!("leader {leader} has no known address")),
            },
        }
    }
}

fn too_long(bytes: usize) -> String {
    format!("a command of {bytes} bytes is longer than {COMMAND_BYTES_MAX}")
}
