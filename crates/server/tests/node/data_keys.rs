//! Registered data keys, as their users see them, and what the node does for them by itself.

use crate::TABLES;
use crate::world::{World, eventually, reason};
use conclave_env::{Batch, Database, Storage as _};
use conclave_proto::v1 as wire;
use std::collections::BTreeMap;
use tonic::{Code, Status};

const KEY: &str = "demo/first";

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

fn drawing(request: u8) -> wire::GenerateDataKeyRequest {
    wire::GenerateDataKeyRequest {
        request_id: vec![request; 16],
        key: KEY.to_owned(),
        context: pairs(&[("disk", "7")]),
        labels: pairs(&[("host", "db1")]),
        register: true,
        ..wire::GenerateDataKeyRequest::default()
    }
}

async fn draw(
    world: &World,
    request: wire::GenerateDataKeyRequest,
) -> Result<wire::GenerateDataKeyResponse, Status> {
    let answer = world.crypto("app").generate_data_key(request).await?;
    Ok(answer.into_inner())
}

async fn register(world: &World, key: &str) -> wire::GenerateDataKeyResponse {
    let request = wire::GenerateDataKeyRequest {
        request_id: Vec::new(),
        key: key.to_owned(),
        ..drawing(0)
    };
    draw(world, request).await.unwrap()
}

async fn open(
    world: &World,
    id: &[u8],
    context: &[(&str, &str)],
) -> Result<wire::DecryptDataKeyResponse, Status> {
    let request = wire::DecryptDataKeyRequest {
        data_key_id: id.to_vec(),
        context: pairs(context),
        ..wire::DecryptDataKeyRequest::default()
    };
    let answer = world.crypto("app").decrypt_data_key(request).await?;
    Ok(answer.into_inner())
}

async fn get(world: &World, id: &[u8]) -> Result<wire::DataKey, Status> {
    let request = wire::GetDataKeyRequest {
        data_key_id: id.to_vec(),
        ..wire::GetDataKeyRequest::default()
    };
    let answer = world.keys("app").get_data_key(request).await?;
    Ok(answer.into_inner())
}

async fn delete(world: &World, who: &str, id: &[u8]) -> Result<(), Status> {
    let request = wire::DeleteDataKeyRequest {
        data_key_id: id.to_vec(),
        ..wire::DeleteDataKeyRequest::default()
    };
    world.keys(who).delete_data_key(request).await.map(drop)
}

async fn key(world: &World, name: &str) -> wire::Key {
    let request = wire::GetKeyRequest {
        name: name.to_owned(),
        ..wire::GetKeyRequest::default()
    };
    world
        .keys("admin")
        .get_key(request)
        .await
        .unwrap()
        .into_inner()
}

async fn rotate(world: &World, name: &str) {
    let request = wire::RotateKeyRequest {
        name: name.to_owned(),
        ..wire::RotateKeyRequest::default()
    };
    world.keys("admin").rotate_key(request).await.unwrap();
}

async fn policy(world: &World, by_hand: bool, deactivate_old_versions: bool) {
    let request = wire::SetRewrapPolicyRequest {
        name: KEY.to_owned(),
        policy: Some(wire::RewrapPolicy {
            by_hand,
            deactivate_old_versions,
        }),
        ..wire::SetRewrapPolicyRequest::default()
    };
    world
        .keys("admin")
        .set_rewrap_policy(request)
        .await
        .unwrap();
}

/// How many data keys each version wraps.
async fn wrapped(world: &World, name: &str) -> Vec<u64> {
    let versions = key(world, name).await.versions;
    versions.iter().map(|version| version.data_keys).collect()
}

fn refusal(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}

