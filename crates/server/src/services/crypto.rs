//! `CryptoService`: uses of keys.

mod data_key;
mod data_key_pair;
mod decrypt;
mod encrypt;
mod export;
mod items;
mod mac;
mod many;
mod random;
mod receive;
mod reencrypt;
pub(crate) mod rewrap;
mod session;
mod sign;

use super::convert;
use crate::caller::{Caller, Party};
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::{PLAINTEXT_BYTES_MAX, RANDOM_BYTES_MAX};
use conclave_core::Operation;
use conclave_proto::v1::{self as wire, crypto_service_server::CryptoService};
use items::{answer_each, check_items};
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};
use zeroize::Zeroizing;

/// The service.
pub(crate) struct CryptoApi(pub(crate) Arc<NodeContext>);

fn check_size(field: &'static str, bytes: &[u8], max: usize) -> Result<(), ServiceError> {
    if bytes.len() <= max {
        return Ok(());
    }
    let actual = bytes.len();
    let rule = format!(
        "at most {max} bytes a call, {actual} were given: encrypt larger data under a data key, as \
         `conclave encrypt` does"
    );
    Err(ServiceError::invalid(field, rule))
}

impl CryptoApi {
    async fn encrypt_one(
        &self,
        caller: &Caller,
        asked: wire::EncryptRequest,
    ) -> Result<wire::EncryptResponse, ServiceError> {
        let plaintext = Zeroizing::new(asked.plaintext);
        check_size("plaintext", &plaintext, PLAINTEXT_BYTES_MAX)?;
        check_size("aad", &asked.aad, PLAINTEXT_BYTES_MAX)?;
        let context = convert::context(asked.context)?;
        let under = encrypt::Under {
            name: convert::key_name(&asked.key)?,
            version: convert::version(asked.version),
            context: &context,
            operation: Operation::Encrypt,
        };
        let item = encrypt::Item {
            plaintext: &plaintext,
            aad: &asked.aad,
        };
        let sealed = self.encrypt_items(caller, &under, &[item]).await?;
        let (key, version) = (sealed.key, sealed.version);
        let ciphertext = sealed.blobs.into_iter().next().unwrap_or_default();
        Ok(wire::EncryptResponse {
            ciphertext,
            key,
            version,
        })
    }

    async fn decrypt_one(
        &self,
        caller: &Caller,
        asked: wire::DecryptRequest,
    ) -> Result<wire::DecryptResponse, ServiceError> {
        check_size("aad", &asked.aad, PLAINTEXT_BYTES_MAX)?;
        let context = convert::context(asked.context)?;
        let named = convert::optional_key_name(&asked.key)?;
        let item = decrypt::Item {
            blob: &asked.ciphertext,
            aad: &asked.aad,
        };
        let mut results = self
            .decrypt_items(caller, named.as_ref(), &context, &[item])
            .await;
        results.pop().unwrap_or(Err(ServiceError::Contended))
    }

    async fn encrypt_many(
        &self,
        caller: &Caller,
        asked: wire::BatchEncryptRequest,
    ) -> Result<wire::BatchEncryptResponse, ServiceError> {
        check_items(asked.items.len())?;
        let context = convert::context(asked.context)?;
        let under = encrypt::Under {
            name: convert::key_name(&asked.key)?,
            version: convert::version(asked.version),
            context: &context,
            operation: Operation::Encrypt,
        };
        let results = self.encrypt_batch(caller, &under, asked.items).await;
        Ok(answer_each!(
            BatchEncryptResponse,
            batch_encrypt_response,
            results
        ))
    }

    async fn decrypt_many(
        &self,
        caller: &Caller,
        asked: wire::BatchDecryptRequest,
    ) -> Result<wire::BatchDecryptResponse, ServiceError> {
        check_items(asked.items.len())?;
        let context = convert::context(asked.context)?;
        let named = convert::optional_key_name(&asked.key)?;
        let items: Vec<_> = asked
            .items
            .iter()
            .map(|item| decrypt::Item {
                blob: &item.ciphertext,
                aad: &item.aad,
            })
            .collect();
        let results = self
            .decrypt_items(caller, named.as_ref(), &context, &items)
            .await;
        Ok(answer_each!(
            BatchDecryptResponse,
            batch_decrypt_response,
            results
        ))
    }

    async fn random(
        &self,
        caller: &Caller,
        asked: wire::GenerateRandomRequest,
    ) -> Result<wire::GenerateRandomResponse, ServiceError> {
        if !(1..=RANDOM_BYTES_MAX).contains(&asked.length) {
            return Err(ServiceError::invalid(
                "length",
                format!("1 to {RANDOM_BYTES_MAX} bytes"),
            ));
        }
        let length = usize::try_from(asked.length).unwrap_or(0);
        let random = self
            .0
            .run_use(caller, random::Draw::new(&self.0.env, caller, length))
            .await?;
        Ok(wire::GenerateRandomResponse { random })
    }
}

/// A call of its own: let in, done, answered.
macro_rules! single {
    ($self:ident, $request:ident, $work:ident) => {{
        let caller = $self.0.admit(&$request, &$request.get_ref().request_id)?;
        let answer = $self.$work(&caller, $request.into_inner()).await?;
        Ok(Response::new(answer))
    }};
}

