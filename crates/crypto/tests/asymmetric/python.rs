//! Python's `cryptography` agrees about what OpenSSL's command does not know.

use crate::encryption::decapsulation;
use crate::keys::{material, signing_key};
use conclave_crypto::kem::EncapsulationKey;
use conclave_crypto::sign::{Input, KeyKind, Scheme, VerifyingKey};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

const MESSAGE: &[u8] = b"attack at dawn";

/// What `agree.py` answers; `None` if this `cryptography` is too old to know of the matter.
pub(crate) fn ask(question: &Value) -> Option<Value> {
    let python = std::env::var_os("CONCLAVE_PYTHON").unwrap_or_else(|| "python3".into());
    let how = "install Python 3 and its package 'cryptography' (Debian: python3-cryptography; \
               elsewhere: pip install cryptography), and name another interpreter by \
               CONCLAVE_PYTHON";
    let mut child = Command::new(python)
        .arg("tests/asymmetric/agree.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect(how);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(question.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{how}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    if answer.is_null() {
        eprintln!(
            "not compared: this 'cryptography' is too old to know {}",
            question["about"]
        );
        return None;
    }
    Some(answer)
}

#[test]
fn ml_dsa_signatures_verify_both_ways() {
    let key = signing_key(KeyKind::MlDsa65);
    let input = Input::Message(MESSAGE);
    let signature = key.sign(Scheme::MlDsa65, input).unwrap();
    let question = json!({
        "about": "ml-dsa-65",
        "seed": hex::encode(material(KeyKind::MlDsa65).expose()),
        "message": hex::encode(MESSAGE),
        "signature": hex::encode(signature),
    });
    let Some(answer) = ask(&question) else { return };
    assert_eq!(answer["verifies"], true);
    assert_eq!(answer["spki"], hex::encode(key.public_key().spki()));
    let signature = hex::decode(answer["signature"].as_str().unwrap()).unwrap();
    let verifying = VerifyingKey::new(KeyKind::MlDsa65, key.public_key())
        .ok()
        .unwrap();
    assert_eq!(verifying.verify(Scheme::MlDsa65, input, &signature), Ok(()));
}

#[test]
fn ml_kem_secrets_open_both_ways() {
    let seed = [7; 64];
    let key = decapsulation(&seed);
    let encapsulation = EncapsulationKey::new(key.public_key()).ok().unwrap();
    let (ciphertext, secret) = encapsulation.encapsulate().ok().unwrap();
    let question = json!({
        "about": "ml-kem-768",
        "seed": hex::encode(seed),
        "ciphertext": hex::encode(ciphertext),
    });
    let Some(answer) = ask(&question) else { return };
    assert_eq!(answer["opened"], hex::encode(secret.expose()));
    assert_eq!(answer["spki"], hex::encode(key.public_key().spki()));
    let ciphertext = hex::decode(answer["ciphertext"].as_str().unwrap()).unwrap();
    let opened = key.decapsulate(&ciphertext).ok().unwrap();
    assert_eq!(answer["secret"], hex::encode(opened.expose()));
}
