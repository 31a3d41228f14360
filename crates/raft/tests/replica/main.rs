//! Replicas that talk to each other, in one process.

#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod peer_port;
mod support;