#[tonic::async_trait]
impl CryptoService for CryptoApi {
    async fn encrypt(
        &self,
        request: Request<wire::EncryptRequest>,
    ) -> Result<Response<wire::EncryptResponse>, Status> {
        single!(self, request, encrypt_one)
    }

    async fn decrypt(
        &self,
        request: Request<wire::DecryptRequest>,
    ) -> Result<Response<wire::DecryptResponse>, Status> {
        single!(self, request, decrypt_one)
    }

    async fn batch_encrypt(
        &self,
        request: Request<wire::BatchEncryptRequest>,
    ) -> Result<Response<wire::BatchEncryptResponse>, Status> {
        single!(self, request, encrypt_many)
    }

    async fn batch_decrypt(
        &self,
        request: Request<wire::BatchDecryptRequest>,
    ) -> Result<Response<wire::BatchDecryptResponse>, Status> {
        single!(self, request, decrypt_many)
    }

    async fn generate_data_key(
        &self,
        request: Request<wire::GenerateDataKeyRequest>,
    ) -> Result<Response<wire::GenerateDataKeyResponse>, Status> {
        single!(self, request, data_key)
    }

    async fn generate_data_key_pair(
        &self,
        request: Request<wire::GenerateDataKeyPairRequest>,
    ) -> Result<Response<wire::GenerateDataKeyPairResponse>, Status> {
        single!(self, request, data_key_pair)
    }

    async fn decrypt_data_key(
        &self,
        request: Request<wire::DecryptDataKeyRequest>,
    ) -> Result<Response<wire::DecryptDataKeyResponse>, Status> {
        single!(self, request, open_data_key)
    }

    async fn export_key(
        &self,
        request: Request<wire::ExportKeyRequest>,
    ) -> Result<Response<wire::ExportKeyResponse>, Status> {
        single!(self, request, export_one)
    }

    async fn re_encrypt(
        &self,
        request: Request<wire::ReEncryptRequest>,
    ) -> Result<Response<wire::ReEncryptResponse>, Status> {
        single!(self, request, re_encrypt_one)
    }

    async fn batch_re_encrypt(
        &self,
        request: Request<wire::BatchReEncryptRequest>,
    ) -> Result<Response<wire::BatchReEncryptResponse>, Status> {
        single!(self, request, re_encrypt_many)
    }

    async fn generate_random(
        &self,
        request: Request<wire::GenerateRandomRequest>,
    ) -> Result<Response<wire::GenerateRandomResponse>, Status> {
        single!(self, request, random)
    }

    async fn generate_mac(
        &self,
        request: Request<wire::GenerateMacRequest>,
    ) -> Result<Response<wire::GenerateMacResponse>, Status> {
        single!(self, request, generate_mac)
    }

    async fn verify_mac(
        &self,
        request: Request<wire::VerifyMacRequest>,
    ) -> Result<Response<wire::VerifyMacResponse>, Status> {
        single!(self, request, verify_mac)
    }

    async fn sign(
        &self,
        request: Request<wire::SignRequest>,
    ) -> Result<Response<wire::SignResponse>, Status> {
        single!(self, request, sign_one)
    }

    async fn verify(
        &self,
        request: Request<wire::VerifyRequest>,
    ) -> Result<Response<wire::VerifyResponse>, Status> {
        single!(self, request, verify_one)
    }

    async fn asymmetric_decrypt(
        &self,
        request: Request<wire::AsymmetricDecryptRequest>,
    ) -> Result<Response<wire::AsymmetricDecryptResponse>, Status> {
        single!(self, request, asymmetric_decrypt_one)
    }

    async fn decapsulate(
        &self,
        request: Request<wire::DecapsulateRequest>,
    ) -> Result<Response<wire::DecapsulateResponse>, Status> {
        single!(self, request, decapsulate_one)
    }

    async fn derive_shared_secret(
        &self,
        request: Request<wire::DeriveSharedSecretRequest>,
    ) -> Result<Response<wire::DeriveSharedSecretResponse>, Status> {
        single!(self, request, derive_one)
    }

    async fn batch_sign(
        &self,
        request: Request<wire::BatchSignRequest>,
    ) -> Result<Response<wire::BatchSignResponse>, Status> {
        single!(self, request, sign_many)
    }

    async fn batch_verify(
        &self,
        request: Request<wire::BatchVerifyRequest>,
    ) -> Result<Response<wire::BatchVerifyResponse>, Status> {
        single!(self, request, verify_many)
    }

    async fn batch_generate_mac(
        &self,
        request: Request<wire::BatchGenerateMacRequest>,
    ) -> Result<Response<wire::BatchGenerateMacResponse>, Status> {
        single!(self, request, generate_macs)
    }

    async fn batch_verify_mac(
        &self,
        request: Request<wire::BatchVerifyMacRequest>,
    ) -> Result<Response<wire::BatchVerifyMacResponse>, Status> {
        single!(self, request, verify_macs)
    }

    type SessionStream = session::Replies;

    async fn session(
        &self,
        request: Request<Streaming<wire::UseRequest>>,
    ) -> Result<Response<session::Replies>, Status> {
        let party = Party::of(&request)?;
        let replies = session::converse(self.0.clone(), party, request.into_inner());
        Ok(Response::new(replies))
    }
}
