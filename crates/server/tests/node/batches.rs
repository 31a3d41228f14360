//! Batches: each item has its own result, and the audit log counts them.

use crate::receiving::create;
use crate::world::World;
use conclave_proto::v1 as wire;
use std::collections::BTreeMap;
use tonic::{Code, Status};
use wire::batch_sign_request::item::Input;
use wire::{Algorithm, Protection};

/// What came of each item: its bytes, or the reason why not.
type Results = Vec<Result<Vec<u8>, String>>;

async fn sign(world: &World, key: &str, inputs: Vec<Option<Input>>) -> Result<Results, Status> {
    use wire::batch_sign_response::result::Result as It;
    let items = inputs
        .into_iter()
        .map(|input| wire::batch_sign_request::Item { input });
    let request = wire::BatchSignRequest {
        key: key.to_owned(),
        items: items.collect(),
        ..wire::BatchSignRequest::default()
    };
    let answer = world.crypto("app").batch_sign(request).await?.into_inner();
    let results = answer
        .results
        .into_iter()
        .map(|it| match it.result.unwrap() {
            It::Ok(made) => {
                assert_eq!((made.key.as_str(), made.version), (key, 1));
                Ok(made.signature)
            }
            It::Error(error) => Err(error.reason),
        });
    Ok(results.collect())
}

async fn macs(world: &World, key: &str, messages: Vec<Vec<u8>>) -> Result<Results, Status> {
    use wire::batch_generate_mac_response::result::Result as It;
    let item = |message| wire::batch_generate_mac_request::Item { message };
    let request = wire::BatchGenerateMacRequest {
        key: key.to_owned(),
        items: messages.into_iter().map(item).collect(),
        ..wire::BatchGenerateMacRequest::default()
    };
    let answer = world.crypto("app").batch_generate_mac(request).await?;
    let results = answer.into_inner().results.into_iter();
    let results = results.map(|it| match it.result.unwrap() {
        It::Ok(made) => Ok(made.mac),
        It::Error(error) => Err(error.reason),
    });
    Ok(results.collect())
}

async fn verify(world: &World, key: &str, items: Vec<(Vec<u8>, Vec<u8>)>) -> Results {
    use wire::batch_verify_mac_response::result::Result as It;
    let item = |(message, mac)| wire::batch_verify_mac_request::Item { message, mac };
    let request = wire::BatchVerifyMacRequest {
        key: key.to_owned(),
        items: items.into_iter().map(item).collect(),
        ..wire::BatchVerifyMacRequest::default()
    };
    let answer = world.crypto("app").batch_verify_mac(request).await.unwrap();
    let results = answer.into_inner().results.into_iter();
    let results = results.map(|it| match it.result.unwrap() {
        It::Ok(_) => Ok(Vec::new()),
        It::Error(error) => Err(error.reason),
    });
    results.collect()
}

/// What the log holds from a place on: items by operation and reason.
async fn counted(world: &World, from: usize) -> BTreeMap<(String, String), u32> {
    let mut counts = BTreeMap::new();
    for record in world.log().await.split_off(from) {
        *counts.entry((record.operation, record.reason)).or_default() += record.count;
    }
    counts
}

fn counts<const N: usize>(of: [(&str, &str, u32); N]) -> BTreeMap<(String, String), u32> {
    let entry = |(operation, reason, count): (&str, &str, u32)| {
        ((operation.to_owned(), reason.to_owned()), count)
    };
    of.map(entry).into()
}

fn message(bytes: impl Into<Vec<u8>>) -> Input {
    Input::Message(bytes.into())
}

