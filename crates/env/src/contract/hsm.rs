//! The promises of [`Hsm`].

mod imports;
mod outside;
mod pairs;

use crate::limits::{SECRET_BYTES_MAX, SECRET_BYTES_MIN};
use crate::{Hsm, HsmError, HsmKey, HsmKeyKind};
use std::collections::BTreeSet;
use std::sync::Arc;

const LABEL: &str = "contract-root";
const ROOT: [u8; 32] = [0x5A; 32];

/// RFC 4231, test case 1: the key is 20 times 0x0b. HMAC pads a key with zero bytes to its block, so 32 bytes, of
/// which the last 12 are zero, are the same key.
const RFC_4231_CASE_1: [u8; 32] = [
    0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1, 0x2b,
    0x88, 0x1d, 0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7, 0x26, 0xe9, 0x37, 0x6c, 0x2e, 0x32, 0xcf, 0xf7,
];

/// Runs the suite on two modules that share nothing but what is imported into both.
pub async fn hsm_contract(one: Arc<dyn Hsm>, two: Arc<dyn Hsm>) {
    randomness_differs(&*one).await;
    hmac_is_the_rfcs(&*one).await;
    modules_of_one_root_understand_each_other(&*one, &*two).await;
    secrets_of_every_length_come_back(&*one, &*two).await;
    damaged_input_is_refused_and_harms_nobody(&*one).await;
    destroyed_keys_are_gone(&*one).await;
    pairs::kinds_keep_their_promises(&one, &*two).await;
    imports::keys_come_from_outside(&*one, &*two).await;
    many_calls_at_once(Arc::clone(&one)).await;
    clearing_removes_everything(&*one).await;
}

async fn import(hsm: &dyn Hsm) -> HsmKey {
    hsm.import_root(LABEL, &ROOT).await.unwrap()
}

async fn hmac(hsm: &dyn Hsm, key: HsmKey, message: &[u8]) -> Result<[u8; 32], HsmError> {
    let mut out = [0; 32];
    hsm.hmac_sha256(key, message, &mut out).await.map(|()| out)
}

async fn randomness_differs(hsm: &dyn Hsm) {
    hsm.ping().await.unwrap();
    assert!(!hsm.description().is_empty());
    let (mut one, mut two) = ([0; 64], [0; 64]);
    hsm.random(&mut one).await.unwrap();
    hsm.random(&mut two).await.unwrap();
    assert_ne!(one, two);
}

async fn hmac_is_the_rfcs(hsm: &dyn Hsm) {
    let root = import(hsm).await;
    let mut secret = [0; 32];
    secret[..20].fill(0x0b);
    let wrapped = hsm.wrap_secret(root, &secret).await.unwrap();
    let key = hsm.unwrap(root, &wrapped, HsmKeyKind::Mac).await.unwrap();
    assert_eq!(hmac(hsm, key, b"Hi There").await.unwrap(), RFC_4231_CASE_1);
}

async fn modules_of_one_root_understand_each_other(one: &dyn Hsm, two: &dyn Hsm) {
    let (root_one, root_two) = (import(one).await, import(two).await);
    let kek = one
        .generate_wrapped(root_one, HsmKeyKind::Kek)
        .await
        .unwrap();
    let kek_one = one.unwrap(root_one, &kek, HsmKeyKind::Kek).await.unwrap();
    let kek_two = two.unwrap(root_two, &kek, HsmKeyKind::Kek).await.unwrap();
    let mac = two
        .generate_wrapped(kek_two, HsmKeyKind::Mac)
        .await
        .unwrap();
    let another = two
        .generate_wrapped(kek_two, HsmKeyKind::Mac)
        .await
        .unwrap();
    assert_ne!(mac, another);
    let mac_one = one.unwrap(kek_one, &mac, HsmKeyKind::Mac).await.unwrap();
    let mac_two = two.unwrap(kek_two, &mac, HsmKeyKind::Mac).await.unwrap();
    let tag = hmac(one, mac_one, b"message").await.unwrap();
    assert_eq!(tag, hmac(two, mac_two, b"message").await.unwrap());
    assert_ne!(tag, hmac(two, mac_two, b"another").await.unwrap());
    // A key that never leaves is never given out as a secret's wrap either: both are blobs, but bound to a KEK.
    let wrong = one.unwrap(root_one, &mac, HsmKeyKind::Mac).await;
    assert!(matches!(wrong, Err(HsmError::Refused { .. })), "{wrong:?}");
}

async fn secrets_of_every_length_come_back(one: &dyn Hsm, two: &dyn Hsm) {
    let (root_one, root_two) = (import(one).await, import(two).await);
    for length in [SECRET_BYTES_MIN, 24, 32, 40, 48, 56, SECRET_BYTES_MAX] {
        let secret: Vec<u8> = (1..=u8::try_from(length).unwrap()).collect();
        let wrapped = one.wrap_secret(root_one, &secret).await.unwrap();
        assert_eq!(wrapped.len(), length.div_ceil(8) * 8 + 8, "RFC 5649");
        let mut out = vec![0; length];
        two.unwrap_secret(root_two, &wrapped, &mut out)
            .await
            .unwrap();
        assert_eq!(out, secret);
        for wrong in [length - 1, length + 1] {
            let mut out = vec![0; wrong];
            let result = two.unwrap_secret(root_two, &wrapped, &mut out).await;
            assert!(
                matches!(result, Err(HsmError::Refused { .. })),
                "{result:?}"
            );
            assert!(out.iter().all(|byte| *byte == 0), "nothing is given out");
        }
    }
    for length in [
        0,
        8,
        SECRET_BYTES_MIN - 1,
        17,
        31,
        33,
        63,
        SECRET_BYTES_MAX + 1,
        72,
    ] {
        let result = one.wrap_secret(root_one, &vec![1; length]).await;
        assert!(
            matches!(result, Err(HsmError::Refused { .. })),
            "{length}: {result:?}"
        );
    }
}

