//! PKCS#11 keeps the contract, on SoftHSM2.

#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(feature = "pkcs11")]

use conclave_env::contract::hsm_contract;
use conclave_env::hsm::{HsmHash, OaepHash, RsaSize, SignatureScheme};
use conclave_env::mem::MemHsm;
use conclave_env::os::{Import, Pin, Pkcs11Config, Pkcs11Hsm, Residency};
use conclave_env::{Hsm, HsmError, HsmKeyKind};
use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use ring::digest::{SHA512, digest};
use ring::signature::{RSA_PSS_2048_8192_SHA512, UnparsedPublicKey};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// The module finds its tokens by an environment variable, and is loaded once a process; so each test runs itself
/// again in a process that has the variable.
fn in_own_process(test: &str, labels: &[&str]) -> Option<PathBuf> {
    let module = MODULES.iter().map(PathBuf::from).find(|path| path.exists());
    let module = module.expect("SoftHSM2 is installed (apt install softhsm2)");
    if std::env::var_os("CONCLAVE_TEST_TOKENS").is_some() {
        return Some(module);
    }
    let dir = tempfile::tempdir().unwrap();
    let (config, tokens) = (dir.path().join("softhsm2.conf"), dir.path().join("tokens"));
    std::fs::create_dir(&tokens).unwrap();
    let output = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&config, output).unwrap();
    for label in labels {
        let made = Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                label,
                "--pin",
                "1234",
                "--so-pin",
                "5678",
            ])
            .env("SOFTHSM2_CONF", &config)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SOFTHSM2_CONF", &config)
        .env("CONCLAVE_TEST_TOKENS", &tokens)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(
        run.status.success(),
        "{output}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(output.contains("1 passed"), "{output}");
    None
}

fn config(module: &Path, token: &str) -> Pkcs11Config {
    Pkcs11Config {
        module: module.to_owned(),
        token: token.to_owned(),
        pin: Pin::new("1234".to_owned()),
        residency: Residency::Session,
        import: Import::CreateObject,
        threads: 2,
        queue_max: 1024,
    }
}

