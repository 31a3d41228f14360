//! Clusters of real processes.

mod audit;
mod binaries;
mod canary;
mod ceremony;
mod cli;
mod clock;
mod cluster;
mod disk;
pub mod havoc;
mod history;
mod layout;
mod network;
mod node;
mod pki;
mod poll;
mod ports;
mod refusal;
pub mod requests;
mod token;

pub use audit::{audit_log, merkle_root, records_of};
pub use binaries::binary;
pub use canary::Canary;
pub use ceremony::{Ceremony, Hand};
pub use cli::{Cli, Ran};
pub use cluster::{Cluster, NODES};
pub use disk::{LoopDisk, MemoryDisk, can_mount};
pub use history::{Acknowledged, History};
pub use layout::{HsmKind, Layout, Options};
pub use network::{BareTls, channel};
pub use node::{Exit, Node};
pub use pki::{Credentials, Pki};
pub use poll::{until, until_in};
pub use refusal::{Refusal, refusal};
pub use token::Token;
