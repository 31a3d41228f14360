//! Real nodes in a simulated world: turmoil's network, simulated time, seeded randomness, a disk that loses and tears
//! what was not synced, and the in-process HSM. One seed draws everything, and replays its run exactly.
//!
//! A run has two phases (as openraft's `tests-turmoil` does it): in the first, clients work under faults; in the second
//! the faults end, and the cluster must elect a leader, serve, and become equal.

mod custodians;
pub mod faults;
mod keeping;
mod kinds;
mod leap;
pub mod ledger;
mod links;
mod machine;
mod nemesis;
mod network;
pub mod plan;
pub mod process;
mod proving;
pub mod report;
mod run;
mod scratch;
mod shared;
mod trace;
mod verdict;
mod watch;
mod workload;

pub use machine::EPOCH_MS;
pub use plan::{Disks, Profile, Wish};
pub use report::Report;
pub use run::simulate;
