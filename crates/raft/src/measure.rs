//! The log and the state machine of a replica, each alone, without a replica: for whoever measures what one of them
//! costs (benches/). Nothing here is used by a running node.

use crate::error::RaftError;
use crate::fault::Fault;
use crate::log::{LOG, LogStore};
use crate::machine::{STATE, StateMachine};
use crate::slot::StoreSlot;
use crate::types::{Entry, LogId, Opaque, Payload, Proposal, Types};
use conclave_env::{Storage, StoreError};
use futures::stream;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftLeaderId;
use std::io;

type Leader = openraft::type_config::alias::LeaderIdOf<Types>;

/// Entries with these encoded commands, all of one leader, from `index` on.
fn entries(index: u64, commands: Vec<Vec<u8>>) -> Vec<Entry> {
    (index..)
        .zip(commands)
        .map(|(index, command)| Entry {
            log_id: LogId::new(Leader::new(1, 1).to_committed(), index),
            payload: Payload::Normal(Proposal(Opaque::from(command))),
        })
        .collect()
}

/// A log that nobody replicates.
pub struct BareLog {
    log: LogStore,
    next: u64,
}

impl BareLog {
    /// Opens an empty log, or one that this has written.
    ///
    /// # Errors
    /// As the disk has them.
    pub async fn open(storage: &dyn Storage) -> Result<Self, RaftError> {
        let slot = StoreSlot::open(storage, LOG, Fault::none())?;
        let mut log = LogStore::load(slot)?;
        let state = log.get_log_state().await.map_err(|error| StoreError::Io {
            path: LOG.name.to_owned(),
            detail: error.to_string(),
        })?;
        let next = state.last_log_id.map_or(1, |id| id.index + 1);
        Ok(Self { log, next })
    }

    /// Appends entries that carry these encoded commands in one call, as a leader does, and returns when they are
    /// durable.
    ///
    /// # Errors
    /// As the disk has them.
    pub async fn append(&mut self, commands: Vec<Vec<u8>>) -> io::Result<()> {
        let entries = entries(self.next, commands);
        self.next = entries
            .last()
            .map_or(self.next, |entry| entry.log_id.index + 1);
        let (done, flushed) = Types::oneshot();
        self.log.append(entries, IOFlushed::signal(done)).await?;
        flushed.await.map_err(io::Error::other)?
    }
}

/// A state machine that applies what it is given.
pub struct BareMachine {
    machine: StateMachine,
    next: u64,
}

impl BareMachine {
    /// Opens an empty state, or one that this has written.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn open(storage: &dyn Storage) -> Result<Self, RaftError> {
        let machine = StateMachine::load(StoreSlot::open(storage, STATE, Fault::none())?)?;
        let next = machine.applied().borrow().0 + 1;
        Ok(Self { machine, next })
    }

    /// Applies entries that carry these encoded commands, and writes the rows that they change: in one batch if there
    /// are at most [`APPLY_ENTRIES_MAX`](crate::limits::APPLY_ENTRIES_MAX). The first entry ever has index 1. Nobody
    /// waits for the outcomes, as on a follower.
    ///
    /// # Errors
    /// As the disk has them, or if a command cannot be read.
    pub async fn apply(&mut self, commands: Vec<Vec<u8>>) -> io::Result<()> {
        let entries = entries(self.next, commands);
        self.next = entries
            .last()
            .map_or(self.next, |entry| entry.log_id.index + 1);
        let entries = entries.into_iter().map(|entry| Ok((entry, None)));
        self.machine.apply(stream::iter(entries)).await
    }

    /// How many audit records were written.
    pub fn audit_size(&self) -> u64 {
        self.machine.with_state(|state| state.audit().size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_core::{Body, ClusterId, Command, NodeId, PrincipalName, TimeMs};
    use conclave_env::mem::MemStorage;

    fn form() -> Vec<u8> {
        let body = Body::Form {
            cluster: ClusterId([7; 16]),
            admins: vec![PrincipalName::new("admin").unwrap()],
        };
        let (node, time) = (NodeId(1), TimeMs(1));
        Command { node, time, body }.encode()
    }

    #[tokio::test]
    async fn what_was_appended_and_applied_is_there_at_the_next_open() {
        let storage = MemStorage::new();
        let mut log = BareLog::open(&storage).await.unwrap();
        log.append(vec![form(), form()]).await.unwrap();
        let mut machine = BareMachine::open(&storage).unwrap();
        machine.apply(vec![form()]).await.unwrap();
        drop((log, machine));
        assert_eq!(BareLog::open(&storage).await.unwrap().next, 3);
        let machine = BareMachine::open(&storage).unwrap();
        assert_eq!((machine.next, machine.audit_size()), (2, 1));
    }
}
