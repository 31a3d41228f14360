//! A node as its clients see it, over stand-ins for the outside: custody, commit-gated use, and storage that fails.

#![expect(clippy::unwrap_used, reason = "what does not work fails its test")]

mod aliases;
mod batches;
mod cells;
mod data_key_pairs;
mod data_keys;
mod destruction;
mod finding;
mod history;
mod imports;
mod imports_inside;
mod pair_hsm;
mod proofs;
mod public_keys;
mod receiving;
mod receiving_inside;
mod world;

use conclave_core::Table;
use conclave_env::{Batch, Database, Storage as _};
use conclave_proto::v1 as wire;
use std::ops::Bound;
use tonic::Code;
use world::{World, eventually, reason};

#[tokio::test]
async fn an_acknowledged_use_has_exactly_one_record() {
    let world = World::unsealed().await;
    let before = world.log().await.len();
    for number in 0..20_u8 {
        let blob = world.encrypt("app", "demo/first", &[number]).await.unwrap();
        assert_eq!(world.decrypt("app", &blob).await.unwrap(), [number]);
    }
    let log = world.log().await;
    let uses = &log[before..];
    assert_eq!(uses.len(), 40);
    for (place, record) in uses.iter().enumerate() {
        let operation = if place % 2 == 0 { "Encrypt" } else { "Decrypt" };
        assert_eq!((record.operation.as_str(), record.outcome), (operation, 1));
        assert_eq!(
            (record.principal.as_str(), record.key.as_str()),
            ("app", "demo/first")
        );
        assert_eq!(record.sequence, u64::try_from(before + place).unwrap());
    }
}

#[tokio::test]
async fn no_result_leaves_without_its_record() {
    let world = World::unsealed().await;
    let blob = world.encrypt("app", "demo/first", b"canary").await.unwrap();
    world.fill_disk(true);
    let refused = world.decrypt("app", &blob).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let refused = world.encrypt("app", "demo/first", b"x").await.unwrap_err();
    assert_eq!(reason(&refused), "STORAGE_FAILED", "{refused}");
    assert!(
        refused.message().contains("free some"),
        "it says what to do: {refused}"
    );

    world.fill_disk(false);
    eventually("the node recovers by itself", async || {
        world
            .decrypt("app", &blob)
            .await
            .is_ok_and(|plaintext| plaintext == b"canary")
    })
    .await;
}

#[tokio::test]
async fn refusals_are_recorded_and_equal_ones_share_a_record() {
    let world = World::unsealed().await;
    let before = world.log().await.len();
    let refused =
        futures::future::join_all((0..30).map(|_| world.encrypt("stranger", "demo/first", b"x")));
    for refused in refused.await {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(reason(&refused), "PERMISSION_DENIED");
    }
    let log = world.log().await;
    let records = &log[before..];
    assert!(
        records.len() <= 3,
        "{} records for 30 equal refusals",
        records.len()
    );
    assert_eq!(records.iter().map(|record| record.count).sum::<u32>(), 30);
    assert!(
        records
            .iter()
            .all(|record| record.outcome == 2 && record.principal == "stranger")
    );
}

#[tokio::test]
async fn a_ciphertext_opens_only_as_it_was_made() {
    let world = World::unsealed().await;
    world.create("demo/second", wire::Protection::Hsm).await;
    for key in ["demo/first", "demo/second"] {
        let blob = world.encrypt("app", key, b"canary").await.unwrap();
        // All at once: equal refusals wait for each other for up to a second.
        let attempts = (0..blob.len()).map(|place| {
            let mut changed = blob.clone();
            changed[place] ^= 1;
            let world = &world;
            async move { (place, world.decrypt("app", &changed).await) }
        });
        for (place, opened) in futures::future::join_all(attempts).await {
            let refused = opened.unwrap_err();
            let expected = [Code::InvalidArgument, Code::NotFound];
            assert!(
                expected.contains(&refused.code()),
                "byte {place} of {key}: {refused}"
            );
        }
        let cut = world
            .decrypt("app", &blob[..blob.len() - 1])
            .await
            .unwrap_err();
        assert_eq!(reason(&cut), "CIPHERTEXT_INVALID");
        let request = wire::DecryptRequest {
            ciphertext: blob.clone(),
            context: [("tenant".to_owned(), "b".to_owned())].into(),
            ..wire::DecryptRequest::default()
        };
        let wrong = world.crypto("app").decrypt(request).await.unwrap_err();
        assert_eq!(reason(&wrong), "CIPHERTEXT_INVALID");
    }
}

