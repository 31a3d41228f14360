//! Calls a Conclave cluster.
//!
//! A [`Client`] is given several nodes and speaks to one of them. When that node does not answer,
//! is cut off or sealed, the client moves to the next by itself, repeats the call under the same
//! request id, and gives up when its deadline passes. Input of any size is encrypted in constant
//! memory by [`Client::encrypt_stream`].
//!
//! Messages are those of the public API, [`v1`]; see the `.proto` files for what each field means.

mod calls;
mod channel;
mod client;
#[cfg(test)]
mod client_tests;
mod config;
mod envelope;
mod error;
pub mod limits;
mod pool;
pub mod proof;
mod remedy;
mod retry;
mod session;
#[cfg(test)]
mod testing;

pub use calls::{AuditTail, DataKey, DataKeyPair, Decrypted, SharedSecret};
pub use client::Client;
pub use conclave_proto::{store, v1};
pub use config::ClientConfig;
pub use envelope::{Context, StreamSummary};
pub use error::{CallFailure, ClientError};
pub use remedy::remedy;
