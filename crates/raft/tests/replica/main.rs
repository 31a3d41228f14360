//! Replicas that talk to each other, in one process.

#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;
#[cfg(feature = "rocksdb")]
mod erasure;
mod peer_port;
mod support;
