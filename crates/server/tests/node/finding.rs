//! Keys are labelled, filtered and paged through.

use crate::world::{World, reason};
use conclave_proto::v1 as wire;
use std::collections::BTreeMap;
use tonic::{Code, Status};

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

async fn label(
    world: &World,
    who: &str,
    name: &str,
    set: &[(&str, &str)],
    remove: &[&str],
) -> Result<wire::Key, Status> {
    let request = wire::UpdateKeyLabelsRequest {
        request_id: vec![],
        name: name.to_owned(),
        set: pairs(set),
        remove: remove.iter().map(|it| (*it).to_owned()).collect(),
    };
    let answer = world.keys(who).update_key_labels(request).await?;
    Ok(answer.into_inner())
}

async fn list(
    world: &World,
    who: &str,
    request: wire::ListKeysRequest,
) -> Result<(Vec<String>, String), Status> {
    let page = world.keys(who).list_keys(request).await?.into_inner();
    let names = page.keys.into_iter().map(|key| key.name).collect();
    Ok((names, page.next_page_token))
}

fn by_label(name: &str, value: Option<&str>) -> wire::ListKeysRequest {
    wire::ListKeysRequest {
        labels: vec![wire::LabelFilter {
            name: name.to_owned(),
            value: value.map(ToOwned::to_owned),
        }],
        ..wire::ListKeysRequest::default()
    }
}

#[tokio::test]
async fn labels_are_changed_and_recorded() {
    let world = World::unsealed().await;
    let before = world.log().await.len();
    let key = label(
        &world,
        "admin",
        "demo/first",
        &[("team", "a"), ("env", "x")],
        &[],
    )
    .await;
    let key = key.unwrap();
    assert_eq!(key.labels, pairs(&[("team", "a"), ("env", "x")]));
    let changed = label(
        &world,
        "admin",
        "demo/first",
        &[("team", "b")],
        &["env", "none"],
    )
    .await;
    let changed = changed.unwrap();
    assert_eq!(changed.labels, pairs(&[("team", "b")]));
    assert!(changed.revision > key.revision);
    let log = world.log().await;
    let said: Vec<_> = log[before..]
        .iter()
        .map(|it| (it.operation.as_str(), it.key.as_str(), it.detail.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("UpdateKeyLabels", "demo/first", "env=x, team=a"),
            (
                "UpdateKeyLabels",
                "demo/first",
                "team=b, without env, without none"
            ),
        ]
    );
}

