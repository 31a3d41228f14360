//! Keys by other names, which move.

use crate::world::{World, reason};
use conclave_proto::v1 as wire;
use futures::future::join_all;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::{Code, Status};

async fn create(world: &World, alias: &str, key: &str) -> Result<wire::Alias, Status> {
    let request = wire::CreateAliasRequest {
        request_id: vec![],
        alias: alias.to_owned(),
        key: key.to_owned(),
    };
    let answer = world.keys("admin").create_alias(request).await?;
    Ok(answer.into_inner())
}

/// Answers to which key it led before.
async fn update(world: &World, alias: &str, key: &str, from: &str) -> Result<String, Status> {
    let request = wire::UpdateAliasRequest {
        request_id: vec![],
        alias: alias.to_owned(),
        key: key.to_owned(),
        expected_key: from.to_owned(),
    };
    let answer = world.keys("admin").update_alias(request).await?;
    Ok(answer.into_inner().earlier_key)
}

async fn delete(world: &World, alias: &str) -> Result<String, Status> {
    let request = wire::DeleteAliasRequest {
        request_id: vec![],
        alias: alias.to_owned(),
    };
    let answer = world.keys("admin").delete_alias(request).await?;
    Ok(answer.into_inner().key)
}

async fn get(world: &World, name: &str) -> Result<wire::Key, Status> {
    let request = wire::GetKeyRequest {
        name: name.to_owned(),
        ..wire::GetKeyRequest::default()
    };
    Ok(world.keys("app").get_key(request).await?.into_inner())
}

async fn list(
    world: &World,
    who: &str,
    request: wire::ListAliasesRequest,
) -> (Vec<String>, String) {
    let page = world
        .keys(who)
        .list_aliases(request)
        .await
        .unwrap()
        .into_inner();
    let shown = |it: wire::Alias| format!("{} -> {}", it.name, it.key);
    (
        page.aliases.into_iter().map(shown).collect(),
        page.next_page_token,
    )
}

fn decrypt_as(key: &str, ciphertext: &[u8]) -> wire::DecryptRequest {
    wire::DecryptRequest {
        key: key.to_owned(),
        ciphertext: ciphertext.to_vec(),
        ..wire::DecryptRequest::default()
    }
}

async fn two_keys() -> World {
    let world = World::unsealed().await;
    world
        .create("demo/second", wire::Protection::Software)
        .await;
    create(&world, "demo/current", "demo/first").await.unwrap();
    world
}

#[tokio::test]
async fn a_key_is_used_by_its_alias() {
    let world = two_keys().await;
    let before = world.log().await.len();
    let mut crypto = world.crypto("app");
    let sealed = crypto.encrypt(wire::EncryptRequest {
        key: "demo/current".to_owned(),
        plaintext: b"x".to_vec(),
        ..wire::EncryptRequest::default()
    });
    let sealed = sealed.await.unwrap().into_inner();
    assert_eq!(sealed.key, "demo/first", "it says which key that was");
    let blob = sealed.ciphertext;
    for name in ["demo/current", "demo/first", ""] {
        let opened = crypto.decrypt(decrypt_as(name, &blob)).await.unwrap();
        assert_eq!(opened.into_inner().key, "demo/first");
    }
    let log = world.log().await;
    let said: Vec<_> = log[before..]
        .iter()
        .map(|it| (it.operation.as_str(), it.key.as_str(), it.alias.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("Encrypt", "demo/first", "demo/current"),
            ("Decrypt", "demo/first", "demo/current"),
            ("Decrypt", "demo/first", ""),
            ("Decrypt", "demo/first", ""),
        ]
    );
    let key = get(&world, "demo/current").await.unwrap();
    assert_eq!(key.name, "demo/first");
    assert_eq!(key.aliases, ["demo/current"]);
    assert_eq!(key.versions[0].uses, 4);
}

