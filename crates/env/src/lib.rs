//! The only door to the outside: wall clock, entropy, network, storage and HSM.
//!
//! Everything above this crate reaches the world through the traits of [`Env`], so that the code that is
//! simulated is the code that ships (docs/adr/0004). `os` has the real adapters, `mem` the stand-ins, and
//! `contract` the suites that both pass. Monotonic time is not here: it is tokio's, which the simulator drives.

mod checkpoint;
pub mod clock;
pub mod contract;
pub mod entropy;
pub mod hsm;
pub mod limits;
pub mod mem;
pub mod network;
pub mod os;
pub mod store;

pub use clock::Clock;
pub use entropy::Entropy;
pub use hsm::{Hsm, HsmError, HsmKey, HsmKeyKind};
pub use network::{Audience, Expect, Incoming, Io, Network, Remote, RemoteIdentity};
pub use store::{Batch, Database, Storage, Store, StoreError};

use std::sync::Arc;

/// What a node is given of the world.
#[derive(Clone)]
pub struct Env {
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes of the operating system.
    pub entropy: Arc<dyn Entropy>,
    /// Authenticated connections.
    pub network: Arc<dyn Network>,
    /// The node's databases.
    pub storage: Arc<dyn Storage>,
    /// The node's hardware security module.
    pub hsm: Arc<dyn Hsm>,
}
