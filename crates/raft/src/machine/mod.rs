//! The replicated state, over a [`Store`](conclave_env::Store).

mod apply;
mod history;
mod proof;
mod rows;
mod snapshot;

pub(crate) use apply::StateMachine;
pub(crate) use rows::STATE;
#[cfg(test)]
pub(crate) use snapshot::Piece;
pub(crate) use snapshot::SnapshotData;
pub(crate) use snapshot::received_name;