#[tokio::test]
async fn what_was_encrypted_by_an_alias_opens_after_it_moved() {
    let world = two_keys().await;
    let blob = world.encrypt("app", "demo/current", b"x").await.unwrap();
    let mut crypto = world.crypto("app");
    assert_eq!(
        update(&world, "demo/current", "demo/second", "")
            .await
            .unwrap(),
        "demo/first"
    );
    let refused = crypto
        .decrypt(decrypt_as("demo/current", &blob))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "KEY_MISMATCH", "{refused}");
    assert!(refused.message().contains("demo/first"), "{refused}");
    assert_eq!(
        world.decrypt("app", &blob).await.unwrap(),
        b"x",
        "by its own name it opens as ever"
    );
    let again = wire::ReEncryptRequest {
        ciphertext: blob.clone(),
        destination_key: "demo/current".to_owned(),
        ..wire::ReEncryptRequest::default()
    };
    let again = crypto.re_encrypt(again).await.unwrap().into_inner();
    assert_eq!(
        (again.source_key.as_str(), again.key.as_str()),
        ("demo/first", "demo/second")
    );
    let opened = crypto
        .decrypt(decrypt_as("demo/current", &again.ciphertext))
        .await;
    assert_eq!(opened.unwrap().into_inner().plaintext, b"x");
    let last = world.log().await;
    let moved = last.iter().find(|it| it.operation == "ReEncrypt").unwrap();
    assert_eq!(
        (moved.alias.as_str(), moved.destination_alias.as_str()),
        ("", "demo/current")
    );

    assert_eq!(delete(&world, "demo/current").await.unwrap(), "demo/second");
    let refused = world
        .encrypt("app", "demo/current", b"x")
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "KEY_NOT_FOUND");
    assert_eq!(
        reason(&get(&world, "demo/current").await.unwrap_err()),
        "KEY_NOT_FOUND"
    );
}

/// P1: once a move is acknowledged, nothing that begins afterwards is encrypted under the earlier key.
#[tokio::test]
async fn after_an_alias_moved_no_use_reaches_the_earlier_key() {
    let world = two_keys().await;
    let keys = ["demo/first", "demo/second"];
    let done = AtomicBool::new(false);
    let encrypting = async || {
        let mut count = 0;
        while !done.load(Ordering::Relaxed) {
            world.encrypt("app", "demo/current", b"x").await.unwrap();
            count += 1;
        }
        count
    };
    let moving = async {
        let mut crypto = world.crypto("app");
        for turn in 1..=40 {
            let target = keys[turn % 2];
            update(&world, "demo/current", target, "").await.unwrap();
            let request = wire::EncryptRequest {
                key: "demo/current".to_owned(),
                plaintext: b"after".to_vec(),
                ..wire::EncryptRequest::default()
            };
            let sealed = crypto.encrypt(request).await.unwrap().into_inner();
            assert_eq!(sealed.key, target);
        }
        done.store(true, Ordering::Relaxed);
    };
    let (counts, ()) = tokio::join!(join_all((0..4).map(|_| encrypting())), moving);
    assert!(
        counts.into_iter().sum::<i32>() > 40,
        "there was something to overtake"
    );
    // In the log each use is of the key to which the alias led at its place.
    let mut leads = String::new();
    for record in world.log().await {
        match record.operation.as_str() {
            "CreateAlias" | "UpdateAlias" => leads = record.key,
            "Encrypt" => assert_eq!(
                (record.key, record.alias.as_str()),
                (leads.clone(), "demo/current")
            ),
            _ => {}
        }
    }
}

/// A refusal, and what its text must hold.
type Refused = (Result<(), Status>, &'static str, &'static str);

fn check(cases: impl IntoIterator<Item = Refused>) {
    for (answer, expected, text) in cases {
        let refused = answer.unwrap_err();
        assert_eq!(reason(&refused), expected, "{refused}");
        assert!(refused.message().contains(text), "{refused} lacks {text:?}");
    }
}

async fn world_of_bad_aliases() -> World {
    let world = two_keys().await;
    let mac = wire::CreateKeyRequest {
        name: "demo/mac".to_owned(),
        algorithm: wire::Algorithm::HmacSha256.into(),
        ..wire::CreateKeyRequest::default()
    };
    world.keys("admin").create_key(mac).await.unwrap();
    world.create("other/key", wire::Protection::Software).await;
    world
}

