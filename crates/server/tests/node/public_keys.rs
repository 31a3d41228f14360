//! The public half of a key is bound to its private one.

use crate::world::{World, reason};
use conclave_env::{Batch, Database, Storage as _};
use conclave_proto::v1::{self as wire, sign_request};
use std::ops::Bound::Unbounded;
use tonic::{Code, Status};

async fn create(world: &World, name: &str, protection: wire::Protection) {
    let request = wire::CreateKeyRequest {
        name: name.to_owned(),
        algorithm: wire::Algorithm::Ed25519.into(),
        protection: protection.into(),
        ..wire::CreateKeyRequest::default()
    };
    world.keys("admin").create_key(request).await.unwrap();
}

async fn public_key(world: &World, name: &str) -> Vec<u8> {
    let request = wire::GetPublicKeyRequest {
        name: name.to_owned(),
        ..wire::GetPublicKeyRequest::default()
    };
    let answer = world.keys("app").get_public_key(request).await.unwrap();
    answer.into_inner().der
}

async fn sign(world: &World, name: &str) -> Result<Vec<u8>, Status> {
    let request = wire::SignRequest {
        key: name.to_owned(),
        input: Some(sign_request::Input::Message(b"x".to_vec())),
        ..wire::SignRequest::default()
    };
    Ok(world
        .crypto("app")
        .sign(request)
        .await?
        .into_inner()
        .signature)
}

/// Puts one public key in the place of another in the node's storage.
pub(crate) fn replace(world: &World, old: &[u8], new: &[u8]) {
    let tables = &["versions", "imports"];
    let name = "state";
    let state = world.storage.open(Database { name, tables }).unwrap();
    let rows = tables.iter().flat_map(|table| {
        let rows = state.scan(table, Unbounded, Unbounded, 100).unwrap();
        rows.into_iter().map(move |(key, row)| (*table, key, row))
    });
    let place = |row: &[u8]| row.windows(old.len()).position(|window| window == old);
    let mut found = rows.filter_map(|(table, key, row)| Some((table, key, place(&row)?, row)));
    let (table, key, at, mut row) = found.next().unwrap();
    row[at..][..new.len()].copy_from_slice(new);
    let mut batch = Batch::new();
    batch.put(table, key, row);
    state.write(batch).unwrap();
    state.sync(Box::new(|synced| synced.unwrap()));
}

/// Else whoever changes a disk would have others verify what somebody else signed.
#[tokio::test]
async fn a_swapped_public_key_is_tampering() {
    for protection in [wire::Protection::Software, wire::Protection::Hsm] {
        let mut world = World::unsealed().await;
        create(&world, "demo/x", protection).await;
        create(&world, "demo/y", protection).await;
        assert_eq!(sign(&world, "demo/x").await.unwrap().len(), 64);
        let (x, y) = (
            public_key(&world, "demo/x").await,
            public_key(&world, "demo/y").await,
        );
        assert_eq!((x.len(), y.len(), x == y), (44, 44, false));
        world.stop().await;
        replace(&world, &x, &y);
        world.run().await;
        world.submit(0).await.unwrap();
        world.submit(1).await.unwrap();
        let refused = sign(&world, "demo/x").await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{protection:?}: {refused}");
        assert_eq!(reason(&refused), "MATERIAL_TAMPERED");
        assert_eq!(sign(&world, "demo/y").await.unwrap().len(), 64);
    }
}
