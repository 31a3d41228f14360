//! The end of a key, as its users see it, and what the node does for it by itself.

use crate::world::{World, eventually, reason};
use conclave_proto::v1 as wire;
use tonic::{Code, Status};

pub(crate) const DAY_MS: u64 = 86_400_000;

pub(crate) async fn step(world: &World, name: &str, what: &str) -> Result<wire::Key, Status> {
    let request = wire::TransitionRequest {
        name: name.to_owned(),
        ..wire::TransitionRequest::default()
    };
    let mut keys = world.keys("admin");
    let answer = match what {
        "deactivate" => keys.deactivate_key(request).await,
        "cancel" => keys.cancel_key_destruction(request).await,
        _ => unreachable!("{what}"),
    };
    Ok(answer?.into_inner())
}

pub(crate) async fn destroy(
    world: &World,
    name: &str,
    days: i64,
    force: bool,
) -> Result<wire::Key, Status> {
    let request = wire::ScheduleKeyDestructionRequest {
        name: name.to_owned(),
        waiting_period: (days != 0).then_some(prost_types::Duration {
            seconds: days * 86_400,
            nanos: 0,
        }),
        force,
        ..wire::ScheduleKeyDestructionRequest::default()
    };
    let answer = world.keys("admin").schedule_key_destruction(request).await;
    Ok(answer?.into_inner())
}

async fn get(world: &World, name: &str) -> wire::Key {
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

/// The wrapped material of the keys there are, as rows of the state hold it.
fn material(world: &World, key: &wire::Key) -> Vec<u8> {
    let rows = world.storage.rows("state", "versions");
    let (_, row) = rows
        .iter()
        .find(|(name, _)| name.starts_with(&key.key_id))
        .unwrap();
    // Somewhere in the middle of what is wrapped: random bytes that are nowhere else.
    row[row.len() - 24..].to_vec()
}

pub(crate) async fn is_destroyed(world: &World, name: &str) -> bool {
    let destruction = get(world, name).await.destruction;
    destruction.is_some_and(|it| it.erased_by_nodes == [1])
}

#[tokio::test]
async fn what_is_in_use_is_not_destroyed() {
    let world = World::unsealed().await;
    let name = "demo/first";
    world.encrypt("app", name, b"x").await.unwrap();
    let key = get(&world, name).await;
    assert_eq!(
        (key.versions[0].uses, key.versions[0].last_used_at.is_some()),
        (1, true)
    );
    let active = destroy(&world, name, 30, false).await.unwrap_err();
    assert_eq!(
        (active.code(), reason(&active).as_str()),
        (Code::FailedPrecondition, "KEY_STATE")
    );
    step(&world, name, "deactivate").await.unwrap();
    let in_use = destroy(&world, name, 30, false).await.unwrap_err();
    assert_eq!(
        (in_use.code(), reason(&in_use).as_str()),
        (Code::FailedPrecondition, "KEY_IN_USE")
    );
    assert!(in_use.message().contains("--force"), "{}", in_use.message());
    for days in [-1, 91] {
        let wrong = destroy(&world, name, days, true).await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument, "{days}");
        assert!(
            wrong.message().contains("waiting_period"),
            "{}",
            wrong.message()
        );
    }
    world.clock.advance_ms(7 * DAY_MS);
    destroy(&world, name, 1, false).await.unwrap();
}

#[tokio::test]
async fn a_destruction_is_called_off() {
    let world = World::unsealed().await;
    let name = "demo/first";
    step(&world, name, "deactivate").await.unwrap();
    // Without another word, thirty days.
    let scheduled = destroy(&world, name, 0, false).await.unwrap();
    let end = scheduled.destruction.unwrap();
    assert_eq!(scheduled.state, i32::from(wire::KeyState::DestroyScheduled));
    assert_eq!(
        (end.done_by_record, end.erased_by_nodes.len(), end.nodes),
        (None, 0, 1)
    );
    let cancelled = step(&world, name, "cancel").await.unwrap();
    assert_eq!(cancelled.state, i32::from(wire::KeyState::Deactivated));
    assert_eq!(cancelled.destruction, None);
    let cancel = step(&world, name, "cancel").await.unwrap_err();
    assert!(
        cancel
            .message()
            .contains("no destruction of it is scheduled")
    );
}

#[tokio::test]
async fn a_key_is_destroyed_at_its_date_and_erased() {
    let world = World::unsealed().await;
    let name = "demo/first";
    let sealed = world.encrypt("app", name, b"x").await.unwrap();
    let key = get(&world, name).await;
    step(&world, name, "deactivate").await.unwrap();
    let material = material(&world, &key);
    destroy(&world, name, 1, true).await.unwrap();
    assert!(world.storage.find(&material).is_some());
    world.clock.advance_ms(DAY_MS);
    eventually("it is destroyed and erased", async || {
        is_destroyed(&world, name).await
    })
    .await;
    assert_eq!(world.storage.find(&material), None);
    let gone = get(&world, name).await;
    let end = gone.destruction.unwrap();
    assert_eq!(gone.state, i32::from(wire::KeyState::Destroyed));
    assert_eq!(gone.versions[0].state, i32::from(wire::KeyState::Destroyed));
    assert_eq!(gone.versions[0].uses, 1, "what it was stays known");
    let refused = world.decrypt("app", &sealed).await.unwrap_err();
    assert_eq!(reason(&refused), "KEY_STATE");
    let log = world.log().await;
    let record = |number: u64| {
        let record = &log[usize::try_from(number).unwrap()];
        (
            record.operation.as_str(),
            record.principal.as_str(),
            record.key.as_str(),
        )
    };
    let asked = record(end.asked_by_record);
    assert_eq!(asked, ("ScheduleKeyDestruction", "admin", name));
    assert_eq!(
        record(end.done_by_record.unwrap()),
        ("DestroyKey", "", name)
    );
    let told = log.iter().filter(|it| it.operation == "EraseKeyMaterial");
    assert_eq!(told.count(), 1);
    // Another key's life goes on, in the log that was purged and the state that was rewritten.
    world.create("demo/next", wire::Protection::Hsm).await;
    let sealed = world.encrypt("app", "demo/next", b"y").await.unwrap();
    assert_eq!(world.decrypt("app", &sealed).await.unwrap(), b"y");
}

/// It takes no key to erase one.
#[tokio::test]
async fn a_sealed_node_destroys_and_erases() {
    let mut world = World::unsealed().await;
    let name = "demo/first";
    let material = material(&world, &get(&world, name).await);
    step(&world, name, "deactivate").await.unwrap();
    destroy(&world, name, 1, false).await.unwrap();
    world.stop().await;
    world.clock.advance_ms(DAY_MS);
    world.run().await;
    eventually("it is destroyed and erased", async || {
        is_destroyed(&world, name).await
    })
    .await;
    assert_eq!(world.storage.find(&material), None);
    let sealed = world.encrypt("app", name, b"x").await.unwrap_err();
    assert_eq!(reason(&sealed), "NODE_SEALED");
}
