//! The gRPC front: one file a service, and one for the conversions between the wire's types and core's.

mod access;
mod aliases;
mod audit;
mod cluster;
mod convert;
mod crypto;
mod custody;
mod data_keys;
mod finding;
mod history;
mod imports;
mod key;
mod proofs;

pub(crate) use access::AccessApi;
pub(crate) use audit::AuditApi;
pub(crate) use cluster::ClusterApi;
pub(crate) use crypto::CryptoApi;
pub(crate) use crypto::rewrap::rewrap;
pub(crate) use custody::CustodyApi;
pub(crate) use key::KeyApi;
