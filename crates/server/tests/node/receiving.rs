//! Keys that open what others made with the public half, and keys that agree.

use crate::public_keys::replace;
use crate::world::{World, reason};
use conclave_crypto::agree::{self, AgreementKey, AgreementKind};
use conclave_crypto::kem::EncapsulationKey;
use conclave_crypto::oaep::EncryptingKey;
use conclave_crypto::{PublicKey, PublicKind};
use conclave_proto::v1::{self as wire, use_reply, use_request};
use tonic::{Code, Status};
use wire::Algorithm;

pub(crate) async fn create(
    world: &World,
    name: &str,
    algorithm: Algorithm,
    protection: wire::Protection,
) -> Result<wire::Key, Status> {
    let request = wire::CreateKeyRequest {
        name: name.to_owned(),
        algorithm: algorithm.into(),
        protection: protection.into(),
        ..wire::CreateKeyRequest::default()
    };
    let created = world.keys("admin").create_key(request).await?;
    Ok(created.into_inner())
}

async fn created(world: &World, name: &str, algorithm: Algorithm) {
    let software = wire::Protection::Software;
    create(world, name, algorithm, software).await.unwrap();
}

pub(crate) async fn public_key(world: &World, name: &str) -> wire::PublicKey {
    let request = wire::GetPublicKeyRequest {
        name: name.to_owned(),
        ..wire::GetPublicKeyRequest::default()
    };
    let answer = world.keys("app").get_public_key(request).await.unwrap();
    answer.into_inner()
}

/// Encrypts as somebody does who has the public key only.
pub(crate) async fn encrypt(world: &World, name: &str, label: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let public = PublicKey::from_spki(&public_key(world, name).await.der).unwrap();
    let key = EncryptingKey::new(&public).ok().unwrap();
    key.encrypt_labelled(plaintext, label).unwrap()
}

pub(crate) fn to_decrypt(
    name: &str,
    ciphertext: &[u8],
    label: &[u8],
) -> wire::AsymmetricDecryptRequest {
    wire::AsymmetricDecryptRequest {
        key: name.to_owned(),
        ciphertext: ciphertext.to_vec(),
        label: label.to_vec(),
        ..wire::AsymmetricDecryptRequest::default()
    }
}

pub(crate) async fn decrypt(
    world: &World,
    request: wire::AsymmetricDecryptRequest,
) -> Result<wire::AsymmetricDecryptResponse, Status> {
    let answer = world.crypto("app").asymmetric_decrypt(request).await?;
    Ok(answer.into_inner())
}

async fn decapsulate(
    world: &World,
    name: &str,
    ciphertext: &[u8],
) -> Result<wire::DecapsulateResponse, Status> {
    let request = wire::DecapsulateRequest {
        key: name.to_owned(),
        ciphertext: ciphertext.to_vec(),
        ..wire::DecapsulateRequest::default()
    };
    Ok(world.crypto("app").decapsulate(request).await?.into_inner())
}

pub(crate) async fn derive(
    world: &World,
    name: &str,
    peer: &[u8],
) -> Result<wire::DeriveSharedSecretResponse, Status> {
    let request = wire::DeriveSharedSecretRequest {
        key: name.to_owned(),
        peer_public_key: peer.to_vec(),
        ..wire::DeriveSharedSecretRequest::default()
    };
    let answer = world.crypto("app").derive_shared_secret(request).await?;
    Ok(answer.into_inner())
}

pub(crate) fn peer(kind: AgreementKind, seed: u8) -> AgreementKey {
    let material = agree::generate(kind, &[seed; 32]).ok().unwrap();
    AgreementKey::new(kind, &material).ok().unwrap()
}

async fn step(world: &World, name: &str, to: wire::KeyState) {
    let request = wire::TransitionRequest {
        name: name.to_owned(),
        ..wire::TransitionRequest::default()
    };
    let mut keys = world.keys("admin");
    let done = if to == wire::KeyState::Suspended {
        keys.suspend_key(request).await
    } else if to == wire::KeyState::Compromised {
        keys.mark_key_compromised(request).await
    } else {
        keys.deactivate_key(request).await
    };
    done.unwrap();
}

fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, why: &str) -> String {
    let refused = answer.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (code, why),
        "{refused}"
    );
    refused.message().to_owned()
}

/// The record at the end of the log: operation, outcome, reason, version.
async fn last_record(world: &World) -> (String, i32, String, u32) {
    let last = world.log().await.pop().unwrap();
    assert_eq!(last.principal, "app");
    (last.operation, last.outcome, last.reason, last.version)
}

