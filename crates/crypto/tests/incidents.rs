//! Classes of what has been exploited in systems like this one, as far as they concern this crate.
#![allow(clippy::unwrap_used, reason = "a test that is wrong may panic")]

use conclave_core::{EncryptionContext, Generation, KeyId, SetId, VersionNumber};
use conclave_crypto::message::{open, prk_software, seal};
use conclave_crypto::share::{combine, split};
use conclave_crypto::wrap::{unwrap_material, wrap_material};
use conclave_crypto::{
    Binding, CryptoError, KeyMaterial, RootKey, Share, ShareFile, ShareSet, SoftwareKek, Suite,
    decrypt_with, encrypt_to, generate_identity,
};

const CANARY: &str = "CANARYCANARYCANARYCANARYCANARY01";

/// Neither as text, nor in hexadecimal, nor as a list of numbers.
fn assert_silent(error: &CryptoError) {
    let shown = format!("{error} {error:?} {error:#?}").to_lowercase();
    let (hex, list) = (hex::encode("CANARY"), format!("{:?}", b"CANARY"));
    for secret in ["canary", &hex, list.trim_matches(['[', ']'])] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn secrets_in_debug_output_and_errors() {
    let canary = || CANARY.as_bytes().try_into().unwrap();
    let set = ShareSet {
        set_id: SetId([1; 16]),
        generation: Generation(1),
        threshold: 2,
        count: 3,
    };
    let shares = split(&RootKey::from_fn(|out| *out = canary()), &set).unwrap();
    let other = ShareSet {
        generation: Generation(2),
        ..set
    };
    let root = combine(&[&shares[0], &shares[1]], &other).err().unwrap();
    assert_silent(&root.into());
    assert_silent(&Share::from_bytes(CANARY.as_bytes()).err().unwrap().into());

    for file in [
        CANARY.to_owned(),
        format!("conclave-share-v1\ncluster: {CANARY}\n"),
        format!("conclave-share-v{CANARY}\n"),
    ] {
        assert_silent(&ShareFile::parse(file.as_bytes()).err().unwrap());
    }

    let (_, recipient) = generate_identity();
    let encrypted = encrypt_to(&recipient, CANARY.as_bytes()).unwrap();
    let identity = format!("AGE-SECRET-KEY-1{CANARY}");
    assert_silent(&decrypt_with(&identity, &encrypted).err().unwrap());
    assert_silent(&encrypt_to(&identity, b"").err().unwrap());

    let binding = Binding {
        cluster: conclave_core::ClusterId([1; 16]),
        key: KeyId([1; 16]),
        version: VersionNumber(1),
        algorithm: "AES-256-GCM",
        protection: "SOFTWARE",
        purpose: "encrypt",
    };
    let material = KeyMaterial::from_fn(|out| *out = canary());
    let kek = SoftwareKek::from_fn(|out| *out = canary());
    let wrapped = wrap_material(&kek, [1; 12], &binding, &material);
    let elsewhere = Binding {
        purpose: "sign",
        ..binding
    };
    assert_silent(&unwrap_material(&kek, &elsewhere, &wrapped).err().unwrap());

    let prk = prk_software(&material, &[1; 32]);
    let (context, version) = (EncryptionContext::default(), VersionNumber(1));
    let suite = Suite::Aes256GcmHkdf;
    let text = CANARY.as_bytes();
    let blob = seal(
        &prk,
        suite,
        KeyId([1; 16]),
        version,
        &[1; 32],
        &context,
        text,
        text,
    )
    .unwrap();
    assert_silent(&open(&prk, &blob, &context, b"").err().unwrap());
}

#[test]
fn two_names_one_identity() {
    let context =
        |name: &str| EncryptionContext::new([(name.to_owned(), String::new())].into()).unwrap();
    let prk = prk_software(&KeyMaterial::from_fn(|out| out.fill(1)), &[1; 32]);
    let (id, version, suite) = (KeyId([1; 16]), VersionNumber(1), Suite::Aes256GcmHkdf);
    // Case, space, and the two Unicode spellings of é.
    let twins = [
        "caf\u{e9}",
        "cafe\u{301}",
        "Caf\u{e9}",
        "caf\u{e9} ",
        " caf\u{e9}",
    ];
    for one in twins {
        let blob = seal(&prk, suite, id, version, &[1; 32], &context(one), b"", b"x").unwrap();
        for other in twins {
            let opened = open(&prk, &blob, &context(other), b"");
            assert_eq!(opened.is_ok(), one == other, "{one:?} {other:?}");
        }
    }
}
