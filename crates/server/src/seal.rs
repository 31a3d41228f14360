//! Whether this node is sealed.

use crate::custody::Attempt;
use crate::error::ServiceError;
use crate::unsealed::Unsealed;
use conclave_core::NodeId;
use conclave_proto::v1::SealState;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;

enum State {
    Sealed { reason: String },
    Unsealed(Arc<Unsealed>),
}

/// A node's seal, and the unseal attempt under way on it.
pub struct Seal {
    node: NodeId,
    state: RwLock<State>,
    pub(crate) attempt: Mutex<Option<Attempt>>,
    /// Ceremony, unseal and seal happen one at a time.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Seal {
    /// Sealed, as every node starts.
    pub fn new(node: NodeId) -> Self {
        let state = State::Sealed {
            reason: "the node was started".to_owned(),
        };
        Self {
            node,
            state: RwLock::new(state),
            attempt: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The keys of an unsealed node. Whoever holds them may finish what it began after the node was sealed, but its
    /// HSM handles are dead.
    ///
    /// # Errors
    /// [`ServiceError::Sealed`].
    pub fn unsealed(&self) -> Result<Arc<Unsealed>, ServiceError> {
        match &*self.state.read() {
            State::Unsealed(keys) => Ok(keys.clone()),
            State::Sealed { reason } => Err(ServiceError::Sealed {
                node: self.node,
                reason: reason.clone(),
            }),
        }
    }

    /// Why it is sealed, if it is.
    pub fn reason(&self) -> Option<String> {
        match &*self.state.read() {
            State::Unsealed(_) => None,
            State::Sealed { reason } => Some(reason.clone()),
        }
    }

    /// As the wire has it; `has_custody`: whether there was a ceremony.
    pub fn state(&self, has_custody: bool) -> SealState {
        match &*self.state.read() {
            State::Unsealed(_) => SealState::Unsealed,
            State::Sealed { .. } if has_custody => SealState::Sealed,
            State::Sealed { .. } => SealState::Uninitialized,
        }
    }

    pub(crate) fn open(&self, keys: Unsealed) {
        *self.attempt.lock() = None;
        *self.state.write() = State::Unsealed(Arc::new(keys));
    }

    pub(crate) fn close(&self, reason: String) {
        *self.attempt.lock() = None;
        *self.state.write() = State::Sealed { reason };
    }
}
