//! Many uses on one stream, each authorised, recorded and answered as if it had come alone.

use super::CryptoApi;
use crate::caller::{Party, Terms};
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::SESSION_USES_MAX;
use crate::stopping::stopped;
use conclave_proto::v1::{self as wire, use_reply, use_request};
use futures::{Stream, StreamExt as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Status, Streaming};

/// The replies of a session, in the order in which they are ready.
pub(crate) type Replies = Pin<Box<dyn Stream<Item = Result<wire::UseReply, Status>> + Send>>;

/// Answers until the client has no more requests or the node stops. What was read is answered in either case.
pub(super) fn converse(
    context: Arc<NodeContext>,
    party: Party,
    requests: Streaming<wire::UseRequest>,
) -> Replies {
    let stopping = Box::pin(stopped(context.stopping.clone()));
    let api = Arc::new(CryptoApi(context));
    let party = Arc::new(party);
    let replies = requests
        .take_until(stopping)
        .map(move |request| {
            let (api, party) = (api.clone(), party.clone());
            async move { Ok(api.reply(&party, request?).await) }
        })
        .buffer_unordered(SESSION_USES_MAX);
    Box::pin(replies)
}

impl CryptoApi {
    async fn reply(&self, party: &Party, request: wire::UseRequest) -> wire::UseReply {
        let id = request.id;
        let result = self.answer(party, request).await;
        let result = result.unwrap_or_else(|error| {
            use_reply::Result::Error(wire::UseError {
                code: error.code().into(),
                reason: error.reason().to_owned(),
                message: error.to_string(),
            })
        });
        wire::UseReply {
            id,
            result: Some(result),
        }
    }

    async fn answer(
        &self,
        party: &Party,
        request: wire::UseRequest,
    ) -> Result<use_reply::Result, ServiceError> {
        use use_reply::Result as Done;
        use use_request::Use;
        let asked = request.r#use.ok_or_else(|| {
            ServiceError::invalid("use", "one of the uses that this node knows must be given")
        })?;
        let timeout_ms = u64::from(request.timeout_ms);
        let terms = Terms {
            request_id: request_id(&asked),
            attempt: request.attempt,
            timeout: (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms)),
        };
        let caller = &self.0.admit_one(party, &terms)?;
        // Boxed where the future is large: each waits in the session's queue.
        Ok(match asked {
            Use::Encrypt(it) => Done::Encrypt(self.encrypt_one(caller, it).await?),
            Use::Decrypt(it) => Done::Decrypt(self.decrypt_one(caller, it).await?),
            Use::BatchEncrypt(it) => {
                Done::BatchEncrypt(Box::pin(self.encrypt_many(caller, it)).await?)
            }
            Use::BatchDecrypt(it) => {
                Done::BatchDecrypt(Box::pin(self.decrypt_many(caller, it)).await?)
            }
            Use::GenerateDataKey(it) => {
                Done::GenerateDataKey(Box::pin(self.data_key(caller, it)).await?)
            }
            Use::GenerateDataKeyPair(it) => {
                Done::GenerateDataKeyPair(Box::pin(self.data_key_pair(caller, it)).await?)
            }
            Use::DecryptDataKey(it) => {
                Done::DecryptDataKey(Box::pin(self.open_data_key(caller, it)).await?)
            }
            Use::ExportKey(it) => Done::ExportKey(Box::pin(self.export_one(caller, it)).await?),
            Use::ReEncrypt(it) => Done::ReEncrypt(Box::pin(self.re_encrypt_one(caller, it)).await?),
            Use::BatchReEncrypt(it) => {
                Done::BatchReEncrypt(Box::pin(self.re_encrypt_many(caller, it)).await?)
            }
            Use::GenerateRandom(it) => {
                Done::GenerateRandom(Box::pin(self.random(caller, it)).await?)
            }
            Use::GenerateMac(it) => {
                Done::GenerateMac(Box::pin(self.generate_mac(caller, it)).await?)
            }
            Use::VerifyMac(it) => Done::VerifyMac(Box::pin(self.verify_mac(caller, it)).await?),
            Use::Sign(it) => Done::Sign(Box::pin(self.sign_one(caller, it)).await?),
            Use::Verify(it) => Done::Verify(Box::pin(self.verify_one(caller, it)).await?),
            Use::AsymmetricDecrypt(it) => {
                Done::AsymmetricDecrypt(Box::pin(self.asymmetric_decrypt_one(caller, it)).await?)
            }
            Use::Decapsulate(it) => {
                Done::Decapsulate(Box::pin(self.decapsulate_one(caller, it)).await?)
            }
            Use::DeriveSharedSecret(it) => {
                Done::DeriveSharedSecret(Box::pin(self.derive_one(caller, it)).await?)
            }
            Use::BatchSign(it) => Done::BatchSign(Box::pin(self.sign_many(caller, it)).await?),
            Use::BatchVerify(it) => {
                Done::BatchVerify(Box::pin(self.verify_many(caller, it)).await?)
            }
            Use::BatchGenerateMac(it) => {
                Done::BatchGenerateMac(Box::pin(self.generate_macs(caller, it)).await?)
            }
            Use::BatchVerifyMac(it) => {
                Done::BatchVerifyMac(Box::pin(self.verify_macs(caller, it)).await?)
            }
        })
    }
}

fn request_id(asked: &use_request::Use) -> &[u8] {
    use use_request::Use;
    match asked {
        Use::Encrypt(it) => &it.request_id,
        Use::Decrypt(it) => &it.request_id,
        Use::BatchEncrypt(it) => &it.request_id,
        Use::BatchDecrypt(it) => &it.request_id,
        Use::GenerateDataKey(it) => &it.request_id,
        Use::GenerateDataKeyPair(it) => &it.request_id,
        Use::DecryptDataKey(it) => &it.request_id,
        Use::ExportKey(it) => &it.request_id,
        Use::ReEncrypt(it) => &it.request_id,
        Use::BatchReEncrypt(it) => &it.request_id,
        Use::GenerateRandom(it) => &it.request_id,
        Use::GenerateMac(it) => &it.request_id,
        Use::VerifyMac(it) => &it.request_id,
        Use::Sign(it) => &it.request_id,
        Use::Verify(it) => &it.request_id,
        Use::AsymmetricDecrypt(it) => &it.request_id,
        Use::Decapsulate(it) => &it.request_id,
        Use::DeriveSharedSecret(it) => &it.request_id,
        Use::BatchSign(it) => &it.request_id,
        Use::BatchVerify(it) => &it.request_id,
        Use::BatchGenerateMac(it) => &it.request_id,
        Use::BatchVerifyMac(it) => &it.request_id,
    }
}