#[tokio::test]
async fn a_registered_data_key_is_opened_by_its_id() {
    let world = World::unsealed().await;
    let drawn = draw(&world, drawing(1)).await.unwrap();
    assert_eq!((drawn.plaintext.len(), drawn.data_key_id.len()), (32, 16));
    assert!(drawn.ciphertext.is_empty(), "the cluster keeps it");
    let id = drawn.data_key_id.as_slice();
    for context in [&[][..], &[("disk", "7")]] {
        let opened = open(&world, id, context).await.unwrap();
        assert_eq!(opened.plaintext, drawn.plaintext);
        assert_eq!((opened.key.as_str(), opened.version), (KEY, 1));
    }
    let found = get(&world, id).await.unwrap();
    assert_eq!(found.labels, pairs(&[("host", "db1")]));
    assert_eq!(found.context, pairs(&[("disk", "7")]));
    assert_eq!((found.key.as_str(), found.version), (KEY, 1));
    assert_eq!(wrapped(&world, KEY).await, [1]);
    let log = world.log().await;
    let uses: Vec<_> = log.iter().filter(|it| it.data_key_id == id).collect();
    let operations: Vec<&str> = uses.iter().map(|it| it.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["GenerateDataKey", "DecryptDataKey", "DecryptDataKey"]
    );
    assert!(uses.iter().all(|it| it.context == pairs(&[("disk", "7")])));
}

/// A client that lost the answer asks again under the same request id, maybe of another node.
#[tokio::test]
async fn a_repeated_request_registers_once() {
    let world = World::unsealed().await;
    let first = draw(&world, drawing(1)).await.unwrap();
    rotate(&world, KEY).await;
    let again = draw(&world, drawing(1)).await.unwrap();
    assert_eq!(again.plaintext, first.plaintext);
    assert_eq!(again.data_key_id, first.data_key_id);
    let without = wire::GenerateDataKeyRequest {
        without_plaintext: true,
        ..drawing(1)
    };
    let silent = draw(&world, without).await.unwrap();
    assert!(silent.plaintext.is_empty());
    let changed = [
        wire::GenerateDataKeyRequest {
            context: pairs(&[("disk", "8")]),
            ..drawing(1)
        },
        wire::GenerateDataKeyRequest {
            labels: BTreeMap::new(),
            ..drawing(1)
        },
        wire::GenerateDataKeyRequest {
            length: 16,
            ..drawing(1)
        },
    ];
    for request in changed {
        let refused = draw(&world, request).await.unwrap_err();
        assert_eq!(refusal(&refused).1, "REQUEST_ID_REUSED");
    }
    assert_eq!(wrapped(&world, KEY).await.iter().sum::<u64>(), 1);
    let other = draw(&world, drawing(2)).await.unwrap();
    assert_ne!(other.data_key_id, first.data_key_id);
    assert_ne!(other.plaintext, first.plaintext);
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let world = World::unsealed().await;
    let drawn = draw(&world, drawing(1)).await.unwrap();
    let id = drawn.data_key_id.as_slice();
    let wrong = open(&world, id, &[("disk", "8")]).await.unwrap_err();
    let mismatch = (Code::InvalidArgument, "CONTEXT_MISMATCH".to_owned());
    assert_eq!(refusal(&wrong), mismatch);
    let nobodys = open(&world, &[9; 16], &[]).await.unwrap_err();
    let unknown = (Code::NotFound, "DATA_KEY_NOT_FOUND".to_owned());
    assert_eq!(refusal(&nobodys), unknown);
    assert_eq!(refusal(&get(&world, &[9; 16]).await.unwrap_err()), unknown);
    assert_eq!(
        refusal(&delete(&world, "admin", &[9; 16]).await.unwrap_err()),
        unknown
    );
    let short = open(&world, &id[1..], &[]).await.unwrap_err();
    assert!(short.message().contains("data_key_id: 16 bytes"), "{short}");
    let denied = delete(&world, "app", id).await.unwrap_err();
    assert_eq!(refusal(&denied).1, "PERMISSION_DENIED");
    let invalid = [
        wire::GenerateDataKeyRequest {
            aad: b"x".to_vec(),
            ..drawing(2)
        },
        wire::GenerateDataKeyRequest {
            register: false,
            ..drawing(2)
        },
        wire::GenerateDataKeyRequest {
            length: 65,
            ..drawing(2)
        },
    ];
    for request in invalid {
        let refused = draw(&world, request).await.unwrap_err();
        assert_eq!(refusal(&refused).1, "INVALID_REQUEST");
    }
    assert_eq!(wrapped(&world, KEY).await, [1]);
    let opened = open(&world, id, &[]).await.unwrap();
    assert_eq!(opened.plaintext, drawn.plaintext);
}

