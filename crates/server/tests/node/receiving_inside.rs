//! Keys inside the HSM that open what others made, and that agree.

use crate::pair_hsm::PairHsm;
use crate::receiving::{bad_peers, create, decrypt, derive, encrypt, peer, public_key, to_decrypt};
use crate::world::{World, reason};
use conclave_crypto::PublicKey;
use conclave_crypto::agree::AgreementKind;
use conclave_proto::v1 as wire;
use std::collections::BTreeSet;
use tonic::Code;
use wire::{Algorithm, Protection};

#[tokio::test]
async fn an_hsm_decrypts_what_others_encrypt() {
    let world = World::unsealed_behind(PairHsm::before).await;
    let name = "demo/inbox";
    let key = create(&world, name, Algorithm::RsaOaep2048, Protection::Hsm).await;
    assert_eq!(key.unwrap().protection(), Protection::Hsm);
    for (label, plaintext) in [(&b""[..], vec![7; 190]), (b"order 17", Vec::new())] {
        let blob = encrypt(&world, name, label, &plaintext).await;
        let opened = decrypt(&world, to_decrypt(name, &blob, label))
            .await
            .unwrap();
        assert_eq!(opened.plaintext, plaintext);
    }
    // The module has forgotten the key: it is loaded again.
    world.forget_pairs().await;
    let blob = encrypt(&world, name, b"label", b"canary").await;
    let opened = decrypt(&world, to_decrypt(name, &blob, b"label"))
        .await
        .unwrap();
    assert_eq!(opened.plaintext, b"canary");
    let mut texts = BTreeSet::new();
    let mut changed = blob.clone();
    changed[9] ^= 1;
    for (blob, label) in [
        (&blob, &b""[..]),
        (&changed, b"label"),
        (&vec![0xff; 256], b"label"),
    ] {
        let refused = decrypt(&world, to_decrypt(name, blob, label))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(reason(&refused), "CIPHERTEXT_INVALID");
        texts.insert(refused.message().to_owned());
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
    let refused = decrypt(&world, to_decrypt(name, &blob[1..], b"label"))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "CIPHERTEXT_INVALID");
    assert!(refused.message().contains("has 256 bytes"), "{refused}");
    for algorithm in [Algorithm::RsaOaep3072, Algorithm::RsaOaep4096] {
        let refused = create(&world, "demo/no", algorithm, Protection::Hsm)
            .await
            .unwrap_err();
        assert_eq!(
            reason(&refused),
            "HSM_NOT_OFFERED",
            "it offers the other size only"
        );
    }
}

#[tokio::test]
async fn an_hsm_agrees_with_others() {
    let world = World::unsealed_behind(PairHsm::before).await;
    let name = "demo/line";
    let created = create(&world, name, Algorithm::EcdhP256, Protection::Hsm).await;
    created.unwrap();
    let ours = PublicKey::from_spki(&public_key(&world, name).await.der).unwrap();
    let theirs = peer(AgreementKind::EcdhP256, 7);
    let secret = theirs.agree(&ours).ok().unwrap();
    for _ in 0..2 {
        let agreed = derive(&world, name, &theirs.public_key().spki())
            .await
            .unwrap();
        assert_eq!(agreed.shared_secret.as_slice(), secret.expose());
        world.forget_pairs().await;
    }
    for (what, spki) in bad_peers(AgreementKind::EcdhP256) {
        let refused = derive(&world, name, &spki).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}");
        assert_eq!(reason(&refused), "PUBLIC_KEY_INVALID", "{what}: {refused}");
    }
}