async fn damaged_input_is_refused_and_harms_nobody(hsm: &dyn Hsm) {
    let root = import(hsm).await;
    let stranger = hsm.import_root("contract-other", &[1; 32]).await.unwrap();
    let wrapped = hsm.wrap_secret(root, &[7; 32]).await.unwrap();
    let mut inputs = vec![
        Vec::new(),
        vec![0; 8],
        vec![0; 39],
        vec![0; 40],
        vec![0; 1 << 20],
    ];
    for at in 0..wrapped.len() {
        let mut damaged = wrapped.clone();
        damaged[at] ^= 1;
        inputs.push(damaged);
    }
    inputs.push(wrapped[..32].to_vec());
    inputs.push([&wrapped[..], &[0; 8]].concat());
    let mut out = [0; 32];
    for input in &inputs {
        for kind in [HsmKeyKind::Kek, HsmKeyKind::Mac] {
            let result = hsm.unwrap(root, input, kind).await;
            assert!(
                matches!(result, Err(HsmError::Refused { .. })),
                "{result:?}"
            );
        }
        let result = hsm.unwrap_secret(root, input, &mut out).await;
        assert!(
            matches!(result, Err(HsmError::Refused { .. })),
            "{result:?}"
        );
    }
    let result = hsm.unwrap_secret(stranger, &wrapped, &mut out).await;
    assert!(
        matches!(result, Err(HsmError::Refused { .. })),
        "{result:?}"
    );
    assert_eq!(out, [0; 32]);
    let short = hsm.wrap_secret(root, &[7; 16]).await.unwrap();
    for kind in [HsmKeyKind::Kek, HsmKeyKind::Mac] {
        let result = hsm.unwrap(root, &short, kind).await;
        assert!(
            matches!(result, Err(HsmError::Refused { .. })),
            "128 bits: {result:?}"
        );
    }
    // The session has survived all of it.
    hsm.check(root).await.unwrap();
    hsm.unwrap_secret(root, &wrapped, &mut out).await.unwrap();
    assert_eq!(out, [7; 32]);
}

async fn destroyed_keys_are_gone(hsm: &dyn Hsm) {
    let root = import(hsm).await;
    let wrapped = hsm.generate_wrapped(root, HsmKeyKind::Mac).await.unwrap();
    let key = hsm.unwrap(root, &wrapped, HsmKeyKind::Mac).await.unwrap();
    let twin = hsm.unwrap(root, &wrapped, HsmKeyKind::Mac).await.unwrap();
    assert_ne!(key, twin);
    hsm.destroy(key).await.unwrap();
    hsm.destroy(key).await.unwrap();
    assert_eq!(hmac(hsm, key, b"x").await, Err(HsmError::KeyGone));
    assert_eq!(hsm.check(key).await, Err(HsmError::KeyGone));
    hmac(hsm, twin, b"x").await.unwrap();
    hsm.check(root).await.unwrap();
    assert_eq!(hsm.check(HsmKey(u64::MAX)).await, Err(HsmError::KeyGone));
}

async fn many_calls_at_once(hsm: Arc<dyn Hsm>) {
    let root = import(&*hsm).await;
    let wrapped = hsm.generate_wrapped(root, HsmKeyKind::Mac).await.unwrap();
    let key = hsm.unwrap(root, &wrapped, HsmKeyKind::Mac).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50_u8 {
        let hsm = Arc::clone(&hsm);
        let wrapped = wrapped.clone();
        tasks.spawn(async move {
            let own = hsm.unwrap(root, &wrapped, HsmKeyKind::Mac).await.unwrap();
            let tag = hmac(&*hsm, own, &[number]).await.unwrap();
            assert_eq!(tag, hmac(&*hsm, key, &[number]).await.unwrap());
            hsm.destroy(own).await.unwrap();
            tag
        });
    }
    let tags: BTreeSet<[u8; 32]> = tasks.join_all().await.into_iter().collect();
    assert_eq!(tags.len(), 50, "no answer went to another caller");
}

async fn clearing_removes_everything(hsm: &dyn Hsm) {
    let root = import(hsm).await;
    let wrapped = hsm.generate_wrapped(root, HsmKeyKind::Mac).await.unwrap();
    let key = hsm.unwrap(root, &wrapped, HsmKeyKind::Mac).await.unwrap();
    hsm.clear().await.unwrap();
    let mut out = [0; 32];
    assert_eq!(hsm.check(root).await, Err(HsmError::KeyGone));
    assert_eq!(hmac(hsm, key, b"x").await, Err(HsmError::KeyGone));
    assert_eq!(hsm.wrap_secret(root, &out).await, Err(HsmError::KeyGone));
    assert_eq!(
        hsm.unwrap_secret(root, &wrapped, &mut out).await,
        Err(HsmError::KeyGone)
    );
    assert_eq!(hsm.find_root(LABEL).await, Ok(None));
    let again = import(hsm).await;
    assert_ne!(again, root, "a handle is never used twice");
    let key = hsm.unwrap(again, &wrapped, HsmKeyKind::Mac).await.unwrap();
    hmac(hsm, key, b"x").await.unwrap();
    hsm.clear().await.unwrap();
}