#[tokio::test]
async fn what_others_encrypt_is_opened_and_recorded() {
    let world = World::unsealed().await;
    let name = "demo/inbox";
    created(&world, name, Algorithm::RsaOaep2048).await;
    let max = 256 - 66;
    for (label, plaintext) in [(&b""[..], vec![7; max]), (b"order 17", Vec::new())] {
        let blob = encrypt(&world, name, label, &plaintext).await;
        let opened = decrypt(&world, to_decrypt(name, &blob, label))
            .await
            .unwrap();
        assert_eq!((opened.plaintext, opened.version), (plaintext, 1));
        let expected = ("AsymmetricDecrypt".to_owned(), 1, String::new(), 1);
        assert_eq!(last_record(&world).await, expected);
    }
    // A ciphertext does not name its version: 0 is the primary one.
    let old = encrypt(&world, name, b"", b"old").await;
    let rotate = wire::RotateKeyRequest {
        name: name.to_owned(),
        ..wire::RotateKeyRequest::default()
    };
    world.keys("admin").rotate_key(rotate).await.unwrap();
    let new = encrypt(&world, name, b"", b"new").await;
    let opened = decrypt(&world, to_decrypt(name, &new, b"")).await.unwrap();
    assert_eq!(
        (opened.plaintext.as_slice(), opened.version),
        (&b"new"[..], 2)
    );
    let text = assert_refused(
        decrypt(&world, to_decrypt(name, &old, b"")).await,
        Code::InvalidArgument,
        "CIPHERTEXT_INVALID",
    );
    assert!(text.contains("version 2 of key demo/inbox"), "{text}");
    let named = wire::AsymmetricDecryptRequest {
        version: 1,
        ..to_decrypt(name, &old, b"")
    };
    let opened = decrypt(&world, named.clone()).await.unwrap();
    assert_eq!(
        (opened.plaintext.as_slice(), opened.version),
        (&b"old"[..], 1)
    );
    let unknown = wire::AsymmetricDecryptRequest {
        version: 3,
        ..named
    };
    assert_refused(
        decrypt(&world, unknown).await,
        Code::NotFound,
        "VERSION_NOT_FOUND",
    );
    let get = wire::GetKeyRequest {
        name: name.to_owned(),
        ..wire::GetKeyRequest::default()
    };
    let key = world.keys("admin").get_key(get).await.unwrap().into_inner();
    let uses: Vec<u64> = key.versions.iter().map(|version| version.uses).collect();
    assert_eq!(uses, [3, 1], "what failed is not counted");
}

/// Whoever is told why decrypts, a question at a time (Bleichenbacher, Manger).
#[tokio::test]
async fn what_does_not_open_says_nothing_of_why() {
    let world = World::unsealed().await;
    let name = "demo/inbox";
    created(&world, name, Algorithm::RsaOaep2048).await;
    created(&world, "demo/other", Algorithm::RsaOaep2048).await;
    let blob = encrypt(&world, name, b"label", b"canary").await;
    let mut wrong = vec![
        to_decrypt(name, &blob, b""),
        to_decrypt(name, &blob, b"labe"),
        to_decrypt(
            name,
            &encrypt(&world, "demo/other", b"label", b"x").await,
            b"label",
        ),
        to_decrypt(name, &[0; 256], b"label"),
        to_decrypt(name, &[0xff; 256], b"label"),
    ];
    for place in [0, 1, 128, 255] {
        let mut changed = blob.clone();
        changed[place] ^= 1;
        wrong.push(to_decrypt(name, &changed, b"label"));
    }
    let count = u32::try_from(wrong.len()).unwrap();
    let before = world.log().await.len();
    // All at once: equal refusals wait for each other for up to a second.
    let answers = futures::future::join_all(wrong.into_iter().map(|it| decrypt(&world, it))).await;
    let texts = answers
        .into_iter()
        .map(|it| assert_refused(it, Code::InvalidArgument, "CIPHERTEXT_INVALID"));
    let texts: std::collections::BTreeSet<String> = texts.collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    let log = world.log().await;
    let records = &log[before..];
    assert!(
        records
            .iter()
            .all(|it| it.outcome == 3 && it.reason == "CIPHERTEXT_INVALID")
    );
    assert_eq!(records.iter().map(|it| it.count).sum::<u32>(), count);
    for length in [0, 255, 257, 384] {
        let answer = decrypt(&world, to_decrypt(name, &vec![1; length], b"")).await;
        let text = assert_refused(answer, Code::InvalidArgument, "CIPHERTEXT_INVALID");
        assert!(text.contains("has 256 bytes"), "{text}");
    }
    let before = world.log().await.len();
    let answer = decrypt(&world, to_decrypt(name, &blob, &[7; 1_025])).await;
    let text = assert_refused(answer, Code::InvalidArgument, "INVALID_REQUEST");
    assert!(text.starts_with("label: at most 1024 bytes"), "{text}");
    assert_eq!(world.log().await.len(), before);
}

