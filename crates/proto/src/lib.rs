//! What crosses the wire: the gRPC messages and services generated from `/proto`. By hand is only what those that hold
//! secrets show of themselves.
//!
//! `v1` is public, `peer::v1` is spoken between nodes, `store::v1` is the audit record as it is stored.
//! Callers turn these types into `conclave-core`'s at their door and use nothing of them behind it.

#![allow(
    missing_docs,
    reason = "generated code; the .proto files are the documentation"
)]
#![allow(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
#![allow(unused_qualifications, reason = "generated code")]

mod redacted;

/// The public API, `conclave.v1`.
pub mod v1 {
    tonic::include_proto!("conclave.v1");
}

/// Between nodes, `conclave.peer.v1`.
pub mod peer {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("conclave.peer.v1");
    }
}

/// What is stored for others to read, `conclave.store.v1`.
pub mod store {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("conclave.store.v1");
    }
}

/// The descriptors of all files, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
