//! Proofs of the audit log's records, and certificates of destruction.

use crate::destruction::{DAY_MS, destroy, is_destroyed, step};
use crate::world::{World, eventually, reason};
use conclave_core::audit::root_by_path;
use conclave_crypto::audit::verify_checkpoint;
use conclave_proto::store::v1::AuditRecord;
use conclave_proto::v1 as wire;
use prost::Message as _;
use tonic::{Code, Status};

/// More than the subtrees have leaves whose roots are kept.
const RECORDS: u64 = 300;

async fn prove(
    world: &World,
    who: &str,
    sequences: Vec<u64>,
) -> Result<wire::RecordProofs, Status> {
    let request = wire::ProveRecordsRequest {
        sequences,
        ..wire::ProveRecordsRequest::default()
    };
    Ok(world.audit(who).prove_records(request).await?.into_inner())
}

async fn certificate(
    world: &World,
    who: &str,
    name: &str,
    version: u32,
) -> Result<wire::DestructionCertificate, Status> {
    let request = wire::GetDestructionCertificateRequest {
        name: name.to_owned(),
        version,
        ..wire::GetDestructionCertificateRequest::default()
    };
    let answer = world.keys(who).get_destruction_certificate(request).await;
    Ok(answer?.into_inner())
}

/// The records, each of which must be proved.
fn proved(proofs: &wire::RecordProofs) -> Vec<AuditRecord> {
    let signed = verify_checkpoint(&proofs.verifier_key, &proofs.checkpoint);
    let (size, root) = signed.unwrap();
    assert_eq!(size, proofs.size);
    let record = |it: &wire::RecordProof| {
        let entry = it.entry.as_ref().unwrap();
        let hashes = it.path.iter().map(|hash| hash.as_slice().try_into());
        let path: Vec<[u8; 32]> = hashes.collect::<Result<_, _>>().unwrap();
        let found = root_by_path(&entry.leaf, entry.sequence, size, &path);
        assert_eq!(found, Some(root), "record {}", entry.sequence);
        let record = AuditRecord::decode(entry.leaf.as_slice()).unwrap();
        assert_eq!(entry.record.as_ref(), Some(&record));
        record
    };
    proofs.records.iter().map(record).collect()
}

#[tokio::test]
async fn every_record_is_proved() {
    let mut world = World::unsealed().await;
    let mut sealed = Vec::new();
    while u64::try_from(world.log().await.len()).unwrap() < RECORDS {
        sealed.push(world.encrypt("app", "demo/first", b"x").await.unwrap());
    }
    let log = world.log().await;
    let all: Vec<u64> = (0..u64::try_from(log.len()).unwrap()).collect();
    for some in all.chunks(100) {
        let proofs = prove(&world, "admin", some.to_vec()).await.unwrap();
        let first = usize::try_from(some[0]).unwrap();
        assert_eq!(proved(&proofs), log[first..first + some.len()]);
    }
    // What is not asked for in order is answered as it was asked for, also after a restart.
    world.stop().await;
    world.run().await;
    let sealed = prove(&world, "admin", vec![1]).await.unwrap_err();
    assert_eq!(
        (sealed.code(), reason(&sealed).as_str()),
        (Code::Unavailable, "NODE_SEALED")
    );
    for number in 0..2 {
        world.submit(number).await.unwrap();
    }
    let proofs = prove(&world, "admin", vec![299, 0, 299]).await.unwrap();
    let records = proved(&proofs).into_iter().map(|it| it.sequence);
    assert_eq!(records.collect::<Vec<_>>(), [299, 0, 299]);
}

#[tokio::test]
async fn what_cannot_be_proved_is_refused() {
    let world = World::unsealed().await;
    let size = u64::try_from(world.log().await.len()).unwrap();
    for (sequences, says) in [
        (vec![], "1 to 100 records"),
        (vec![0; 101], "not 101"),
        (vec![0, size], "is none of them"),
        (vec![u64::MAX], "is none of them"),
    ] {
        let refused = prove(&world, "admin", sequences).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(says), "{}", refused.message());
    }
    let stranger = prove(&world, "app", vec![0]).await.unwrap_err();
    assert_eq!(stranger.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_destruction_is_certified() {
    let world = World::unsealed().await;
    let name = "demo/first";
    for version in [0, 1] {
        let early = certificate(&world, "admin", name, version)
            .await
            .unwrap_err();
        assert_eq!(
            (early.code(), reason(&early).as_str()),
            (Code::FailedPrecondition, "NOT_DESTROYED")
        );
    }
    step(&world, name, "deactivate").await.unwrap();
    destroy(&world, name, 1, true).await.unwrap();
    world.clock.advance_ms(DAY_MS);
    eventually("it is destroyed and erased", async || {
        is_destroyed(&world, name).await
    })
    .await;
    for (who, version) in [("admin", 0), ("app", 1)] {
        let it = certificate(&world, who, name, version).await.unwrap();
        assert_eq!((it.name.as_str(), it.version), (name, version));
        let destruction = it.destruction.unwrap();
        assert_eq!(
            (destruction.erased_by_nodes, destruction.nodes),
            (vec![1], 1)
        );
        let [destroyed, erased] = &proved(&it.proofs.unwrap())[..] else {
            panic!("one of the destruction, one of the node")
        };
        assert_eq!(Some(destroyed.sequence), destruction.done_by_record);
        assert_eq!(
            (destroyed.operation.as_str(), destroyed.key.as_str()),
            ("DestroyKey", name)
        );
        assert_eq!(destroyed.key_id, it.key_id);
        assert_eq!(erased.operation, "EraseKeyMaterial");
        assert!(destroyed.destruction_revision > 0);
        assert!(erased.destruction_revision >= destroyed.destruction_revision);
    }
    let version = certificate(&world, "admin", name, 9).await.unwrap_err();
    assert_eq!(reason(&version), "VERSION_NOT_FOUND");
    let unknown = certificate(&world, "admin", "demo/none", 0)
        .await
        .unwrap_err();
    assert_eq!(reason(&unknown), "KEY_NOT_FOUND");
    let stranger = certificate(&world, "stranger", name, 0).await.unwrap_err();
    assert_eq!(stranger.code(), Code::PermissionDenied);
}
