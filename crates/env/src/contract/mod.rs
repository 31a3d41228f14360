//! What every adapter of a trait must do, real or simulated, as suites that tests call with a factory. A suite
//! panics at the first promise that is not kept.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "panicking is how a suite reports"
)]

mod checkpoint;
mod erasure;
mod hsm;
mod network;
mod store;

pub use checkpoint::checkpoint_contract;
pub use erasure::{Find, erasure_contract};
pub use hsm::hsm_contract;
pub use network::{Ends, network_contract};
pub use store::{checkpoint, erase, settle, store_contract, sync};
