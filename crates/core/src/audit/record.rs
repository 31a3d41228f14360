//! One record, in the protobuf form that outsiders read: `conclave.store.v1.AuditRecord`. The
//! fields here and in `proto/conclave/store/v1/audit.proto` are held together by a test of the
//! server.

use prost::Message as _;
use std::collections::BTreeMap;

/// A leaf of the audit log. Its bytes are the same on every node: prost writes fields in the order
/// of their tags, and the context in the order of its names.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AuditRecord {
    /// From 0, without gaps.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// Milliseconds since the Unix epoch; never runs backwards.
    #[prost(uint64, tag = "2")]
    pub time_ms: u64,
    /// The node that the caller spoke to.
    #[prost(uint64, tag = "3")]
    pub node_id: u64,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub request_id: Vec<u8>,
    /// Of the client at this request, from 0.
    #[prost(uint32, tag = "5")]
    pub attempt: u32,
    /// Who.
    #[prost(string, tag = "6")]
    pub principal: String,
    /// How that was proved: `mtls`, or `node` for the cluster itself.
    #[prost(string, tag = "7")]
    pub authentication: String,
    /// From where.
    #[prost(string, tag = "8")]
    pub source_address: String,
    /// What.
    #[prost(string, tag = "9")]
    pub operation: String,
    /// The key's name, or the name asked for.
    #[prost(string, tag = "10")]
    pub key: String,
    /// 16 bytes, or none if there was no such key.
    #[prost(bytes = "vec", tag = "11")]
    pub key_id: Vec<u8>,
    /// 0: none.
    #[prost(uint32, tag = "12")]
    pub version: u32,
    /// The encryption context.
    #[prost(btree_map = "string, string", tag = "13")]
    pub context: BTreeMap<String, String>,
    /// Items of a batch, or equal refusals.
    #[prost(uint32, tag = "14")]
    pub count: u32,
    /// What became of it.
    #[prost(enumeration = "AuditOutcome", tag = "15")]
    pub outcome: i32,
    /// Of a refusal or a failure; stable.
    #[prost(string, tag = "16")]
    pub reason: String,
    /// That the decision read.
    #[prost(uint64, tag = "17")]
    pub key_revision: u64,
    /// That the decision read.
    #[prost(uint64, tag = "18")]
    pub access_revision: u64,
    /// What changed.
    #[prost(string, tag = "19")]
    pub detail: String,
    /// Of a re-encryption.
    #[prost(string, tag = "20")]
    pub destination_key: String,
    /// Of a re-encryption.
    #[prost(uint32, tag = "21")]
    pub destination_version: u32,
}

/// What became of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum AuditOutcome {
    /// Never written.
    Unspecified = 0,
    /// Done.
    Allowed = 1,
    /// Refused by the rules.
    Denied = 2,
    /// Allowed, but it could not be done.
    Failed = 3,
}

impl AuditRecord {
    /// The bytes that are stored and hashed.
    pub fn to_leaf(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}
