//! One node of Conclave: it authenticates, authorises, seals and unseals, commits uses, and serves.
//!
//! Everything outside comes in as an [`conclave_env::Env`], so that the node that is simulated is the node that ships.
//! The binary `conclaved` builds the real one.

mod caller;
pub mod config;
mod context;
mod custody;
mod drawn;
mod erasure;
mod error;
mod health;
mod jobs;
pub mod limits;
mod loaded;
mod node;
mod page_token;
mod parallel;
mod peer_gate;
mod pipeline;
mod refusals;
mod replica_slot;
mod rewrap;
mod rotation;
mod seal;
mod serve;
mod services;
mod stopping;
mod unsealed;
mod uses;

pub use caller::Caller;
pub use config::{Config, ConfigError};
pub use context::NodeContext;
pub use custody::ShareProblem;
pub use error::{ERROR_DOMAIN, ServiceError};
pub use node::{Node, StartError};
pub use page_token::PageTokenError;