#[tokio::test]
async fn encapsulated_secrets_are_opened() {
    let world = World::unsealed().await;
    let name = "demo/quantum";
    created(&world, name, Algorithm::MlKem768).await;
    let public = public_key(&world, name).await;
    assert_eq!(public.jwk, "", "none is settled");
    assert!(public.pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    let key = PublicKey::from_spki(&public.der).unwrap();
    let (blob, secret) = EncapsulationKey::new(&key)
        .ok()
        .unwrap()
        .encapsulate()
        .ok()
        .unwrap();
    let opened = decapsulate(&world, name, &blob).await.unwrap();
    assert_eq!(
        (opened.shared_secret.as_slice(), opened.version),
        (&secret.expose()[..], 1)
    );
    let expected = ("Decapsulate".to_owned(), 1, String::new(), 1);
    assert_eq!(last_record(&world).await, expected);
    // Rejected implicitly: a secret that nobody else has, and the same each time.
    let mut changed = blob.clone();
    changed[500] ^= 1;
    let other = decapsulate(&world, name, &changed)
        .await
        .unwrap()
        .shared_secret;
    assert_eq!(other.len(), 32);
    assert_ne!(other, opened.shared_secret);
    let again = decapsulate(&world, name, &changed)
        .await
        .unwrap()
        .shared_secret;
    assert_eq!(again, other);
    for length in [0, 1_087, 1_089] {
        let answer = decapsulate(&world, name, &vec![1; length]).await;
        let text = assert_refused(answer, Code::InvalidArgument, "CIPHERTEXT_INVALID");
        assert!(text.contains("has 1088 bytes"), "{text}");
    }
}

/// Public keys that no key of that kind agrees with.
pub(crate) fn bad_peers(kind: AgreementKind) -> Vec<(&'static str, Vec<u8>)> {
    let own = peer(kind, 8).public_key().spki();
    let other = match kind {
        AgreementKind::X25519 => AgreementKind::EcdhP256,
        AgreementKind::EcdhP256 => AgreementKind::X25519,
    };
    let mut bad = vec![
        ("none", Vec::new()),
        ("garbage", vec![0x30; 91]),
        ("of the other curve", peer(other, 8).public_key().spki()),
        ("cut short", own[..own.len() - 1].to_vec()),
        ("with something behind", [&own[..], &[0]].concat()),
    ];
    match kind {
        AgreementKind::X25519 => {
            for (what, first) in [("of order 4", 0), ("of order 1", 1)] {
                let mut low = [0; 32];
                low[0] = first;
                let low = PublicKey::from_raw(PublicKind::X25519, &low).unwrap();
                bad.push((what, low.spki()));
            }
        }
        AgreementKind::EcdhP256 => {
            let mut off_curve = own.clone();
            *off_curve.last_mut().unwrap() ^= 1;
            bad.push(("off the curve", off_curve));
            let mut infinity = own;
            infinity[27..].fill(0);
            bad.push(("the point at infinity", infinity));
        }
    }
    bad
}

#[tokio::test]
async fn both_sides_agree_and_bad_points_are_refused() {
    let world = World::unsealed().await;
    for (name, algorithm, kind, crv) in [
        ("demo/x", Algorithm::X25519, AgreementKind::X25519, "X25519"),
        (
            "demo/p",
            Algorithm::EcdhP256,
            AgreementKind::EcdhP256,
            "P-256",
        ),
    ] {
        created(&world, name, algorithm).await;
        let public = public_key(&world, name).await;
        assert!(
            public.jwk.contains(&format!("\"crv\":\"{crv}\"")),
            "{}",
            public.jwk
        );
        let ours = PublicKey::from_spki(&public.der).unwrap();
        let theirs = peer(kind, 7);
        let secret = theirs.agree(&ours).ok().unwrap();
        let agreed = derive(&world, name, &theirs.public_key().spki())
            .await
            .unwrap();
        assert_eq!(
            (agreed.shared_secret.as_slice(), agreed.version),
            (&secret.expose()[..], 1)
        );
        let expected = ("DeriveSharedSecret".to_owned(), 1, String::new(), 1);
        assert_eq!(last_record(&world).await, expected);

        let before = world.log().await.len();
        let bad = bad_peers(kind);
        let count = u32::try_from(bad.len()).unwrap();
        let answers = bad.into_iter().map(|(what, spki)| {
            let world = &world;
            async move { (what, derive(world, name, &spki).await) }
        });
        for (what, answer) in futures::future::join_all(answers).await {
            assert!(answer.is_err(), "{what}: {answer:?}");
            assert_refused(answer, Code::InvalidArgument, "PUBLIC_KEY_INVALID");
        }
        let log = world.log().await;
        let records = &log[before..];
        assert!(
            records
                .iter()
                .all(|it| it.outcome == 3 && it.reason == "PUBLIC_KEY_INVALID")
        );
        assert_eq!(records.iter().map(|it| it.count).sum::<u32>(), count);
        let answer = derive(&world, name, &[0x30; 4_097]).await;
        let text = assert_refused(answer, Code::InvalidArgument, "INVALID_REQUEST");
        assert!(
            text.starts_with("peer_public_key: at most 4096 bytes"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn each_key_serves_its_own_operation() {
    let world = World::unsealed().await;
    let rsa = ("demo/rsa", Algorithm::RsaOaep2048);
    let (kem, agreement) = (
        ("demo/kem", Algorithm::MlKem768),
        ("demo/x", Algorithm::X25519),
    );
    let signing = ("demo/signs", Algorithm::Rsa2048);
    for (name, algorithm) in [rsa, kem, agreement, signing] {
        created(&world, name, algorithm).await;
    }
    let precondition = Code::FailedPrecondition;
    for name in ["demo/first", kem.0, agreement.0, signing.0] {
        let answer = decrypt(&world, to_decrypt(name, &[1; 256], b"")).await;
        assert_refused(answer, precondition, "KEY_PURPOSE");
    }
    let answer = decrypt(&world, to_decrypt(kem.0, &[1; 256], b"")).await;
    let text = answer.unwrap_err().message().to_owned();
    assert!(text.contains("ASYMMETRIC-DECRYPT (ML-KEM-768)"), "{text}");
    assert!(text.contains("of another algorithm"), "{text}");
    for name in ["demo/first", rsa.0, agreement.0, signing.0] {
        let answer = decapsulate(&world, name, &[1; 1_088]).await;
        assert_refused(answer, precondition, "KEY_PURPOSE");
    }
    let theirs = peer(AgreementKind::X25519, 7).public_key().spki();
    for name in ["demo/first", rsa.0, kem.0, signing.0] {
        assert_refused(
            derive(&world, name, &theirs).await,
            precondition,
            "KEY_PURPOSE",
        );
    }
    for name in [rsa.0, kem.0, agreement.0] {
        let answer = world.encrypt("app", name, b"x").await;
        assert_refused(answer, precondition, "KEY_PURPOSE");
        let sign = wire::SignRequest {
            key: name.to_owned(),
            input: Some(wire::sign_request::Input::Message(b"x".to_vec())),
            ..wire::SignRequest::default()
        };
        let answer = world.crypto("app").sign(sign).await;
        assert_refused(answer, precondition, "KEY_PURPOSE");
    }
}

#[tokio::test]
async fn states_allow_what_is_processing() {
    let world = World::unsealed().await;
    let (rsa, x) = ("demo/rsa", "demo/x");
    created(&world, rsa, Algorithm::RsaOaep2048).await;
    created(&world, x, Algorithm::X25519).await;
    let blob = encrypt(&world, rsa, b"", b"canary").await;
    let theirs = peer(AgreementKind::X25519, 7).public_key().spki();
    let secret = derive(&world, x, &theirs).await.unwrap().shared_secret;
    for name in [rsa, x] {
        step(&world, name, wire::KeyState::Suspended).await;
    }
    let opened = decrypt(&world, to_decrypt(rsa, &blob, b"")).await.unwrap();
    assert_eq!(opened.plaintext, b"canary");
    assert_eq!(
        derive(&world, x, &theirs).await.unwrap().shared_secret,
        secret
    );
    step(&world, rsa, wire::KeyState::Compromised).await;
    step(&world, x, wire::KeyState::Deactivated).await;
    let answer = decrypt(&world, to_decrypt(rsa, &blob, b"")).await;
    assert_refused(answer, Code::PermissionDenied, "KEY_COMPROMISED");
    let answer = derive(&world, x, &theirs).await;
    assert_refused(answer, Code::FailedPrecondition, "KEY_STATE");
    assert_eq!(
        public_key(&world, x).await.version,
        1,
        "it is still given out"
    );
}

#[tokio::test]
async fn no_secret_leaves_without_its_record() {
    let world = World::unsealed().await;
    created(&world, "demo/x", Algorithm::X25519).await;
    let theirs = peer(AgreementKind::X25519, 7).public_key().spki();
    derive(&world, "demo/x", &theirs).await.unwrap();
    world.fill_disk(true);
    let refused = derive(&world, "demo/x", &theirs).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
}

/// As a client library asks.
#[tokio::test]
#[expect(clippy::wildcard_enum_match_arm, reason = "all others fail the test")]
async fn a_session_carries_them() {
    let world = World::unsealed().await;
    created(&world, "demo/rsa", Algorithm::RsaOaep2048).await;
    created(&world, "demo/kem", Algorithm::MlKem768).await;
    created(&world, "demo/p", Algorithm::EcdhP256).await;
    let blob = encrypt(&world, "demo/rsa", b"", b"canary").await;
    let theirs = peer(AgreementKind::EcdhP256, 7).public_key().spki();
    let decapsulate = wire::DecapsulateRequest {
        key: "demo/kem".to_owned(),
        ciphertext: vec![1; 1_088],
        ..wire::DecapsulateRequest::default()
    };
    let derive = wire::DeriveSharedSecretRequest {
        key: "demo/p".to_owned(),
        peer_public_key: theirs,
        ..wire::DeriveSharedSecretRequest::default()
    };
    let uses = [
        use_request::Use::AsymmetricDecrypt(to_decrypt("demo/rsa", &blob, b"")),
        use_request::Use::Decapsulate(decapsulate),
        use_request::Use::DeriveSharedSecret(derive),
        use_request::Use::AsymmetricDecrypt(to_decrypt("demo/kem", &blob, b"")),
    ];
    let requests = (0..).zip(uses).map(|(id, asked)| wire::UseRequest {
        id,
        r#use: Some(asked),
        ..wire::UseRequest::default()
    });
    let requests: Vec<_> = requests.collect();
    let mut crypto = world.crypto("app");
    let answer = crypto.session(futures::stream::iter(requests)).await;
    let mut replies = answer.unwrap().into_inner();
    let mut answered = 0;
    while let Some(reply) = replies.message().await.unwrap() {
        let secret = match reply.result.unwrap() {
            use_reply::Result::AsymmetricDecrypt(it) => it.plaintext.len(),
            use_reply::Result::Decapsulate(it) => it.shared_secret.len(),
            use_reply::Result::DeriveSharedSecret(it) => it.shared_secret.len(),
            use_reply::Result::Error(it) => {
                assert_eq!(it.reason, "KEY_PURPOSE");
                0
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(secret, [6, 32, 32, 0][usize::try_from(reply.id).unwrap()]);
        answered += 1;
    }
    assert_eq!(answered, 4);
}

/// Else whoever changes a disk would have others encrypt to a key of his own.
#[tokio::test]
async fn a_swapped_public_key_is_tampering() {
    let mut world = World::unsealed().await;
    created(&world, "demo/x", Algorithm::X25519).await;
    created(&world, "demo/y", Algorithm::X25519).await;
    let (x, y) = (
        public_key(&world, "demo/x").await,
        public_key(&world, "demo/y").await,
    );
    world.stop().await;
    replace(&world, &x.der, &y.der);
    world.run().await;
    world.submit(0).await.unwrap();
    world.submit(1).await.unwrap();
    let theirs = peer(AgreementKind::X25519, 7).public_key().spki();
    let answer = derive(&world, "demo/x", &theirs).await;
    assert_refused(answer, Code::DataLoss, "MATERIAL_TAMPERED");
    derive(&world, "demo/y", &theirs).await.unwrap();
}

#[tokio::test]
async fn what_the_hsm_lacks_is_not_created() {
    let world = World::unsealed().await;
    for algorithm in [
        Algorithm::RsaOaep2048,
        Algorithm::RsaOaep3072,
        Algorithm::RsaOaep4096,
        Algorithm::EcdhP256,
        Algorithm::X25519,
        Algorithm::MlKem768,
    ] {
        let answer = create(&world, "demo/hsm", algorithm, wire::Protection::Hsm).await;
        let text = assert_refused(answer, Code::FailedPrecondition, "HSM_NOT_OFFERED");
        assert!(text.contains("protection SOFTWARE"), "{text}");
    }
    created(&world, "demo/hsm", Algorithm::X25519).await;
}
