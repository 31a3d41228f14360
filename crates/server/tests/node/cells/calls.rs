//! The calls of the table, as a client makes them.

use super::batches;
use super::spec::{Call, Holder, Outcome, Version};
use super::subjects::{Subject, TARGET};
use crate::world::{World, reason};
use conclave_proto::v1::crypto_service_client::CryptoServiceClient;
use conclave_proto::v1::{self as wire, sign_request, verify_request};
use tonic::transport::Channel;
use tonic::{Code, Status};

pub(super) const MESSAGE: &[u8] = b"cell";

/// Connections of each caller, on each of which the node works at up to 256 calls.
const CONNECTIONS: usize = 8;

/// The callers' connections.
pub(super) struct Clients(Vec<(Holder, Vec<CryptoServiceClient<Channel>>)>);

impl Clients {
    pub(super) fn of(world: &World) -> Self {
        let connect = |holder: Holder| {
            let clients = (0..CONNECTIONS).map(|_| world.crypto(holder.principal()));
            (holder, clients.collect())
        };
        Self(Holder::ALL.map(connect).into())
    }

    pub(super) fn get(&self, holder: Holder, number: usize) -> CryptoServiceClient<Channel> {
        let (_, clients) = self.0.iter().find(|(it, _)| *it == holder).unwrap();
        clients[number % CONNECTIONS].clone()
    }
}

/// A version that the caller names, or 0.
fn number(call: Call, named: bool) -> u32 {
    u32::from(named && call.version() == Version::Nameable)
}

/// Makes a call on a key, and says what it ended with. The version is named if `named`, and the call takes its number.
pub(super) async fn perform(
    client: &mut CryptoServiceClient<Channel>,
    call: Call,
    subject: &Subject,
    named: bool,
) -> Outcome {
    let version = number(call, named);
    let done = match call {
        Call::Encrypt => encrypt(client, subject, version).await,
        Call::BatchEncrypt => batches::encrypt(client, subject, version).await,
        Call::Decrypt => decrypt(client, subject).await,
        Call::BatchDecrypt => batches::decrypt(client, subject).await,
        Call::GenerateDataKey => data_key(client, subject, false).await,
        Call::RegisterDataKey => data_key(client, subject, true).await,
        Call::GenerateDataKeyPair => data_key_pair(client, subject).await,
        Call::DecryptDataKey => decrypt_data_key(client, subject).await,
        Call::ReEncryptFrom => {
            let from = subject.samples.ciphertext.clone();
            re_encrypt(client, from, TARGET.to_owned()).await
        }
        Call::ReEncryptTo => {
            let from = subject.samples.of_target.clone();
            re_encrypt(client, from, subject.name.clone()).await
        }
        Call::BatchReEncryptFrom => {
            let from = subject.samples.ciphertext.clone();
            batches::re_encrypt(client, from, TARGET.to_owned()).await
        }
        Call::BatchReEncryptTo => {
            let from = subject.samples.of_target.clone();
            batches::re_encrypt(client, from, subject.name.clone()).await
        }
        Call::GenerateMac => generate_mac(client, subject, version).await,
        Call::BatchGenerateMac => batches::generate_mac(client, subject, version).await,
        Call::VerifyMac => verify_mac(client, subject, version).await,
        Call::BatchVerifyMac => batches::verify_mac(client, subject, version).await,
        Call::Sign => sign(client, subject, version).await,
        Call::BatchSign => batches::sign(client, subject, version).await,
        Call::Verify => verify(client, subject, version).await,
        Call::BatchVerify => batches::verify(client, subject, version).await,
        Call::AsymmetricDecrypt => asymmetric_decrypt(client, subject, version).await,
        Call::Decapsulate => decapsulate(client, subject, version).await,
        Call::DeriveSharedSecret => derive(client, subject, version).await,
    };
    match done {
        Ok(()) => Outcome::Done,
        Err(Failed::Call(status)) => Outcome::refused(status.code(), &reason(&status)),
        Err(Failed::Item(error)) => Outcome::refused(Code::from(error.code), &error.reason),
    }
}

/// A call failed, or the one item of a batch.
pub(super) enum Failed {
    Call(Status),
    Item(wire::ItemError),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Call(status)
    }
}

pub(super) type Crypto = CryptoServiceClient<Channel>;

async fn encrypt(client: &mut Crypto, subject: &Subject, version: u32) -> Result<(), Failed> {
    let request = wire::EncryptRequest {
        key: subject.name.clone(),
        version,
        plaintext: MESSAGE.to_vec(),
        ..wire::EncryptRequest::default()
    };
    client.encrypt(request).await?;
    Ok(())
}

