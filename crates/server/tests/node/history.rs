//! What was done with a key, told from the audit log.

use crate::world::{World, eventually, reason};
use conclave_proto::v1 as wire;
use tonic::Status;

const DAY_MS: u64 = 86_400_000;

async fn page(
    world: &World,
    who: &str,
    request: wire::GetKeyHistoryRequest,
) -> Result<wire::GetKeyHistoryResponse, Status> {
    let answer = world.keys(who).get_key_history(request).await?;
    Ok(answer.into_inner())
}

fn of(name: &str) -> wire::GetKeyHistoryRequest {
    wire::GetKeyHistoryRequest {
        name: name.to_owned(),
        ..wire::GetKeyHistoryRequest::default()
    }
}

/// Operations and who did them, in their order.
fn told(page: &wire::GetKeyHistoryResponse) -> Vec<(&str, &str)> {
    let events = page.events.iter();
    events
        .map(|it| (it.operation.as_str(), it.principal.as_str()))
        .collect()
}

fn step(name: &str) -> wire::TransitionRequest {
    wire::TransitionRequest {
        name: name.to_owned(),
        ..wire::TransitionRequest::default()
    }
}

async fn live(world: &World, name: &str) {
    let mut keys = world.keys("admin");
    let rotate = wire::RotateKeyRequest {
        name: name.to_owned(),
        ..wire::RotateKeyRequest::default()
    };
    keys.rotate_key(rotate).await.unwrap();
    keys.suspend_key(step(name)).await.unwrap();
    keys.suspend_key(step(name)).await.unwrap_err();
    world.keys("app").resume_key(step(name)).await.unwrap_err();
    keys.resume_key(step(name)).await.unwrap();
    let label = wire::UpdateKeyLabelsRequest {
        name: name.to_owned(),
        set: [("team".to_owned(), "cards".to_owned())].into(),
        ..wire::UpdateKeyLabelsRequest::default()
    };
    keys.update_key_labels(label).await.unwrap();
    let alias = wire::CreateAliasRequest {
        alias: "demo/x".to_owned(),
        key: name.to_owned(),
        ..wire::CreateAliasRequest::default()
    };
    keys.create_alias(alias).await.unwrap();
    let moved = wire::UpdateAliasRequest {
        alias: "demo/x".to_owned(),
        key: "demo/second".to_owned(),
        ..wire::UpdateAliasRequest::default()
    };
    keys.update_alias(moved).await.unwrap();
}

async fn destroy(world: &World, name: &str) {
    let mut keys = world.keys("admin");
    keys.deactivate_key(step(name)).await.unwrap();
    let destroy = wire::ScheduleKeyDestructionRequest {
        name: name.to_owned(),
        waiting_period: Some(prost_types::Duration {
            seconds: 86_400,
            nanos: 0,
        }),
        force: true,
        ..wire::ScheduleKeyDestructionRequest::default()
    };
    keys.schedule_key_destruction(destroy).await.unwrap();
    world.clock.advance_ms(DAY_MS);
    eventually("it is erased", async || {
        let told = page(world, "app", of(name)).await.unwrap();
        told.events
            .last()
            .is_some_and(|it| it.operation == "EraseKeyMaterial")
    })
    .await;
}

#[tokio::test]
async fn a_key_s_life_is_a_story() {
    let mut world = World::unsealed().await;
    let name = "demo/first";
    world
        .create("demo/second", wire::Protection::Software)
        .await;
    live(&world, name).await;
    for _ in 0..30 {
        world.encrypt("app", name, b"x").await.unwrap();
    }
    destroy(&world, name).await;
    let expected = [
        ("CreateKey", "admin"),
        ("RotateKey", "admin"),
        ("SuspendKey", "admin"),
        ("ResumeKey", "admin"),
        ("UpdateKeyLabels", "admin"),
        ("CreateAlias", "admin"),
        ("UpdateAlias", "admin"),
        ("DeactivateKey", "admin"),
        ("ScheduleKeyDestruction", "admin"),
        ("DestroyKey", ""),
        ("EraseKeyMaterial", ""),
    ];
    let story = page(&world, "app", of(name)).await.unwrap();
    assert_eq!(
        (told(&story).as_slice(), story.name.as_str()),
        (expected.as_slice(), name)
    );
    assert_eq!(story.events[1].version, 2);
    assert_eq!(story.events[6].key, "demo/second", "where the alias went");
    assert_eq!(story.events[4].detail, "team=cards");
    let log = world.log().await;
    for event in &story.events {
        let record = &log[usize::try_from(event.record).unwrap()];
        assert_eq!(
            (&record.operation, record.time_ms / 1_000),
            (
                &event.operation,
                u64::try_from(event.at.unwrap().seconds).unwrap(),
            )
        );
    }
    // The other key's story begins later, and has the alias by which it can be asked for.
    let other = page(&world, "app", of("demo/x")).await.unwrap();
    assert_eq!(other.name, "demo/second");
    assert_eq!(
        told(&other),
        [("CreateKey", "admin"), ("UpdateAlias", "admin")]
    );
    // What nodes erase is told of what they erased.
    destroy(&world, "demo/second").await;
    let again = page(&world, "app", of(name)).await.unwrap();
    assert_eq!(again, story);
    world.stop().await;
    world.run().await;
    assert_eq!(
        page(&world, "app", of(name)).await.unwrap(),
        story,
        "a restart changes nothing"
    );
}

#[tokio::test]
async fn a_story_has_pages() {
    let world = World::unsealed().await;
    let name = "demo/first";
    world
        .create("demo/second", wire::Protection::Software)
        .await;
    live(&world, name).await;
    destroy(&world, name).await;
    let whole = page(&world, "app", of(name)).await.unwrap();
    for size in 1..=12 {
        let mut request = wire::GetKeyHistoryRequest {
            page_size: size,
            ..of(name)
        };
        let mut events = Vec::new();
        loop {
            let page = page(&world, "app", request.clone()).await.unwrap();
            assert!(page.events.len() <= usize::try_from(size).unwrap());
            events.extend(page.events);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(events, whole.events, "by {size}");
    }
}

#[tokio::test]
async fn a_story_is_for_those_who_may_see_the_key() {
    let world = World::unsealed().await;
    world
        .create("demo/second", wire::Protection::Software)
        .await;
    let refused = page(&world, "stranger", of("demo/first"))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_DENIED");
    let refused = page(&world, "app", of("demo/none")).await.unwrap_err();
    assert_eq!(reason(&refused), "KEY_NOT_FOUND");
    let step = step("demo/first");
    world.keys("admin").suspend_key(step).await.unwrap();
    let one = wire::GetKeyHistoryRequest {
        page_size: 1,
        ..of("demo/first")
    };
    let token = page(&world, "app", one).await.unwrap().next_page_token;
    let other = wire::GetKeyHistoryRequest {
        page_token: token,
        ..of("demo/second")
    };
    let refused = page(&world, "app", other).await.unwrap_err();
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID", "{refused}");
}