#[tokio::test]
async fn bad_labels_change_nothing() {
    let world = World::unsealed().await;
    label(&world, "admin", "demo/first", &[("team", "a")], &[])
        .await
        .unwrap();
    let many: Vec<String> = (0..40).map(|n| format!("l{n}")).collect();
    let some: Vec<(&str, &str)> = many.iter().take(32).map(|it| (it.as_str(), "")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(8_190);
    let name = "demo/first";
    let set = async |set: &[(&str, &str)]| label(&world, "admin", name, set, &[]).await;
    let remove = async |names: &[&str]| label(&world, "admin", name, &[], names).await;
    let both = label(&world, "admin", name, &[("a", "")], &["a"]).await;
    let other = async |who, name| label(&world, who, name, &[("a", "")], &[]).await;
    let cases = [
        (set(&[]).await, "INVALID_REQUEST", "set or to remove"),
        (both, "INVALID_REQUEST", "only be one of both"),
        (set(&[("", "a")]).await, "INVALID_REQUEST", "empty name"),
        (
            set(&[("a", "\n")]).await,
            "INVALID_REQUEST",
            "control character",
        ),
        (remove(&names).await, "INVALID_REQUEST", "32 names"),
        (set(&some).await, "LIMIT_REACHED", "limit is 32"),
        (set(&[("b", &long)]).await, "LIMIT_REACHED", "limit is 8192"),
        (
            other("admin", "demo/none").await,
            "KEY_NOT_FOUND",
            "demo/none",
        ),
        (other("admin", "demo").await, "INVALID_REQUEST", "segments"),
        (other("app", name).await, "PERMISSION_DENIED", "operator"),
    ];
    for (answer, expected, text) in cases {
        let refused = answer.unwrap_err();
        assert_eq!(reason(&refused), expected, "{refused}");
        assert!(refused.message().contains(text), "{refused} lacks {text:?}");
    }
    let (found, _) = list(&world, "app", by_label("team", Some("a")))
        .await
        .unwrap();
    assert_eq!(found, ["demo/first"]);
    let (found, _) = list(&world, "app", by_label("a", None)).await.unwrap();
    assert!(found.is_empty());
}

#[tokio::test]
async fn keys_are_found_by_all_that_is_given() {
    let world = World::unsealed().await;
    world.create("demo/inside", wire::Protection::Hsm).await;
    let mac = wire::CreateKeyRequest {
        name: "demo/mac".to_owned(),
        algorithm: wire::Algorithm::HmacSha256.into(),
        labels: pairs(&[("team", "a")]),
        pre_active: true,
        ..wire::CreateKeyRequest::default()
    };
    world.keys("admin").create_key(mac).await.unwrap();
    label(&world, "admin", "demo/first", &[("team", "a")], &[])
        .await
        .unwrap();
    label(&world, "admin", "demo/inside", &[("team", "b")], &[])
        .await
        .unwrap();
    let all = wire::ListKeysRequest::default;
    let cases = [
        (all(), vec!["demo/first", "demo/inside", "demo/mac"]),
        (
            by_label("team", None),
            vec!["demo/first", "demo/inside", "demo/mac"],
        ),
        (by_label("team", Some("a")), vec!["demo/first", "demo/mac"]),
        (by_label("team", Some("")), vec![]),
        (
            wire::ListKeysRequest {
                purpose: wire::Purpose::Mac.into(),
                ..all()
            },
            vec!["demo/mac"],
        ),
        (
            wire::ListKeysRequest {
                state: wire::KeyState::PreActive.into(),
                ..all()
            },
            vec!["demo/mac"],
        ),
        (
            wire::ListKeysRequest {
                protection: wire::Protection::Hsm.into(),
                ..all()
            },
            vec!["demo/inside"],
        ),
        (
            wire::ListKeysRequest {
                algorithm: wire::Algorithm::Aes256Gcm.into(),
                ..by_label("team", Some("a"))
            },
            vec!["demo/first"],
        ),
        (
            wire::ListKeysRequest {
                prefix: "demo/i".to_owned(),
                ..by_label("team", Some("a"))
            },
            vec![],
        ),
    ];
    for (request, expected) in cases {
        let (found, next) = list(&world, "app", request.clone()).await.unwrap();
        assert_eq!(found, expected, "{request:?}");
        assert_eq!(next, "", "{request:?}");
        // Whoever holds no role on the keyring finds nothing by any filter.
        let (found, _) = list(&world, "stranger", request).await.unwrap();
        assert!(found.is_empty());
    }
}

#[tokio::test]
async fn a_page_token_is_of_its_list() {
    let world = World::unsealed().await;
    for name in ["demo/a", "demo/b", "demo/c"] {
        world.create(name, wire::Protection::Software).await;
        label(&world, "admin", name, &[("team", "a")], &[])
            .await
            .unwrap();
    }
    let request = |token: &str| wire::ListKeysRequest {
        page_size: 2,
        page_token: token.to_owned(),
        ..by_label("team", None)
    };
    let (first, token) = list(&world, "app", request("")).await.unwrap();
    assert_eq!(first, ["demo/a", "demo/b"]);
    world.create("demo/aa", wire::Protection::Software).await;
    let (second, end) = list(&world, "app", request(&token)).await.unwrap();
    assert_eq!(
        (second.as_slice(), end.as_str()),
        (["demo/c".to_owned()].as_slice(), "")
    );

    let other = wire::ListKeysRequest {
        prefix: "demo/".to_owned(),
        ..request(&token)
    };
    let unfiltered = wire::ListKeysRequest {
        labels: vec![],
        ..request(&token)
    };
    for (request, text) in [
        (other, "another list"),
        (unfiltered, "another list"),
        (request("demo/b"), "none that a page gave"),
        (request(&token[..30]), "none that a page gave"),
        (request(&format!("{token}00")), "none that a page gave"),
        (request(&format!("02{}", &token[2..])), "another version"),
    ] {
        let refused = list(&world, "app", request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID", "{refused}");
        assert!(refused.message().contains(text), "{refused}");
    }
    let nameless = by_label("", None);
    let refused = list(&world, "app", nameless).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_REQUEST");
}