#[tokio::test]
async fn swapped_material_is_tampering_and_never_a_wrong_plaintext() {
    for protection in [wire::Protection::Software, wire::Protection::Hsm] {
        let mut world = World::unsealed().await;
        world.create("demo/x", protection).await;
        world.create("demo/y", protection).await;
        let blob = world.encrypt("app", "demo/x", b"canary").await.unwrap();
        world.stop().await;
        swap_versions(&world, "demo/x", "demo/y");
        world.run().await;
        world.submit(0).await.unwrap();
        world.submit(1).await.unwrap();
        let refused = world.decrypt("app", &blob).await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
        assert_eq!(reason(&refused), "MATERIAL_TAMPERED");
    }
}

type Replies = std::collections::BTreeMap<u64, wire::use_reply::Result>;

/// Holds a session until the client has no more to say, and gathers the replies.
async fn converse(world: &World, principal: &str, requests: Vec<wire::UseRequest>) -> Replies {
    let mut stub = world.crypto(principal);
    let session = stub.session(futures::stream::iter(requests)).await;
    let mut replies = session.unwrap().into_inner();
    let mut by_id = Replies::new();
    while let Some(reply) = replies.message().await.unwrap() {
        assert!(by_id.insert(reply.id, reply.result.unwrap()).is_none());
    }
    by_id
}

fn encryption(id: u64, key: &str) -> wire::UseRequest {
    let request_id = vec![u8::try_from(id).unwrap(); 16];
    let asked = wire::EncryptRequest {
        request_id,
        key: key.to_owned(),
        plaintext: id.to_be_bytes().to_vec(),
        ..wire::EncryptRequest::default()
    };
    wire::UseRequest {
        id,
        attempt: 3,
        timeout_ms: 5_000,
        r#use: Some(wire::use_request::Use::Encrypt(asked)),
    }
}