#[tokio::test]
async fn a_deleted_data_key_is_gone() {
    let world = World::unsealed().await;
    let drawn = draw(&world, drawing(1)).await.unwrap();
    let id = drawn.data_key_id.as_slice();
    delete(&world, "admin", id).await.unwrap();
    let gone = open(&world, id, &[]).await.unwrap_err();
    assert_eq!(refusal(&gone).1, "DATA_KEY_NOT_FOUND");
    assert_eq!(wrapped(&world, KEY).await, [0]);
    let log = world.log().await;
    let last = log
        .iter()
        .rfind(|it| it.operation == "DeleteDataKey")
        .unwrap();
    assert_eq!((last.principal.as_str(), last.key.as_str()), ("admin", KEY));
    assert_eq!(last.data_key_id, id);
}

#[tokio::test]
async fn a_list_is_paged_and_filtered() {
    let world = World::unsealed().await;
    let mut ids = Vec::new();
    for number in 0..7_u8 {
        let labels = pairs(&[("host", if number % 2 == 0 { "db1" } else { "db2" })]);
        let request = wire::GenerateDataKeyRequest {
            labels,
            ..drawing(number + 1)
        };
        ids.push(draw(&world, request).await.unwrap().data_key_id);
    }
    ids.sort_unstable();
    for (labels, expected) in [(pairs(&[]), 7), (pairs(&[("host", "db1")]), 4)] {
        let mut request = wire::ListDataKeysRequest {
            key: KEY.to_owned(),
            labels,
            page_size: 2,
            ..wire::ListDataKeysRequest::default()
        };
        let mut listed = Vec::new();
        loop {
            let page = world.keys("app").list_data_keys(request.clone()).await;
            let page = page.unwrap().into_inner();
            assert!(page.data_keys.len() <= 2);
            listed.extend(page.data_keys.into_iter().map(|it| it.data_key_id));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
            // One that is made meanwhile moves no other.
            register(&world, KEY).await;
        }
        let known: Vec<_> = listed.iter().filter(|id| ids.contains(id)).collect();
        assert_eq!(known.len(), expected);
        assert!(listed.is_sorted());
    }
    let request = wire::ListDataKeysRequest {
        key: KEY.to_owned(),
        page_token: "zz".to_owned(),
        ..wire::ListDataKeysRequest::default()
    };
    let refused = world.keys("app").list_data_keys(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_rotation_wraps_data_keys_anew() {
    let mut world = World::unsealed().await;
    world.create("demo/inside", wire::Protection::Hsm).await;
    for name in [KEY, "demo/inside"] {
        let mut drawn = Vec::new();
        for _ in 0..5 {
            drawn.push(register(&world, name).await);
        }
        rotate(&world, name).await;
        eventually("all are under the new version", async || {
            wrapped(&world, name).await == [0, 5]
        })
        .await;
        assert_eq!(key(&world, name).await.data_keys_to_rewrap, 0);
        for it in &drawn {
            let opened = open(&world, &it.data_key_id, &[]).await.unwrap();
            assert_eq!(opened.plaintext, it.plaintext);
            assert_eq!(opened.version, 2);
        }
        let log = world.log().await;
        let moved = log.iter().filter(|it| it.operation == "RewrapDataKeys");
        let moved: Vec<_> = moved.filter(|it| it.key == name).collect();
        assert!(moved.iter().all(|it| it.version == 2));
        let last = moved.last().unwrap();
        assert!(last.detail.ends_with("from version 1, 0 left"), "{last:?}");
    }
    // What was wrapped anew is on the disk so.
    world.stop().await;
    world.run().await;
    assert_eq!(wrapped(&world, KEY).await, [0, 5]);
}

#[tokio::test]
async fn a_policy_by_hand_waits_to_be_asked() {
    let world = World::unsealed().await;
    policy(&world, true, true).await;
    let drawn = register(&world, KEY).await;
    rotate(&world, KEY).await;
    let waiting = key(&world, KEY).await;
    assert_eq!(waiting.data_keys_to_rewrap, 0);
    let states = |key: &wire::Key| {
        key.versions
            .iter()
            .map(wire::KeyVersion::state)
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&waiting), [wire::KeyState::Active; 2]);
    let request = wire::RewrapDataKeysRequest {
        name: KEY.to_owned(),
        ..wire::RewrapDataKeysRequest::default()
    };
    let asked = world.keys("admin").rewrap_data_keys(request).await;
    assert_eq!(asked.unwrap().into_inner().data_keys_to_rewrap, 1);
    eventually("the version left behind is deactivated", async || {
        states(&key(&world, KEY).await) == [wire::KeyState::Deactivated, wire::KeyState::Active]
    })
    .await;
    let opened = open(&world, &drawn.data_key_id, &[]).await.unwrap();
    assert_eq!(opened.plaintext, drawn.plaintext);
    let log = world.log().await;
    let deactivated = log
        .iter()
        .find(|it| it.operation == "DeactivateKey")
        .unwrap();
    assert_eq!(
        (deactivated.authentication.as_str(), deactivated.version),
        ("node", 1)
    );
}

/// Whatever the policy is: what is compromised is left as soon as there is another version.
#[tokio::test]
async fn a_compromised_version_is_left_first() {
    let world = World::unsealed().await;
    policy(&world, true, false).await;
    let drawn = register(&world, KEY).await;
    let request = wire::TransitionRequest {
        name: KEY.to_owned(),
        version: 1,
        ..wire::TransitionRequest::default()
    };
    let mut keys = world.keys("admin");
    keys.mark_key_compromised(request).await.unwrap();
    let refused = open(&world, &drawn.data_key_id, &[]).await.unwrap_err();
    assert_eq!(refusal(&refused).1, "KEY_COMPROMISED");
    rotate(&world, KEY).await;
    eventually("it is under the new version", async || {
        wrapped(&world, KEY).await == [0, 1]
    })
    .await;
    let opened = open(&world, &drawn.data_key_id, &[]).await.unwrap();
    assert_eq!(opened.plaintext, drawn.plaintext);
}

#[tokio::test]
async fn what_wraps_data_keys_is_not_destroyed() {
    let world = World::unsealed().await;
    policy(&world, true, false).await;
    register(&world, KEY).await;
    world.clock.advance_ms(8 * 86_400_000);
    rotate(&world, KEY).await;
    let which = wire::TransitionRequest {
        name: KEY.to_owned(),
        version: 1,
        ..wire::TransitionRequest::default()
    };
    world.keys("admin").deactivate_key(which).await.unwrap();
    let mut request = wire::ScheduleKeyDestructionRequest {
        name: KEY.to_owned(),
        version: 1,
        ..wire::ScheduleKeyDestructionRequest::default()
    };
    let mut keys = world.keys("admin");
    let refused = keys.schedule_key_destruction(request.clone()).await;
    let refused = refused.unwrap_err();
    let left = (Code::FailedPrecondition, "DATA_KEYS_LEFT".to_owned());
    assert_eq!(refusal(&refused), left);
    assert!(refused.message().contains("wraps 1 registered data keys"));
    request.force = true;
    keys.schedule_key_destruction(request).await.unwrap();
}

fn replace(world: &World, name: Vec<u8>, row: Vec<u8>) {
    let state = world.storage.open(Database {
        name: "state",
        tables: &TABLES,
    });
    let state = state.unwrap();
    let mut batch = Batch::new();
    batch.put("data-keys", name, row);
    state.write(batch).unwrap();
    state.sync(Box::new(|synced| synced.unwrap()));
}

/// What was changed on the disk is found, and does not keep the others from being wrapped anew.
#[tokio::test]
async fn a_data_key_that_does_not_open_is_passed_over() {
    let mut world = World::unsealed().await;
    policy(&world, true, false).await;
    let (broken, whole) = (register(&world, KEY).await, register(&world, KEY).await);
    world.stop().await;
    let (name, mut row) = world
        .storage
        .rows("state", "data-keys")
        .into_iter()
        .find(|(name, _)| *name == broken.data_key_id)
        .unwrap();
    // Behind key id and version, in the middle of what is wrapped.
    row[60] ^= 1;
    replace(&world, name, row);
    world.run().await;
    for custodian in 0..2 {
        world.submit(custodian).await.unwrap();
    }
    let tampered = open(&world, &broken.data_key_id, &[]).await.unwrap_err();
    assert_eq!(
        refusal(&tampered),
        (Code::DataLoss, "MATERIAL_TAMPERED".to_owned())
    );
    policy(&world, false, false).await;
    rotate(&world, KEY).await;
    eventually("the other one is under the new version", async || {
        wrapped(&world, KEY).await == [1, 1]
    })
    .await;
    assert_eq!(
        open(&world, &whole.data_key_id, &[]).await.unwrap().version,
        2
    );
}
