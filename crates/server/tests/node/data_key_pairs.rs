//! Key pairs for use outside the cluster.

use crate::world::{World, reason};
use conclave_crypto::sign::{self, Input, KeyKind, Scheme, SigningKey, VerifyingKey};
use conclave_crypto::{PrivateMaterial, PublicKey};
use conclave_proto::v1 as wire;

#[tokio::test]
async fn a_pair_for_outside_signs_outside() {
    let world = World::unsealed().await;
    let mut crypto = world.crypto("app");
    for (algorithm, kind, scheme) in [
        (wire::Algorithm::Ed25519, KeyKind::Ed25519, Scheme::Ed25519),
        (
            wire::Algorithm::Rsa2048,
            KeyKind::Rsa2048,
            Scheme::RsaPss(sign::Hash::Sha256),
        ),
    ] {
        let request = wire::GenerateDataKeyPairRequest {
            key: "demo/first".to_owned(),
            algorithm: algorithm.into(),
            aad: b"device 7".to_vec(),
            ..wire::GenerateDataKeyPairRequest::default()
        };
        let pair = crypto
            .generate_data_key_pair(request.clone())
            .await
            .unwrap();
        let pair = pair.into_inner();
        assert_eq!((pair.key.as_str(), pair.version), ("demo/first", 1));

        let opened = wire::DecryptRequest {
            ciphertext: pair.ciphertext.clone(),
            aad: b"device 7".to_vec(),
            ..wire::DecryptRequest::default()
        };
        let opened = crypto.decrypt(opened).await.unwrap().into_inner();
        assert_eq!(opened.plaintext, pair.private_key);
        let private = PrivateMaterial::from_slice(&pair.private_key).unwrap();
        let key = SigningKey::new(kind, &sign::import(kind, &private).unwrap()).unwrap();
        let signature = key.sign(scheme, Input::Message(b"order")).unwrap();
        let public = PublicKey::from_spki(&pair.public_key).unwrap();
        let verifier = VerifyingKey::new(kind, &public).unwrap();
        let order = Input::Message(b"order");
        verifier.verify(scheme, order, &signature).unwrap();

        let without = wire::GenerateDataKeyPairRequest {
            without_private_key: true,
            ..request
        };
        let other = crypto.generate_data_key_pair(without).await.unwrap();
        let other = other.into_inner();
        assert!(other.private_key.is_empty() && !other.ciphertext.is_empty());
        assert_ne!(other.public_key, pair.public_key);
    }
    let before = world.log().await;
    let last = before.last().unwrap();
    assert_eq!(
        (last.operation.as_str(), last.key.as_str(), last.count),
        ("GenerateDataKeyPair", "demo/first", 1)
    );
}

#[tokio::test]
async fn a_pair_is_drawn_for_who_may_have_it_and_leaves_with_its_record() {
    let world = World::unsealed().await;
    let mut crypto = world.crypto("app");
    let before = world.log().await;
    for algorithm in [
        wire::Algorithm::Unspecified,
        wire::Algorithm::MlDsa65,
        wire::Algorithm::X25519,
    ] {
        let request = wire::GenerateDataKeyPairRequest {
            key: "demo/first".to_owned(),
            algorithm: algorithm.into(),
            ..wire::GenerateDataKeyPairRequest::default()
        };
        let refused = crypto.generate_data_key_pair(request).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_REQUEST", "{refused}");
        assert!(refused.message().contains("RSA_4096"), "{refused}");
    }
    assert_eq!(world.log().await.len(), before.len(), "nothing was used");

    let request = wire::GenerateDataKeyPairRequest {
        key: "demo/first".to_owned(),
        algorithm: wire::Algorithm::X25519.into(),
        ..wire::GenerateDataKeyPairRequest::default()
    };
    let mut stranger = world.crypto("stranger");
    let refused = stranger.generate_data_key_pair(request.clone()).await;
    let reason = reason(&refused.unwrap_err());
    assert_eq!(reason, "PERMISSION_DENIED", "nothing is drawn before");
    world.fill_disk(true);
    let request = wire::GenerateDataKeyPairRequest {
        algorithm: wire::Algorithm::Ed25519.into(),
        ..request
    };
    let drawn = crypto.generate_data_key_pair(request).await;
    assert!(drawn.is_err(), "no pair leaves without its record");
}