#[tokio::test]
async fn bad_aliases_change_nothing() {
    let world = world_of_bad_aliases().await;
    let make = async |alias, key| create(&world, alias, key).await.map(|_| ());
    let turn = async |alias, key, from| update(&world, alias, key, from).await.map(|_| ());
    let (current, second) = ("demo/current", "demo/second");
    check([
        (make(current, second).await, "ALIAS_EXISTS", "demo/first"),
        (make(second, "demo/first").await, "KEY_EXISTS", second),
        (
            make("demo/x", "demo/none").await,
            "KEY_NOT_FOUND",
            "demo/none",
        ),
        (
            make("demo/x", current).await,
            "NAMED_BY_ALIAS",
            "demo/first",
        ),
        (
            make("demo/x", "other/key").await,
            "ALIAS_KEYRING",
            "keyring",
        ),
        (make("demo", "demo/first").await, "INVALID_REQUEST", "alias"),
        (make("demo/x", "Demo/y").await, "INVALID_REQUEST", "key"),
        (
            turn("demo/x", second, "").await,
            "ALIAS_NOT_FOUND",
            "demo/x",
        ),
        (turn(current, "demo/mac", "").await, "ALIAS_PURPOSE", "MAC"),
        (
            turn(current, second, "demo/mac").await,
            "ALIAS_MOVED",
            "demo/first",
        ),
        (
            turn(current, second, "-").await,
            "INVALID_REQUEST",
            "expected_key",
        ),
    ]);
    let deleted = delete(&world, "demo/first").await.map(|_| ());
    check([(deleted, "ALIAS_NOT_FOUND", "demo/first")]);
    let all = list(&world, "admin", wire::ListAliasesRequest::default()).await;
    assert_eq!(all.0, ["demo/current -> demo/first"]);
}

#[tokio::test]
async fn keys_are_changed_by_their_own_names() {
    let world = two_keys().await;
    let name = "demo/current".to_owned();
    let step = wire::TransitionRequest {
        name: name.clone(),
        ..wire::TransitionRequest::default()
    };
    let rotate = wire::RotateKeyRequest {
        name: name.clone(),
        ..wire::RotateKeyRequest::default()
    };
    let destroy = wire::ScheduleKeyDestructionRequest {
        name: name.clone(),
        ..wire::ScheduleKeyDestructionRequest::default()
    };
    let shadow = wire::CreateKeyRequest {
        name: name.clone(),
        ..wire::CreateKeyRequest::default()
    };
    let mut keys = world.keys("admin");
    let none = |answer: Result<tonic::Response<wire::Key>, Status>| answer.map(|_| ());
    check([
        (
            none(keys.suspend_key(step).await),
            "NAMED_BY_ALIAS",
            "demo/first",
        ),
        (
            none(keys.rotate_key(rotate).await),
            "NAMED_BY_ALIAS",
            "demo/first",
        ),
        (
            none(keys.schedule_key_destruction(destroy).await),
            "NAMED_BY_ALIAS",
            "demo/first",
        ),
        (
            none(keys.create_key(shadow).await),
            "ALIAS_EXISTS",
            "demo/first",
        ),
    ]);
    let key = get(&world, &name).await.unwrap();
    assert_eq!(
        (key.state, key.primary_version),
        (wire::KeyState::Active.into(), 1)
    );
}

#[tokio::test]
async fn aliases_are_listed_and_survive_a_restart() {
    let mut world = two_keys().await;
    world.create("other/key", wire::Protection::Software).await;
    create(&world, "demo/b", "demo/second").await.unwrap();
    create(&world, "other/x", "other/key").await.unwrap();
    world.stop().await;
    world.run().await;
    let all = wire::ListAliasesRequest::default;
    let (found, _) = list(&world, "admin", all()).await;
    let everything = [
        "demo/b -> demo/second",
        "demo/current -> demo/first",
        "other/x -> other/key",
    ];
    assert_eq!(found, everything);
    let (found, _) = list(&world, "app", all()).await;
    assert_eq!(found, everything[..2], "of keyrings that one may see");
    let by_key = wire::ListAliasesRequest {
        key: "demo/current".to_owned(),
        ..all()
    };
    assert_eq!(
        list(&world, "app", by_key.clone()).await.0,
        everything[1..2]
    );
    let page = |token: &str| wire::ListAliasesRequest {
        page_size: 1,
        page_token: token.to_owned(),
        ..all()
    };
    let (first, token) = list(&world, "app", page("")).await;
    assert_eq!(first, everything[..1]);
    let (second, end) = list(&world, "app", page(&token)).await;
    assert_eq!(
        (second.as_slice(), end.as_str()),
        ([everything[1].to_owned()].as_slice(), "")
    );
    let mine = wire::ListAliasesRequest {
        page_token: token,
        ..by_key.clone()
    };
    let refused = world.keys("app").list_aliases(mine).await.unwrap_err();
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID", "{refused}");
    let refused = world
        .keys("stranger")
        .list_aliases(by_key)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(list(&world, "stranger", all()).await.0.is_empty());
}
