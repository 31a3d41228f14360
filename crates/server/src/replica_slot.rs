//! The node's replica, which is exchanged when its storage failed and works again.

use crate::error::ServiceError;
use arc_swap::ArcSwap;
use conclave_raft::Replica;
use std::sync::Arc;

/// Either a replica, or why there is none.
#[derive(Clone)]
pub enum Slot {
    /// It runs.
    Running(Replica),
    /// Its storage failed; what and what to do.
    Failed(String),
}

/// Where services find the replica. Cheap to clone.
#[derive(Clone)]
pub struct ReplicaSlot(Arc<ArcSwap<Slot>>);

impl ReplicaSlot {
    /// With a running replica.
    pub fn new(replica: Replica) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Slot::Running(replica))))
    }

    /// The running replica.
    ///
    /// # Errors
    /// [`ServiceError::Storage`] while there is none.
    pub fn get(&self) -> Result<Replica, ServiceError> {
        match &**self.0.load() {
            Slot::Running(replica) => match replica.fault() {
                None => Ok(replica.clone()),
                Some(fault) => Err(ServiceError::Storage { fault }),
            },
            Slot::Failed(fault) => Err(ServiceError::Storage {
                fault: fault.clone(),
            }),
        }
    }

    /// The replica, well or not, for whoever looks at the node from outside; `None` while there is none.
    pub fn any(&self) -> Option<Replica> {
        match &**self.0.load() {
            Slot::Running(replica) => Some(replica.clone()),
            Slot::Failed(_) => None,
        }
    }

    /// What is in it, well or not.
    pub fn peek(&self) -> Slot {
        (**self.0.load()).clone()
    }

    pub(crate) fn put(&self, slot: Slot) {
        self.0.store(Arc::new(slot));
    }
}
