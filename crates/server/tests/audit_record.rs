//! The audit record that core writes is the one that `proto/conclave/store/v1/audit.proto` publishes.

use conclave_core::{AuditOutcome, AuditRecord};
use conclave_proto::store::v1::{AuditRecord as Published, Outcome};
use prost::Message as _;

#[test]
fn every_field_of_core_is_found_in_the_published_message() {
    let record = AuditRecord {
        sequence: 1,
        time_ms: 2,
        node_id: 3,
        request_id: vec![4; 16],
        attempt: 5,
        principal: "p".to_owned(),
        authentication: "mtls".to_owned(),
        source_address: "s".to_owned(),
        operation: "Encrypt".to_owned(),
        key: "k/k".to_owned(),
        key_id: vec![6; 16],
        version: 7,
        context: [("a".to_owned(), "b".to_owned())].into(),
        count: 8,
        outcome: AuditOutcome::Failed.into(),
        reason: "r".to_owned(),
        key_revision: 9,
        access_revision: 10,
        detail: "d".to_owned(),
        destination_key: "k/d".to_owned(),
        destination_version: 11,
        data_key_id: vec![12; 16],
        alias: "k/a".to_owned(),
        destination_alias: "k/e".to_owned(),
        destruction_revision: 25,
    };
    let published = Published::decode(record.encode_to_vec().as_slice()).unwrap();
    let expected = Published {
        sequence: 1,
        time_ms: 2,
        node_id: 3,
        request_id: vec![4; 16],
        attempt: 5,
        principal: "p".to_owned(),
        authentication: "mtls".to_owned(),
        source_address: "s".to_owned(),
        operation: "Encrypt".to_owned(),
        key: "k/k".to_owned(),
        key_id: vec![6; 16],
        version: 7,
        context: [("a".to_owned(), "b".to_owned())].into(),
        count: 8,
        outcome: Outcome::Failed.into(),
        reason: "r".to_owned(),
        key_revision: 9,
        access_revision: 10,
        detail: "d".to_owned(),
        destination_key: "k/d".to_owned(),
        destination_version: 11,
        data_key_id: vec![12; 16],
        alias: "k/a".to_owned(),
        destination_alias: "k/e".to_owned(),
        destruction_revision: 25,
    };
    assert_eq!(published, expected);
    assert_eq!(
        published.encode_to_vec(),
        record.encode_to_vec(),
        "byte for byte"
    );
}