#[tokio::test]
async fn signatures_in_batches_are_those_of_single_calls() {
    let world = World::unsealed().await;
    for (name, algorithm, protection) in [
        ("demo/ed", Algorithm::Ed25519, Protection::Software),
        ("demo/hsm", Algorithm::Ed25519, Protection::Hsm),
        ("demo/rsa", Algorithm::Rsa2048, Protection::Software),
    ] {
        create(&world, name, algorithm, protection).await.unwrap();
        let before = world.log().await.len();
        let too_long = message(vec![7; 65_537]);
        let inputs = vec![
            Some(message(b"a")),
            None,
            Some(message(b"b")),
            Some(too_long),
            Some(message(b"c")),
        ];
        let made = sign(&world, name, inputs).await.unwrap();
        for place in [1, 3] {
            assert_eq!(made[place], Err("INVALID_REQUEST".to_owned()), "{name}");
        }
        assert_eq!(counted(&world, before).await, counts([("Sign", "", 3)]));
        for (place, text) in [(0, b"a"), (2, b"b"), (4, b"c")] {
            let verify = wire::VerifyRequest {
                key: name.to_owned(),
                input: Some(wire::verify_request::Input::Message(text.to_vec())),
                signature: made[place].clone().unwrap(),
                ..wire::VerifyRequest::default()
            };
            world.crypto("app").verify(verify).await.unwrap();
        }
    }
    // A digest of a wrong length fails alone, and all of them together.
    create(
        &world,
        "demo/ec",
        Algorithm::EcdsaP256,
        Protection::Software,
    )
    .await
    .unwrap();
    let digest = |bytes| Some(Input::Digest(vec![7; bytes]));
    let made = sign(&world, "demo/ec", vec![digest(32), digest(48)])
        .await
        .unwrap();
    assert!(made[0].is_ok() && made[1] == Err("INVALID_REQUEST".to_owned()));
    let before = world.log().await.len();
    let made = sign(&world, "demo/ec", vec![digest(31), digest(48)])
        .await
        .unwrap();
    assert_eq!(made, vec![Err("INVALID_REQUEST".to_owned()); 2]);
    assert_eq!(world.log().await.len(), before, "nothing was used");
}

#[tokio::test]
async fn wrong_codes_are_recorded_beside_right_ones() {
    let world = World::unsealed().await;
    for protection in [Protection::Software, Protection::Hsm] {
        let name = &format!("demo/mac-{}", i32::from(protection));
        create(&world, name, Algorithm::HmacSha256, protection)
            .await
            .unwrap();
        let before = world.log().await.len();
        let messages = vec![b"a".to_vec(), vec![7; 65_537], b"b".to_vec()];
        let made = macs(&world, name, messages).await.unwrap();
        assert_eq!(made[1], Err("INVALID_REQUEST".to_owned()));
        let (a, b) = (made[0].clone().unwrap(), made[2].clone().unwrap());
        let single = wire::GenerateMacRequest {
            key: name.clone(),
            message: b"a".to_vec(),
            ..wire::GenerateMacRequest::default()
        };
        let single = world.crypto("app").generate_mac(single).await.unwrap();
        assert_eq!(single.into_inner().mac, a);
        assert_eq!(
            counted(&world, before).await,
            counts([("GenerateMac", "", 3)])
        );

        let before = world.log().await.len();
        let items = vec![
            (b"a".to_vec(), a.clone()),
            (b"a".to_vec(), b.clone()),
            (b"b".to_vec(), b.clone()),
            (b"b".to_vec(), b[..31].to_vec()),
            (vec![7; 65_537], b.clone()),
        ];
        let wrong = || Err("MAC_INVALID".to_owned());
        let expected = vec![
            Ok(Vec::new()),
            wrong(),
            Ok(Vec::new()),
            wrong(),
            Err("INVALID_REQUEST".to_owned()),
        ];
        assert_eq!(verify(&world, name, items).await, expected);
        let told = counts([("VerifyMac", "", 2), ("VerifyMac", "MAC_INVALID", 2)]);
        assert_eq!(counted(&world, before).await, told);

        let before = world.log().await.len();
        let all_wrong = vec![(b"a".to_vec(), b), (b"b".to_vec(), a)];
        assert_eq!(verify(&world, name, all_wrong).await, vec![wrong(); 2]);
        let told = counts([("VerifyMac", "MAC_INVALID", 2)]);
        assert_eq!(counted(&world, before).await, told);
    }
}

