//! Calls that take many items.

use super::{Made, Target, blind};
use conclave_client::Client;
use conclave_client::v1;

/// The code of `PERMISSION_DENIED` in an item of a batch.
const DENIED: i32 = 7;

/// Whether each item was refused as the caller's.
macro_rules! all_denied {
    ($name:literal, $answer:expr, $module:ident, $response:ident) => {
        blind($name, $answer, |it: &v1::$response| {
            use v1::$module::result::Result as It;
            let refused = |it: &Option<It>| matches!(it, Some(It::Error(e)) if e.code == DENIED);
            it.results.iter().all(|it| refused(&it.result))
        })
    };
}

pub(super) async fn of_messages(client: &Client, target: &Target<'_>) -> Vec<Made> {
    let key = || target.key.to_owned();
    let ciphertext = || target.ciphertext.to_vec();
    let encrypt = v1::BatchEncryptRequest {
        key: key(),
        items: vec![v1::batch_encrypt_request::Item::default()],
        ..v1::BatchEncryptRequest::default()
    };
    let item = v1::batch_decrypt_request::Item {
        ciphertext: ciphertext(),
        aad: Vec::new(),
    };
    let decrypt = v1::BatchDecryptRequest {
        items: vec![item],
        ..v1::BatchDecryptRequest::default()
    };
    let item = v1::batch_re_encrypt_request::Item {
        ciphertext: ciphertext(),
        ..v1::batch_re_encrypt_request::Item::default()
    };
    let re_encrypt = v1::BatchReEncryptRequest {
        items: vec![item],
        ..v1::BatchReEncryptRequest::default()
    };
    vec![
        all_denied!(
            "BatchEncrypt",
            client.batch_encrypt(encrypt).await,
            batch_encrypt_response,
            BatchEncryptResponse
        ),
        all_denied!(
            "BatchDecrypt",
            client.batch_decrypt(decrypt).await,
            batch_decrypt_response,
            BatchDecryptResponse
        ),
        all_denied!(
            "BatchReEncrypt",
            client.batch_re_encrypt(re_encrypt).await,
            batch_re_encrypt_response,
            BatchReEncryptResponse
        ),
    ]
}

pub(super) async fn of_proofs(client: &Client, key: &str) -> Vec<Made> {
    let key = || key.to_owned();
    let input = Some(v1::batch_sign_request::item::Input::Message(Vec::new()));
    let sign = v1::BatchSignRequest {
        key: key(),
        items: vec![v1::batch_sign_request::Item { input }],
        ..v1::BatchSignRequest::default()
    };
    let item = v1::batch_verify_request::Item {
        input: Some(v1::batch_verify_request::item::Input::Message(Vec::new())),
        signature: Vec::new(),
    };
    let verify = v1::BatchVerifyRequest {
        key: key(),
        items: vec![item],
        ..v1::BatchVerifyRequest::default()
    };
    let generate_mac = v1::BatchGenerateMacRequest {
        key: key(),
        items: vec![v1::batch_generate_mac_request::Item::default()],
        ..v1::BatchGenerateMacRequest::default()
    };
    let verify_mac = v1::BatchVerifyMacRequest {
        key: key(),
        items: vec![v1::batch_verify_mac_request::Item::default()],
        ..v1::BatchVerifyMacRequest::default()
    };
    vec![
        all_denied!(
            "BatchSign",
            client.batch_sign(sign).await,
            batch_sign_response,
            BatchSignResponse
        ),
        all_denied!(
            "BatchVerify",
            client.batch_verify(verify).await,
            batch_verify_response,
            BatchVerifyResponse
        ),
        all_denied!(
            "BatchGenerateMac",
            client.batch_generate_mac(generate_mac).await,
            batch_generate_mac_response,
            BatchGenerateMacResponse
        ),
        all_denied!(
            "BatchVerifyMac",
            client.batch_verify_mac(verify_mac).await,
            batch_verify_mac_response,
            BatchVerifyMacResponse
        ),
    ]
}
