//! Replication: makes `apply` agree on all nodes.
//!
//! A [`Replica`] joins this node's storage, openraft and the other nodes into one log of commands, and applies it to
//! the [`State`](conclave_core::State). It knows nothing of keys, callers or HSMs: a command is bytes to it until it
//! is applied. The server proposes to it, reads its state and serves its [`Replica::peer_service`] to other nodes.
//!
//! Sources: Ongaro, "Consensus: Bridging Theory and Practice" (2014), for pre-vote §9.6, leader transfer §3.10 and
//! the read index §6.4; openraft's storage contract for what must be durable when.

mod codec;
mod config;
mod erase;
mod error;
mod fault;
mod identity;
pub mod inspect;
pub mod limits;
mod log;
mod machine;
pub mod measure;
mod peers;
mod propose;
mod read;
mod replica;
mod slot;
mod status;
#[cfg(test)]
mod storage_tests;
mod types;

pub use config::ReplicaConfig;
pub use error::{EraseError, ProposeError, RaftError, ReadError};
pub use identity::{Identity, format, identity};
pub use peers::PeerApi;
pub use replica::Replica;
pub use status::{ReplicaStatus, Role};
pub use types::MemberNode;