#[tokio::test]
async fn what_is_refused_is_refused_for_every_item() {
    let world = World::unsealed().await;
    let made = macs(&world, "demo/first", vec![b"a".to_vec(), b"b".to_vec()]).await;
    assert_eq!(made.unwrap(), vec![Err("KEY_PURPOSE".to_owned()); 2]);
    let made = sign(&world, "demo/none", vec![Some(message(b"a"))]).await;
    assert_eq!(made.unwrap(), [Err("KEY_NOT_FOUND".to_owned())]);
    for count in [0, 1_025] {
        let refused = macs(&world, "demo/first", vec![Vec::new(); count]).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    create(
        &world,
        "demo/mac",
        Algorithm::HmacSha256,
        Protection::Software,
    )
    .await
    .unwrap();
    let many = (0..1_024_u32).map(|it| it.to_be_bytes().to_vec()).collect();
    let made = macs(&world, "demo/mac", many).await.unwrap();
    assert!(made.iter().all(Result::is_ok));
    world.fill_disk(true);
    let made = macs(&world, "demo/mac", vec![b"a".to_vec()]).await.unwrap();
    assert!(made[0].is_err(), "no code leaves without its record");
}

async fn verify_signatures(world: &World, items: Vec<(Input, Vec<u8>)>) -> Results {
    use wire::batch_verify_request::item::Input as Given;
    use wire::batch_verify_response::result::Result as It;
    let item = |(input, signature)| wire::batch_verify_request::Item {
        input: Some(match input {
            Input::Message(message) => Given::Message(message),
            Input::Digest(digest) => Given::Digest(digest),
        }),
        signature,
    };
    let request = wire::BatchVerifyRequest {
        key: "demo/ec".to_owned(),
        items: items.into_iter().map(item).collect(),
        ..wire::BatchVerifyRequest::default()
    };
    let answer = world.crypto("app").batch_verify(request).await.unwrap();
    let results = answer.into_inner().results.into_iter();
    let results = results.map(|it| match it.result.unwrap() {
        It::Ok(verified) => {
            assert_eq!((verified.key.as_str(), verified.version), ("demo/ec", 1));
            Ok(Vec::new())
        }
        It::Error(error) => Err(error.reason),
    });
    results.collect()
}

#[tokio::test]
async fn wrong_signatures_are_recorded_beside_right_ones() {
    let world = World::unsealed().await;
    create(
        &world,
        "demo/ec",
        Algorithm::EcdsaP256,
        Protection::Software,
    )
    .await
    .unwrap();
    let inputs = vec![Some(message(b"a")), Some(message(b"b"))];
    let made = sign(&world, "demo/ec", inputs).await.unwrap();
    let (a, b) = (made[0].clone().unwrap(), made[1].clone().unwrap());
    let before = world.log().await.len();
    let items = vec![
        (message(b"a"), a.clone()),
        (message(b"a"), b.clone()),
        (message(b"b"), b.clone()),
        (Input::Digest(vec![7; 31]), a.clone()),
        (message(b"b"), Vec::new()),
        (message(vec![7; 65_537]), b.clone()),
    ];
    let wrong = || Err("SIGNATURE_INVALID".to_owned());
    let invalid = || Err("INVALID_REQUEST".to_owned());
    let expected = vec![
        Ok(Vec::new()),
        wrong(),
        Ok(Vec::new()),
        invalid(),
        wrong(),
        invalid(),
    ];
    assert_eq!(verify_signatures(&world, items).await, expected);
    let told = counts([("Verify", "", 2), ("Verify", "SIGNATURE_INVALID", 2)]);
    assert_eq!(counted(&world, before).await, told);

    let before = world.log().await.len();
    let all_wrong = vec![(message(b"a"), b), (message(b"b"), a)];
    assert_eq!(verify_signatures(&world, all_wrong).await, vec![wrong(); 2]);
    let told = counts([("Verify", "SIGNATURE_INVALID", 2)]);
    assert_eq!(counted(&world, before).await, told);
}

/// Ciphertexts and their keys and versions, or the reason why not.
type Moved = Vec<Result<(Vec<u8>, String, u32), String>>;

async fn move_all(world: &World, request: wire::BatchReEncryptRequest) -> Result<Moved, Status> {
    use wire::batch_re_encrypt_response::result::Result as It;
    let answer = world.crypto("app").batch_re_encrypt(request).await?;
    let results = answer.into_inner().results.into_iter();
    let results = results.map(|it| match it.result.unwrap() {
        It::Ok(moved) => Ok((moved.ciphertext, moved.key, moved.version)),
        It::Error(error) => Err(error.reason),
    });
    Ok(results.collect())
}

fn moves(blobs: &[Vec<u8>]) -> wire::BatchReEncryptRequest {
    let item = |ciphertext: &Vec<u8>| wire::batch_re_encrypt_request::Item {
        ciphertext: ciphertext.clone(),
        ..wire::batch_re_encrypt_request::Item::default()
    };
    wire::BatchReEncryptRequest {
        items: blobs.iter().map(item).collect(),
        ..wire::BatchReEncryptRequest::default()
    }
}

#[tokio::test]
async fn messages_of_several_versions_are_moved_in_one_call() {
    let world = World::unsealed().await;
    let (algorithm, software) = (Algorithm::Aes256Gcm, Protection::Software);
    create(&world, "demo/second", algorithm, software)
        .await
        .unwrap();
    let old = world.encrypt("app", "demo/first", b"a").await.unwrap();
    let rotate = wire::RotateKeyRequest {
        name: "demo/first".to_owned(),
        ..wire::RotateKeyRequest::default()
    };
    world.keys("admin").rotate_key(rotate).await.unwrap();
    let new = world.encrypt("app", "demo/first", b"b").await.unwrap();
    let other = world.encrypt("app", "demo/second", b"c").await.unwrap();
    let mut changed = old.clone();
    *changed.last_mut().unwrap() ^= 1;
    let blobs = [old, changed, other, b"nothing".to_vec(), new];

    // Each stays under its key, in its primary version.
    let before = world.log().await.len();
    let moved = move_all(&world, moves(&blobs)).await.unwrap();
    let invalid = Err("CIPHERTEXT_INVALID".to_owned());
    for (place, (text, key, version)) in [
        (0, (b"a", "demo/first", 2)),
        (2, (b"c", "demo/second", 1)),
        (4, (b"b", "demo/first", 2)),
    ] {
        let (blob, under, number) = moved[place].clone().unwrap();
        assert_eq!((under.as_str(), number), (key, version));
        assert_eq!(world.decrypt("app", &blob).await.unwrap(), text);
    }
    assert_eq!((&moved[1], &moved[3]), (&invalid, &invalid));
    let opened = ("Decrypt", "", 3);
    let told = counts([
        ("ReEncrypt", "", 3),
        ("ReEncrypt", "CIPHERTEXT_INVALID", 1),
        opened,
    ]);
    assert_eq!(counted(&world, before).await, told);
    let records = world.log().await.split_off(before);
    let refused = records.iter().find(|it| !it.reason.is_empty()).unwrap();
    assert_eq!(
        (refused.key.as_str(), refused.version, refused.count),
        ("demo/first", 1, 1)
    );
    assert_eq!(refused.destination_key, "demo/first");

    // To one key, of another context: what they were bound to before does not open them any more.
    let to = wire::BatchReEncryptRequest {
        destination_key: "demo/second".to_owned(),
        replace_context: true,
        destination_context: [("year".to_owned(), "2030".to_owned())].into(),
        ..moves(&blobs)
    };
    let moved = move_all(&world, to).await.unwrap();
    for place in [0, 2, 4] {
        let (blob, under, number) = moved[place].clone().unwrap();
        assert_eq!((under.as_str(), number), ("demo/second", 1));
        let refused = world.decrypt("app", &blob).await.unwrap_err();
        assert_eq!(crate::world::reason(&refused), "CIPHERTEXT_INVALID");
    }
    assert_eq!((&moved[1], &moved[3]), (&invalid, &invalid));
}

#[tokio::test]
async fn moves_of_many_messages_are_refused_as_those_of_one() {
    let world = World::unsealed().await;
    let blob = world.encrypt("app", "demo/first", b"a").await.unwrap();
    let blobs = [blob];
    let before = world.log().await.len();
    let mut aad_alone = moves(&blobs);
    aad_alone.items[0].destination_aad = b"x".to_vec();
    assert_eq!(
        move_all(&world, aad_alone).await.unwrap(),
        [Err("INVALID_REQUEST".to_owned())]
    );
    let context_alone = wire::BatchReEncryptRequest {
        destination_context: [("year".to_owned(), "2030".to_owned())].into(),
        ..moves(&blobs)
    };
    for wrong in [context_alone, moves(&[]), moves(&vec![Vec::new(); 1_025])] {
        let refused = move_all(&world, wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert_eq!(world.log().await.len(), before, "nothing was used");
    let nowhere = wire::BatchReEncryptRequest {
        destination_key: "demo/none".to_owned(),
        ..moves(&blobs)
    };
    assert_eq!(
        move_all(&world, nowhere).await.unwrap(),
        [Err("KEY_NOT_FOUND".to_owned())]
    );
    world.fill_disk(true);
    let moved = move_all(&world, moves(&blobs)).await.unwrap();
    assert!(moved[0].is_err(), "no message leaves without its record");
}