#[tokio::test]
async fn a_session_answers_every_use_and_each_is_recorded_as_if_alone() {
    let world = World::unsealed().await;
    let before = world.log().await.len();
    let requests = (1..=50).map(|id| encryption(id, "demo/first")).collect();
    let replies = converse(&world, "app", requests).await;
    assert_eq!(replies.len(), 50);
    for (id, reply) in replies {
        let wire::use_reply::Result::Encrypt(sealed) = reply else {
            panic!("{id}: {reply:?}")
        };
        let opened = world.decrypt("app", &sealed.ciphertext).await.unwrap();
        assert_eq!(opened, id.to_be_bytes());
    }
    let log = world.log().await;
    let uses = log[before..].iter().filter(|it| it.operation == "Encrypt");
    let mut ids: Vec<_> = uses
        .inspect(|it| assert_eq!((it.count, it.outcome, it.attempt), (1, 1, 3)))
        .map(|it| it.request_id.clone())
        .collect();
    ids.sort();
    let expected: Vec<_> = (1..=50_u8).map(|id| vec![id; 16]).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn a_use_of_a_session_fails_as_a_call_does_and_leaves_the_others_alone() {
    let world = World::unsealed().await;
    let mut bad_id = encryption(3, "demo/first");
    let Some(wire::use_request::Use::Encrypt(asked)) = &mut bad_id.r#use else {
        unreachable!("as it was made")
    };
    asked.request_id.truncate(7);
    let nothing = wire::UseRequest {
        id: 4,
        ..wire::UseRequest::default()
    };
    let requests = vec![
        encryption(1, "demo/none"),
        encryption(2, "not a name"),
        bad_id,
        nothing,
        encryption(5, "demo/first"),
    ];
    let replies = converse(&world, "app", requests).await;
    let reason_of = |id: u64| {
        let wire::use_reply::Result::Error(error) = &replies[&id] else {
            panic!("{id}: {:?}", replies[&id])
        };
        (Code::from_i32(error.code), &*error.reason)
    };
    assert_eq!(reason_of(1), (Code::NotFound, "KEY_NOT_FOUND"));
    for id in [2, 3, 4] {
        assert_eq!(reason_of(id), (Code::InvalidArgument, "INVALID_REQUEST"));
    }
    let good = &replies[&5];
    assert!(
        matches!(good, wire::use_reply::Result::Encrypt(_)),
        "{good:?}"
    );

    let refused = converse(&world, "stranger", vec![encryption(1, "demo/first")]).await;
    let wire::use_reply::Result::Error(error) = &refused[&1] else {
        panic!("{refused:?}")
    };
    assert_eq!(error.reason, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_session_ends_when_the_node_stops() {
    let mut world = World::unsealed().await;
    let mut stub = world.crypto("app");
    let (requests, outgoing) = tokio::sync::mpsc::channel(1);
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    let mut replies = stub.session(outgoing).await.unwrap().into_inner();
    requests.send(encryption(1, "demo/first")).await.unwrap();
    let reply = replies.message().await.unwrap().unwrap();
    assert_eq!(reply.id, 1);
    world.stop().await;
    assert_eq!(replies.message().await.unwrap(), None);
}

/// Of the state.
const TABLES: [&str; 15] = [
    "meta",
    "keys",
    "versions",
    "grants",
    "custody",
    "requests",
    "batches",
    "audit",
    "usage",
    "erased",
    "data-keys",
    "aliases",
    "history",
    "imports",
    "audit-tree",
];

/// Exchanges the wrapped material of two keys' first versions in the node's storage.
fn swap_versions(world: &World, one: &str, other: &str) {
    assert_eq!(Table::ALL.map(Table::name), TABLES);
    let state = world
        .storage
        .open(Database {
            name: "state",
            tables: &TABLES,
        })
        .unwrap();
    let all = |table| {
        state
            .scan(table, Bound::Unbounded, Bound::Unbounded, 100)
            .unwrap()
    };
    let id = |name: &str| {
        let of = |row: &(Vec<u8>, Vec<u8>)| row.1.windows(name.len()).any(|w| w == name.as_bytes());
        all("keys").into_iter().find(of).unwrap().0
    };
    let version = |id: &[u8]| {
        all("versions")
            .into_iter()
            .find(|row| row.0.starts_with(id))
            .unwrap()
    };
    let (one, other) = (version(&id(one)), version(&id(other)));
    let mut batch = Batch::new();
    batch.put("versions", one.0, other.1);
    batch.put("versions", other.0, one.1);
    state.write(batch).unwrap();
    state.sync(Box::new(|synced| synced.unwrap()));
}

#[tokio::test]
async fn a_wrong_share_is_named_and_the_attempt_goes_on() {
    let mut world = World::unsealed().await;
    world.stop().await;
    world.run().await;
    let sealed = world.encrypt("app", "demo/first", b"x").await.unwrap_err();
    assert_eq!(
        (sealed.code(), reason(&sealed).as_str()),
        (Code::Unavailable, "NODE_SEALED")
    );

    let status = world.submit(0).await.unwrap();
    assert_eq!(status.attempt.unwrap().submitted_by, ["alice"]);
    let repeated = world.submit(0).await.unwrap_err();
    assert_eq!(repeated.code(), Code::AlreadyExists);
    assert!(repeated.message().contains("alice"), "{repeated}");

    let mangled = mangled(&world);
    let good = std::mem::replace(&mut world.shares[1].share, mangled);
    let mangled = world.submit(1).await.unwrap_err();
    assert_eq!(reason(&mangled), "SHARE_MANGLED");
    assert!(mangled.message().contains("bob"), "{mangled}");
    world.shares[1].share = good;
    assert_eq!(
        world.submit(1).await.unwrap().state,
        i32::from(wire::SealState::Unsealed)
    );
    world.encrypt("app", "demo/first", b"x").await.unwrap();
}

async fn custody_status(world: &World) -> wire::CustodyStatus {
    let mut client = world.custody("admin");
    let status = client.status(wire::CustodyStatusRequest {}).await;
    status.unwrap().into_inner()
}

/// Whoever cancels cannot know whether it was recorded when the answer is lost: his share must not count.
#[tokio::test]
async fn a_share_does_not_count_once_somebody_tried_to_cancel() {
    let mut world = World::unsealed().await;
    world.stop().await;
    world.run().await;
    world.submit(0).await.unwrap();
    let cancel = || wire::CancelRequest::default();
    let stranger = world.custody("app").cancel(cancel()).await;
    stranger.unwrap_err();
    let status = custody_status(&world).await;
    assert_eq!(status.attempt.unwrap().submitted_by, ["alice"]);
    world.fill_disk(true);
    let lost = world.custody("alice").cancel(cancel()).await;
    lost.unwrap_err();
    world.fill_disk(false);
    eventually("the share of bob counts", async || {
        world.submit(1).await.is_ok()
    })
    .await;
    let status = custody_status(&world).await;
    assert_eq!(status.state, i32::from(wire::SealState::Sealed));
    assert_eq!(status.attempt.unwrap().submitted_by, ["bob"]);
}

fn mangled(world: &World) -> conclave_crypto::Share {
    let mut bytes = world.shares[1].share.expose().to_vec();
    bytes[50] ^= 1;
    conclave_crypto::Share::from_bytes(&bytes).unwrap()
}

#[tokio::test]
async fn a_node_whose_hsm_lost_the_root_key_seals_itself() {
    let world = World::unsealed().await;
    world.hsm.lose();
    eventually("the node is sealed", async || {
        let status = world
            .custody("admin")
            .status(wire::CustodyStatusRequest {})
            .await
            .unwrap();
        let status = status.into_inner();
        status.state == i32::from(wire::SealState::Sealed) && status.seal_reason.contains("HSM")
    })
    .await;
    world.submit(2).await.unwrap();
    world.submit(0).await.unwrap();
    world.encrypt("app", "demo/first", b"x").await.unwrap();
}

#[tokio::test]
async fn a_write_repeated_under_its_request_id_happens_once() {
    let world = World::unsealed().await;
    let rotate = || wire::RotateKeyRequest {
        request_id: vec![5; 16],
        name: "demo/first".to_owned(),
    };
    let first = world
        .keys("admin")
        .rotate_key(rotate())
        .await
        .unwrap()
        .into_inner();
    let again = world
        .keys("admin")
        .rotate_key(rotate())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);
    assert_eq!(first.primary_version, 2);
    let other = wire::TransitionRequest {
        request_id: vec![5; 16],
        name: "demo/first".to_owned(),
        version: 0,
    };
    let reused = world.keys("admin").suspend_key(other).await.unwrap_err();
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
}

/// A key whose period has passed is rotated by the node, which says so in the log; older versions go on decrypting.
#[tokio::test]
async fn a_key_is_rotated_when_its_period_has_passed() {
    let world = World::unsealed().await;
    let name = "demo/periodic";
    let hour = prost_types::Duration {
        seconds: 3_600,
        nanos: 0,
    };
    let create = wire::CreateKeyRequest {
        name: name.to_owned(),
        protection: wire::Protection::Hsm.into(),
        rotation_period: Some(hour),
        ..wire::CreateKeyRequest::default()
    };
    let made = world.keys("admin").create_key(create).await.unwrap();
    let made = made.into_inner();
    let seconds = |at: Option<prost_types::Timestamp>| at.unwrap().seconds;
    assert_eq!(
        seconds(made.next_rotation_at),
        seconds(made.created_at) + 3_600
    );
    let old = world.encrypt("app", name, b"old").await.unwrap();
    world.clock.advance_ms(3_600_000);
    let get = || wire::GetKeyRequest {
        name: name.to_owned(),
        ..wire::GetKeyRequest::default()
    };
    eventually("the key is rotated", async || {
        let key = world.keys("admin").get_key(get()).await.unwrap();
        key.into_inner().primary_version == 2
    })
    .await;
    let log = world.log().await;
    let rotations = log.iter().filter(|it| it.operation == "RotateKey");
    let by: Vec<_> = rotations
        .map(|it| (it.authentication.as_str(), it.key.as_str(), it.version))
        .collect();
    assert_eq!(by, [("node", name, 2)]);
    assert_eq!(world.decrypt("app", &old).await.unwrap(), b"old");
    let never = wire::SetKeyRotationRequest {
        request_id: vec![],
        name: name.to_owned(),
        rotation_period: None,
    };
    let key = world.keys("admin").set_key_rotation(never).await.unwrap();
    assert_eq!(key.into_inner().next_rotation_at, None);
    for seconds in [0, 3_599, -1, i64::MAX] {
        let wrong = wire::SetKeyRotationRequest {
            request_id: vec![],
            name: name.to_owned(),
            rotation_period: Some(prost_types::Duration { seconds, nanos: 0 }),
        };
        let error = world
            .keys("admin")
            .set_key_rotation(wrong)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{seconds}");
        assert_eq!(reason(&error), "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn a_batch_has_a_result_for_each_item() {
    let world = World::unsealed().await;
    let blob = world.encrypt("app", "demo/first", b"good").await.unwrap();
    let item = |ciphertext: &[u8]| wire::batch_decrypt_request::Item {
        ciphertext: ciphertext.to_vec(),
        aad: vec![],
    };
    let mut bad = blob.clone();
    *bad.last_mut().unwrap() ^= 1;
    let request = wire::BatchDecryptRequest {
        items: vec![item(&blob), item(&bad), item(b"?"), item(&blob)],
        ..wire::BatchDecryptRequest::default()
    };
    let before = world.log().await.len();
    let results = world
        .crypto("app")
        .batch_decrypt(request)
        .await
        .unwrap()
        .into_inner()
        .results;
    let plaintexts: Vec<_> = results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            wire::batch_decrypt_response::result::Result::Ok(ok) => Ok(ok.plaintext),
            wire::batch_decrypt_response::result::Result::Error(error) => Err(error.reason),
        })
        .collect();
    let invalid = Err("CIPHERTEXT_INVALID".to_owned());
    let good = Ok(b"good".to_vec());
    assert_eq!(plaintexts, [good.clone(), invalid.clone(), invalid, good]);
    let log = world.log().await;
    let counts: Vec<_> = log[before..]
        .iter()
        .map(|it| (it.outcome, it.count))
        .collect();
    assert_eq!(
        counts,
        [(1, 2), (3, 1)],
        "two opened, one failed; what is no message is no use"
    );
}