fn open_error(config: Pkcs11Config) -> HsmError {
    Pkcs11Hsm::open(config).err().expect("it must not open")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_keep_the_contract() {
    let Some(module) = in_own_process("two_tokens_keep_the_contract", &["one", "two"]) else {
        return;
    };
    let one = Pkcs11Hsm::open(config(&module, "one")).unwrap();
    let mut by_rsa = config(&module, "two");
    by_rsa.residency = Residency::Token;
    by_rsa.import = Import::UnwrapRsa;
    let two = Pkcs11Hsm::open(by_rsa).unwrap();
    assert!(one.description().contains("one"));
    let (one, two): (Arc<dyn Hsm>, Arc<dyn Hsm>) = (Arc::new(one), Arc::new(two));
    hsm_contract(Arc::clone(&one), Arc::clone(&two)).await;
    hsm_contract(two, one).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_are_interchangeable_with_the_in_process_module() {
    let test = "blobs_are_interchangeable_with_the_in_process_module";
    let Some(module) = in_own_process(test, &["one"]) else {
        return;
    };
    let one = Pkcs11Hsm::open(config(&module, "one")).unwrap();
    hsm_contract(Arc::new(one), Arc::new(MemHsm::seeded(1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let Some(module) = in_own_process("what_is_wrong_is_said", &["one"]) else {
        return;
    };
    let error = open_error(config(Path::new("/nowhere.so"), "one"));
    assert!(matches!(error, HsmError::ModuleMissing { .. }), "{error}");
    let error = open_error(config(&module, "two"));
    assert_eq!(
        error,
        HsmError::TokenMissing {
            label: "two".to_owned()
        }
    );
    let mut wrong = config(&module, "one");
    wrong.pin = Pin::new("4321-canary".to_owned());
    let error = open_error(wrong);
    assert_eq!(
        error,
        HsmError::WrongPin {
            label: "one".to_owned()
        }
    );
    assert!(!error.to_string().contains("4321-canary"));
    Pkcs11Hsm::open(config(&module, "one"))
        .unwrap()
        .ping()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_key_on_the_token_survives_a_restart_and_no_clearing() {
    let test = "a_root_key_on_the_token_survives_a_restart_and_no_clearing";
    let Some(module) = in_own_process(test, &["one"]) else {
        return;
    };
    let resident = || {
        let mut config = config(&module, "one");
        config.residency = Residency::Token;
        Pkcs11Hsm::open(config).unwrap()
    };
    let hsm = resident();
    assert_eq!(hsm.find_root("root").await, Ok(None));
    hsm.import_root("root", &[1; 32]).await.unwrap();
    let root = hsm.import_root("root", &[2; 32]).await.unwrap();
    let wrapped = hsm.generate_wrapped(root, HsmKeyKind::Mac).await.unwrap();
    drop(hsm);
    let hsm = resident();
    assert_eq!(
        hsm.check(root).await,
        Err(HsmError::KeyGone),
        "handles are of one life"
    );
    let root = hsm
        .find_root("root")
        .await
        .unwrap()
        .expect("it is on the token");
    assert_eq!(hsm.find_root("another").await, Ok(None));
    hsm.unwrap(root, &wrapped, HsmKeyKind::Mac).await.unwrap();
    hsm.clear().await.unwrap();
    assert_eq!(hsm.find_root("root").await, Ok(None));
    drop(hsm);
    assert_eq!(resident().find_root("root").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_pulled_out_is_noticed() {
    let Some(module) = in_own_process("a_token_pulled_out_is_noticed", &["one"]) else {
        return;
    };
    let hsm = Pkcs11Hsm::open(config(&module, "one")).unwrap();
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    hsm.check(root).await.unwrap();
    let tokens = PathBuf::from(std::env::var_os("CONCLAVE_TEST_TOKENS").unwrap());
    let away = tokens.with_extension("away");
    std::fs::rename(&tokens, &away).unwrap();
    let outcome = (
        hsm.ping().await,
        hsm.check(root).await,
        hsm.wrap_secret(root, &[7; 32]).await,
    );
    eprintln!("{outcome:?}");
    std::fs::rename(&away, &tokens).unwrap();
    hsm.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_busy() {
    let Some(module) = in_own_process("a_full_queue_answers_busy", &["one"]) else {
        return;
    };
    let mut narrow = config(&module, "one");
    (narrow.threads, narrow.queue_max) = (1, 1);
    let hsm = Pkcs11Hsm::open(narrow).unwrap();
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    let calls = (0..200).map(|_| hsm.generate_wrapped(root, HsmKeyKind::Kek));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().any(Result::is_ok));
    assert!(answers.contains(&Err(HsmError::Busy)));
    assert!(
        answers
            .iter()
            .all(|answer| answer.is_ok() || *answer == Err(HsmError::Busy))
    );
}

/// The module as another of its users in this process sees it.
fn look(module: &Path) -> (Pkcs11, Session) {
    let module = Pkcs11::new(module).unwrap();
    let slots = module.get_slots_with_initialized_token().unwrap();
    let session = module.open_rw_session(slots[0]).unwrap();
    (module, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_softhsm_lists_without_doing_it_is_not_offered() {
    let test = "what_softhsm_lists_without_doing_it_is_not_offered";
    let Some(module) = in_own_process(test, &["one"]) else {
        return;
    };
    let hsm = Pkcs11Hsm::open(config(&module, "one")).unwrap();
    let offered: Vec<_> = HsmKeyKind::ALL
        .into_iter()
        .filter(|kind| hsm.offers(*kind))
        .collect();
    // Release 2.6.1. It wraps no Edwards keys, and has OAEP with SHA-1 only.
    let expected = [
        HsmKeyKind::Kek,
        HsmKeyKind::Mac,
        HsmKeyKind::MacSha384,
        HsmKeyKind::MacSha512,
        HsmKeyKind::EcdsaP256,
        HsmKeyKind::EcdsaP384,
        HsmKeyKind::EcdhP256,
        HsmKeyKind::RsaSign(RsaSize::Bits2048),
        HsmKeyKind::RsaSign(RsaSize::Bits3072),
        HsmKeyKind::RsaSign(RsaSize::Bits4096),
        HsmKeyKind::RsaDecrypt(RsaSize::Bits2048, OaepHash::Sha1),
        HsmKeyKind::RsaDecrypt(RsaSize::Bits3072, OaepHash::Sha1),
        HsmKeyKind::RsaDecrypt(RsaSize::Bits4096, OaepHash::Sha1),
        HsmKeyKind::RsaUnwrap(RsaSize::Bits3072, OaepHash::Sha1),
        HsmKeyKind::RsaUnwrap(RsaSize::Bits4096, OaepHash::Sha1),
    ];
    assert_eq!(offered, expected);
    assert!(!hsm.takes_labels(), "it does not look at them");
    for kind in HsmKeyKind::ALL {
        let is_taken = hsm.offers(kind) && kind.may_be_imported();
        assert_eq!(hsm.imports(kind), is_taken, "{kind:?}");
    }
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    for (kind, mechanism) in [
        (HsmKeyKind::Ed25519, "CKM_EDDSA"),
        (
            HsmKeyKind::RsaDecrypt(RsaSize::Bits2048, OaepHash::Sha256),
            "CKM_RSA_PKCS_OAEP",
        ),
    ] {
        let made = hsm.generate_pair_wrapped(root, kind).await;
        assert_eq!(made, Err(HsmError::Unsupported { mechanism }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_inside_and_what_is_used_does_one_thing() {
    let test = "nothing_is_left_inside_and_what_is_used_does_one_thing";
    let Some(module) = in_own_process(test, &["one"]) else {
        return;
    };
    let hsm = Pkcs11Hsm::open(config(&module, "one")).unwrap();
    let (_module, session) = look(&module);
    let all = || session.find_objects(&[]).unwrap();
    assert_eq!(all(), [], "what was tried at the start is gone");
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    let (public, mut shared) = ([&[4], &[7; 64][..]].concat(), [0; 32]);
    for kind in HsmKeyKind::ALL {
        if matches!(kind, HsmKeyKind::RsaSign(size) | HsmKeyKind::RsaDecrypt(size, _) if size != RsaSize::Bits2048)
            || matches!(kind, HsmKeyKind::RsaUnwrap(RsaSize::Bits4096, _))
        {
            continue;
        }
        let Ok(pair) = hsm.generate_pair_wrapped(root, kind).await else {
            assert_eq!(all().len(), 1, "{kind:?}: only the root key");
            continue;
        };
        assert_eq!(all().len(), 1, "{kind:?}: only the root key");
        for other in HsmKeyKind::ALL {
            if let Ok(key) = hsm.unwrap(root, &pair.private, other).await {
                hsm.destroy(key).await.unwrap();
            }
        }
        assert_eq!(all().len(), 1, "{kind:?}: what was no key is gone");
        let key = hsm.unwrap(root, &pair.private, kind).await.unwrap();
        let template = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
        let found = session.find_objects(&template).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(uses(&session, found[0]), expected_uses(kind), "{kind:?}");
        let derived = hsm.derive_ecdh(key, &public, &mut shared).await;
        assert!(derived.is_err(), "not on the curve, or not for this");
        for other in HsmKeyKind::ALL {
            // Also what unwraps, and then is no key.
            let imported = hsm.import_wrapped(key, root, &[7; 424], other).await;
            assert!(imported.is_err());
        }
        assert_eq!(all().len(), 2, "{kind:?}: the root key and this one");
        hsm.destroy(key).await.unwrap();
    }
}

fn uses(session: &Session, key: ObjectHandle) -> Vec<Attribute> {
    let types = [
        AttributeType::Token,
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::Sign,
        AttributeType::SignRecover,
        AttributeType::Decrypt,
        AttributeType::Unwrap,
        AttributeType::Derive,
    ];
    session.get_attributes(key, &types).unwrap()
}

fn expected_uses(kind: HsmKeyKind) -> Vec<Attribute> {
    let derives = kind == HsmKeyKind::EcdhP256;
    let decrypts = matches!(kind, HsmKeyKind::RsaDecrypt(..));
    let unwraps = matches!(kind, HsmKeyKind::RsaUnwrap(..));
    vec![
        Attribute::Token(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(!derives && !decrypts && !unwraps),
        Attribute::SignRecover(false),
        Attribute::Decrypt(decrypts),
        Attribute::Unwrap(unwraps),
        Attribute::Derive(derives),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_is_lost_with_the_session_and_comes_back_by_its_wrap() {
    let test = "a_private_key_is_lost_with_the_session_and_comes_back_by_its_wrap";
    let Some(module) = in_own_process(test, &["one"]) else {
        return;
    };
    let hsm = Pkcs11Hsm::open(config(&module, "one")).unwrap();
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    let kind = HsmKeyKind::EcdsaP256;
    let pair = hsm.generate_pair_wrapped(root, kind).await.unwrap();
    let key = hsm.unwrap(root, &pair.private, kind).await.unwrap();
    let sign = |key| hsm.sign(key, SignatureScheme::Ecdsa, &[7; 32]);
    sign(key).await.unwrap();
    // Whoever logs out does it for all sessions of the process, and destroys their keys.
    look(&module).1.logout().unwrap();
    let lost = sign(key).await;
    assert!(matches!(lost, Err(HsmError::Lost { .. })), "{lost:?}");
    assert_eq!(sign(key).await, Err(HsmError::KeyGone));
    let made = hsm.generate_pair_wrapped(root, kind).await;
    assert_eq!(made, Err(HsmError::KeyGone));
    hsm.ping().await.unwrap();
    assert_eq!(sign(key).await, Err(HsmError::KeyGone));
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    let key = hsm.unwrap(root, &pair.private, kind).await.unwrap();
    sign(key).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_busy_to_whoever_signs() {
    let test = "a_full_queue_answers_busy_to_whoever_signs";
    let Some(module) = in_own_process(test, &["one"]) else {
        return;
    };
    let mut narrow = config(&module, "one");
    (narrow.threads, narrow.queue_max) = (1, 1);
    let hsm = Pkcs11Hsm::open(narrow).unwrap();
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    let kind = HsmKeyKind::EcdsaP384;
    let pair = hsm.generate_pair_wrapped(root, kind).await.unwrap();
    let key = hsm.unwrap(root, &pair.private, kind).await.unwrap();
    let calls = (0..200).map(|_| hsm.sign(key, SignatureScheme::Ecdsa, &[7; 48]));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().any(Result::is_ok));
    assert!(answers.contains(&Err(HsmError::Busy)));
}

/// The one test that makes so long a key: it takes SoftHSM some seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_rsa_key_signs() {
    let Some(module) = in_own_process("the_longest_rsa_key_signs", &["one"]) else {
        return;
    };
    let hsm = Pkcs11Hsm::open(config(&module, "one")).unwrap();
    let root = hsm.import_root("root", &[1; 32]).await.unwrap();
    let kind = HsmKeyKind::RsaSign(RsaSize::Bits4096);
    let pair = hsm.generate_pair_wrapped(root, kind).await.unwrap();
    let key = hsm.unwrap(root, &pair.private, kind).await.unwrap();
    let scheme = SignatureScheme::RsaPss(HsmHash::Sha512);
    let message = b"message";
    let input = digest(&SHA512, message);
    let signature = hsm.sign(key, scheme, input.as_ref()).await.unwrap();
    let (_, info) = SubjectPublicKeyInfo::from_der(&pair.public).unwrap();
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA512, &info.subject_public_key.data)
        .verify(message, &signature)
        .unwrap();
    let shorter = HsmKeyKind::RsaSign(RsaSize::Bits3072);
    let refused = hsm.unwrap(root, &pair.private, shorter).await;
    assert!(
        matches!(refused, Err(HsmError::Refused { .. })),
        "{refused:?}"
    );
}
