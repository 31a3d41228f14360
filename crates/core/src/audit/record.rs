//! One record, in the protobuf form that outsiders read: `conclave.store.v1.AuditRecord`. The
//! fields here and in `proto/conclave/store/v1/audit.proto` are held together by a test of the
//! server.

use crate::ids::{NodeId, TimeMs};
use crate::names::KeyName;
use crate::uses::{UseRecord, UsedKey};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
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
    /// 16 bytes: the registered data key that was made, taken or deleted.
    #[prost(bytes = "vec", tag = "22")]
    pub data_key_id: Vec<u8>,
    /// The alias by which the key was asked for, or that was set or deleted.
    #[prost(string, tag = "23")]
    pub alias: String,
    /// Of a re-encryption.
    #[prost(string, tag = "24")]
    pub destination_alias: String,
    /// Of a destruction: the revision at which it was done. Of an erasure: up to which revision the node has erased from its
    /// disk what was destroyed.
    #[prost(uint64, tag = "25")]
    pub destruction_revision: u64,
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

/// How a certificate proves who calls.
pub(crate) const MUTUAL_TLS: &str = "mtls";

/// The leaf of a use, as [`AuditRecord::to_leaf`] would have it. Nearly all records are of uses, and a record of its own
/// would copy every text once more, on every node.
pub(crate) fn use_leaf(sequence: u64, time: TimeMs, node: NodeId, it: &UseRecord) -> Vec<u8> {
    let outcome = match it.refusal {
        None => AuditOutcome::Allowed,
        Some(refusal) if refusal.is_denial() => AuditOutcome::Denied,
        Some(_) => AuditOutcome::Failed,
    };
    let (key, destination) = (it.key.as_ref(), it.destination.as_ref());
    let version =
        |used: Option<&UsedKey>| used.and_then(|used| used.version).map_or(0, |v| v.0.into());
    let id = key.and_then(|used| used.id);
    let mut leaf = Fields(Vec::with_capacity(LEAF_BYTES));
    leaf.number(1, sequence);
    leaf.number(2, time.0);
    leaf.number(3, node.0);
    leaf.bytes(4, it.request.as_bytes());
    leaf.number(5, it.attempt.into());
    leaf.text(6, it.principal.as_str());
    leaf.text(7, MUTUAL_TLS);
    leaf.text(8, &it.source);
    leaf.text(9, it.operation.as_str());
    leaf.text(10, key.map_or("", |used| used.name.as_str()));
    leaf.bytes(11, id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()));
    leaf.number(12, version(key));
    for (name, value) in it.context.iter() {
        leaf.pair(13, name, value);
    }
    leaf.number(14, it.count.into());
    leaf.number(15, outcome as u64);
    leaf.text(16, it.refusal.map_or("", |refusal| refusal.as_str()));
    leaf.number(17, key.map_or(0, |used| used.revision.0));
    leaf.number(18, it.access_revision.0);
    leaf.text(20, destination.map_or("", |used| used.name.as_str()));
    leaf.number(21, version(destination));
    let data_key = it.data_key.as_ref().map(|it| it.id());
    let data_key = data_key.as_ref();
    leaf.bytes(22, data_key.map_or(&[], |id| id.as_bytes().as_slice()));
    let alias = |used: Option<&UsedKey>| used.and_then(|used| used.alias.clone());
    leaf.text(23, alias(key).as_ref().map_or("", KeyName::as_str));
    leaf.text(24, alias(destination).as_ref().map_or("", KeyName::as_str));
    leaf.0
}

/// About as many bytes as the leaf of a use has.
const LEAF_BYTES: usize = 192;

/// A protobuf message under construction: proto3 leaves out what has its default.
struct Fields(Vec<u8>);

impl Fields {
    fn number(&mut self, tag: u32, number: u64) {
        if number != 0 {
            encode_key(tag, WireType::Varint, &mut self.0);
            encode_varint(number, &mut self.0);
        }
    }

    fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            encode_key(tag, WireType::LengthDelimited, &mut self.0);
            encode_varint(length(bytes), &mut self.0);
            self.0.extend_from_slice(bytes);
        }
    }

    fn text(&mut self, tag: u32, text: &str) {
        self.bytes(tag, text.as_bytes());
    }

    /// An entry of a map, which is a message of two fields.
    fn pair(&mut self, tag: u32, name: &str, value: &str) {
        let mut entry = Self(Vec::new());
        entry.text(1, name);
        entry.text(2, value);
        encode_key(tag, WireType::LengthDelimited, &mut self.0);
        encode_varint(length(&entry.0), &mut self.0);
        self.0.append(&mut entry.0);
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::EncryptionContext;
    use crate::data_key::DataKeyUse;
    use crate::ids::{DataKeyId, KeyId, RequestId, Revision, VersionNumber};
    use crate::names::PrincipalName;
    use crate::uses::{Operation, UseRefusal};
    use proptest::prelude::*;

    /// The record that the leaf stands for, made the long way.
    fn long_way(sequence: u64, time: TimeMs, node: NodeId, it: &UseRecord) -> AuditRecord {
        let outcome = match it.refusal {
            None => AuditOutcome::Allowed,
            Some(refusal) if refusal.is_denial() => AuditOutcome::Denied,
            Some(_) => AuditOutcome::Failed,
        };
        let name = |used: &Option<UsedKey>| used.as_ref().map(|it| it.name.to_string());
        let version = |used: &Option<UsedKey>| used.as_ref().and_then(|it| it.version);
        let id = it.key.as_ref().and_then(|used| used.id);
        let alias = |used: &Option<UsedKey>| {
            let alias = used.as_ref().and_then(|it| it.alias.as_ref());
            alias.map(ToString::to_string).unwrap_or_default()
        };
        AuditRecord {
            sequence,
            time_ms: time.0,
            node_id: node.0,
            request_id: it.request.as_bytes().to_vec(),
            attempt: it.attempt,
            principal: it.principal.to_string(),
            authentication: "mtls".to_owned(),
            source_address: it.source.clone(),
            operation: it.operation.as_str().to_owned(),
            key: name(&it.key).unwrap_or_default(),
            key_id: id.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
            version: version(&it.key).map_or(0, |version| version.0),
            context: it.context.clone().into(),
            count: it.count,
            outcome: outcome.into(),
            reason: it.refusal.map_or("", UseRefusal::as_str).to_owned(),
            key_revision: it.key.as_ref().map_or(0, |used| used.revision.0),
            access_revision: it.access_revision.0,
            detail: String::new(),
            destination_key: name(&it.destination).unwrap_or_default(),
            destination_version: version(&it.destination).map_or(0, |version| version.0),
            data_key_id: it
                .data_key
                .as_ref()
                .map(|it| it.id().as_bytes().to_vec())
                .unwrap_or_default(),
            alias: alias(&it.key),
            destination_alias: alias(&it.destination),
            destruction_revision: 0,
        }
    }

    fn used() -> impl Strategy<Value = Option<UsedKey>> {
        let used = (
            "[a-z]{1,9}/[a-z]{1,63}",
            any::<Option<[u8; 16]>>(),
            any::<Option<u32>>(),
            any::<u64>(),
            prop::option::of("[a-z]{1,9}/[a-z]{1,9}"),
        );
        prop::option::of(
            used.prop_map(|(name, id, version, revision, alias)| UsedKey {
                name: KeyName::new(&name).unwrap(),
                id: id.map(KeyId),
                version: version.map(VersionNumber),
                revision: Revision(revision),
                alias: alias.map(|alias| KeyName::new(&alias).unwrap()),
            }),
        )
    }

    fn record() -> impl Strategy<Value = UseRecord> {
        let refusal = prop::option::of(prop::sample::select(vec![
            UseRefusal::PermissionDenied,
            UseRefusal::CiphertextInvalid,
        ]));
        let operation = prop::sample::select(vec![Operation::Encrypt, Operation::ReEncrypt]);
        let context = prop::collection::btree_map("[a-z]{1,9}", "[a-zé]{0,200}", 0..5);
        let numbers = (any::<[u8; 16]>(), any::<u32>(), any::<u32>(), any::<u64>());
        let texts = ("[a-z]{1,20}", "[0-9.:]{0,20}");
        let data_key = prop::option::of(any::<[u8; 16]>());
        let rest = (operation, used(), used(), context, refusal, data_key);
        (numbers, texts, rest).prop_map(
            |((request, attempt, count, access), (principal, source), rest)| {
                let (operation, key, destination, context, refusal, data_key) = rest;
                let data_key = data_key.map(|id| {
                    let (id, revision) = (DataKeyId(id), Revision(1));
                    Box::new(DataKeyUse::Of { id, revision })
                });
                UseRecord {
                    request: RequestId(request),
                    attempt,
                    principal: PrincipalName::new(&principal).unwrap(),
                    source,
                    operation,
                    key,
                    destination,
                    data_key,
                    context: EncryptionContext::new(context).unwrap(),
                    count,
                    refusal,
                    access_revision: Revision(access),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_use_has_the_leaf_of_its_record(
            it in record(),
            sequence in any::<u64>(),
            time in any::<u64>(),
            node in 0_u64..4,
        ) {
            let (time, node) = (TimeMs(time), NodeId(node));
            let expected = long_way(sequence, time, node, &it).to_leaf();
            prop_assert_eq!(use_leaf(sequence, time, node, &it), expected);
        }
    }
}
