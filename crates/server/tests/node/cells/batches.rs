//! The calls that take many items, each with one.

use super::calls::{Crypto, Failed, MESSAGE};
use super::subjects::Subject;
use conclave_proto::v1 as wire;

/// The one item's answer.
macro_rules! only {
    ($answer:expr, $response:ident) => {{
        use wire::$response::result::Result::{Error, Ok as Done};
        let results = $answer.into_inner().results;
        match results.into_iter().next().unwrap().result.unwrap() {
            Done(done) => Ok(done),
            Error(error) => Err(Failed::Item(error)),
        }
    }};
}

pub(super) async fn encrypt(
    client: &mut Crypto,
    subject: &Subject,
    version: u32,
) -> Result<(), Failed> {
    let item = wire::batch_encrypt_request::Item {
        plaintext: MESSAGE.to_vec(),
        aad: Vec::new(),
    };
    let request = wire::BatchEncryptRequest {
        key: subject.name.clone(),
        version,
        items: vec![item],
        ..wire::BatchEncryptRequest::default()
    };
    only!(client.batch_encrypt(request).await?, batch_encrypt_response).map(drop)
}

pub(super) async fn decrypt(client: &mut Crypto, subject: &Subject) -> Result<(), Failed> {
    let item = wire::batch_decrypt_request::Item {
        ciphertext: subject.samples.ciphertext.clone(),
        aad: Vec::new(),
    };
    let request = wire::BatchDecryptRequest {
        items: vec![item],
        ..wire::BatchDecryptRequest::default()
    };
    let opened = only!(client.batch_decrypt(request).await?, batch_decrypt_response)?;
    assert_eq!(opened.plaintext, MESSAGE);
    Ok(())
}

pub(super) async fn re_encrypt(
    client: &mut Crypto,
    from: Vec<u8>,
    to: String,
) -> Result<(), Failed> {
    let item = wire::batch_re_encrypt_request::Item {
        ciphertext: from,
        ..wire::batch_re_encrypt_request::Item::default()
    };
    let request = wire::BatchReEncryptRequest {
        destination_key: to,
        items: vec![item],
        ..wire::BatchReEncryptRequest::default()
    };
    only!(
        client.batch_re_encrypt(request).await?,
        batch_re_encrypt_response
    )
    .map(drop)
}

pub(super) async fn generate_mac(
    client: &mut Crypto,
    subject: &Subject,
    version: u32,
) -> Result<(), Failed> {
    let message = MESSAGE.to_vec();
    let request = wire::BatchGenerateMacRequest {
        key: subject.name.clone(),
        version,
        items: vec![wire::batch_generate_mac_request::Item { message }],
        ..wire::BatchGenerateMacRequest::default()
    };
    only!(
        client.batch_generate_mac(request).await?,
        batch_generate_mac_response
    )
    .map(drop)
}

pub(super) async fn verify_mac(
    client: &mut Crypto,
    subject: &Subject,
    version: u32,
) -> Result<(), Failed> {
    let item = wire::batch_verify_mac_request::Item {
        message: MESSAGE.to_vec(),
        mac: subject.samples.proof(version),
    };
    let request = wire::BatchVerifyMacRequest {
        key: subject.name.clone(),
        version,
        items: vec![item],
        ..wire::BatchVerifyMacRequest::default()
    };
    only!(
        client.batch_verify_mac(request).await?,
        batch_verify_mac_response
    )
    .map(drop)
}

pub(super) async fn sign(
    client: &mut Crypto,
    subject: &Subject,
    version: u32,
) -> Result<(), Failed> {
    use wire::batch_sign_request::item::Input;
    let input = Some(Input::Message(MESSAGE.to_vec()));
    let request = wire::BatchSignRequest {
        key: subject.name.clone(),
        version,
        items: vec![wire::batch_sign_request::Item { input }],
        ..wire::BatchSignRequest::default()
    };
    only!(client.batch_sign(request).await?, batch_sign_response).map(drop)
}

pub(super) async fn verify(
    client: &mut Crypto,
    subject: &Subject,
    version: u32,
) -> Result<(), Failed> {
    use wire::batch_verify_request::item::Input;
    let item = wire::batch_verify_request::Item {
        input: Some(Input::Message(MESSAGE.to_vec())),
        signature: subject.samples.proof(version),
    };
    let request = wire::BatchVerifyRequest {
        key: subject.name.clone(),
        version,
        items: vec![item],
        ..wire::BatchVerifyRequest::default()
    };
    only!(client.batch_verify(request).await?, batch_verify_response).map(drop)
}