async fn decrypt(client: &mut Crypto, subject: &Subject) -> Result<(), Failed> {
    let request = wire::DecryptRequest {
        ciphertext: subject.samples.ciphertext.clone(),
        ..wire::DecryptRequest::default()
    };
    let opened = client.decrypt(request).await?.into_inner();
    assert_eq!(opened.plaintext, MESSAGE);
    Ok(())
}

async fn data_key(client: &mut Crypto, subject: &Subject, register: bool) -> Result<(), Failed> {
    let request = wire::GenerateDataKeyRequest {
        key: subject.name.clone(),
        register,
        ..wire::GenerateDataKeyRequest::default()
    };
    client.generate_data_key(request).await?;
    Ok(())
}

async fn data_key_pair(client: &mut Crypto, subject: &Subject) -> Result<(), Failed> {
    let request = wire::GenerateDataKeyPairRequest {
        key: subject.name.clone(),
        algorithm: wire::Algorithm::Ed25519.into(),
        ..wire::GenerateDataKeyPairRequest::default()
    };
    client.generate_data_key_pair(request).await?;
    Ok(())
}

async fn decrypt_data_key(client: &mut Crypto, subject: &Subject) -> Result<(), Failed> {
    let request = wire::DecryptDataKeyRequest {
        data_key_id: subject.samples.data_key.clone().unwrap(),
        ..wire::DecryptDataKeyRequest::default()
    };
    let opened = client.decrypt_data_key(request).await?.into_inner();
    assert_eq!(opened.key, subject.name);
    Ok(())
}

async fn re_encrypt(client: &mut Crypto, from: Vec<u8>, to: String) -> Result<(), Failed> {
    let request = wire::ReEncryptRequest {
        ciphertext: from,
        destination_key: to,
        ..wire::ReEncryptRequest::default()
    };
    client.re_encrypt(request).await?;
    Ok(())
}

async fn generate_mac(client: &mut Crypto, subject: &Subject, version: u32) -> Result<(), Failed> {
    let request = wire::GenerateMacRequest {
        key: subject.name.clone(),
        version,
        message: MESSAGE.to_vec(),
        ..wire::GenerateMacRequest::default()
    };
    client.generate_mac(request).await?;
    Ok(())
}

async fn verify_mac(client: &mut Crypto, subject: &Subject, version: u32) -> Result<(), Failed> {
    let request = wire::VerifyMacRequest {
        key: subject.name.clone(),
        version,
        message: MESSAGE.to_vec(),
        mac: subject.samples.proof(version),
        ..wire::VerifyMacRequest::default()
    };
    client.verify_mac(request).await?;
    Ok(())
}

async fn sign(client: &mut Crypto, subject: &Subject, version: u32) -> Result<(), Failed> {
    let request = wire::SignRequest {
        key: subject.name.clone(),
        version,
        input: Some(sign_request::Input::Message(MESSAGE.to_vec())),
        ..wire::SignRequest::default()
    };
    client.sign(request).await?;
    Ok(())
}

async fn verify(client: &mut Crypto, subject: &Subject, version: u32) -> Result<(), Failed> {
    let request = wire::VerifyRequest {
        key: subject.name.clone(),
        version,
        input: Some(verify_request::Input::Message(MESSAGE.to_vec())),
        signature: subject.samples.proof(version),
        ..wire::VerifyRequest::default()
    };
    client.verify(request).await?;
    Ok(())
}

async fn asymmetric_decrypt(
    client: &mut Crypto,
    subject: &Subject,
    version: u32,
) -> Result<(), Failed> {
    let request = wire::AsymmetricDecryptRequest {
        key: subject.name.clone(),
        version,
        ciphertext: subject.samples.proof(version),
        ..wire::AsymmetricDecryptRequest::default()
    };
    let opened = client.asymmetric_decrypt(request).await?.into_inner();
    assert_eq!(opened.plaintext, MESSAGE);
    Ok(())
}

async fn decapsulate(client: &mut Crypto, subject: &Subject, version: u32) -> Result<(), Failed> {
    let request = wire::DecapsulateRequest {
        key: subject.name.clone(),
        version,
        ciphertext: subject.samples.proof(version),
        ..wire::DecapsulateRequest::default()
    };
    client.decapsulate(request).await?;
    Ok(())
}

async fn derive(client: &mut Crypto, subject: &Subject, version: u32) -> Result<(), Failed> {
    let request = wire::DeriveSharedSecretRequest {
        key: subject.name.clone(),
        version,
        peer_public_key: subject.peer(),
        ..wire::DeriveSharedSecretRequest::default()
    };
    client.derive_shared_secret(request).await?;
    Ok(())
}
