//! Stand-ins for the outside, for simulation and tests: the same seed gives the same run, to the byte. Nothing
//! here starts a thread, reads the system's clock or draws the system's randomness by itself.

mod beneath;
mod clock;
mod disk;
mod entropy;
mod handle;
mod hsm;
mod images;
mod network;
mod receiver;
mod storage;
mod store;
mod syncs;

pub use beneath::{Beneath, Tail};
pub use clock::MemClock;
pub use entropy::MemEntropy;
pub use hsm::MemHsm;
pub use network::MemNetwork;
pub use storage::{Cut, MemStorage, Written};
