//! Uses of keys.

use super::Caller;
use crate::answers;
use crate::history::{Answer, MessageId, Sealed};
use conclave_client::v1;

impl Caller {
    pub(super) async fn encrypt(
        &self,
        request: &[u8],
        key: &str,
        version: Option<u32>,
        plaintexts: &[Vec<u8>],
    ) -> Result<Answer, Vec<Sealed>> {
        let context = answers::context_of(key);
        let (request_id, key) = (request.to_vec(), key.to_owned());
        let version = version.unwrap_or(0);
        let [plaintext] = plaintexts else {
            let item = |plaintext: &Vec<u8>| v1::batch_encrypt_request::Item {
                plaintext: plaintext.clone(),
                aad: Vec::new(),
            };
            let request = v1::BatchEncryptRequest {
                request_id,
                key,
                version,
                context,
                items: plaintexts.iter().map(item).collect(),
            };
            let answer = self.client.batch_encrypt(request).await;
            return match answers::batch_sealed(answer, plaintexts) {
                Ok(sealed) => Err(sealed),
                Err(answer) => Ok(answer),
            };
        };
        let request = v1::EncryptRequest {
            request_id,
            key,
            version,
            plaintext: plaintext.clone(),
            context,
            aad: Vec::new(),
        };
        match self.client.encrypt(request).await {
            Ok(answer) => Err(vec![Sealed {
                key: answer.key,
                version: answer.version,
                plaintext: plaintext.clone(),
                ciphertext: answer.ciphertext,
            }]),
            Err(error) => Ok(answers::failure(&error)),
        }
    }

    pub(super) async fn data_key(&self, request: &[u8], key: &str) -> Result<Answer, Vec<Sealed>> {
        let request = v1::GenerateDataKeyRequest {
            request_id: request.to_vec(),
            key: key.to_owned(),
            context: answers::context_of(key),
            ..v1::GenerateDataKeyRequest::default()
        };
        match self.client.generate_data_key(request).await {
            Ok(given) => Err(vec![Sealed {
                key: given.key,
                version: given.version,
                plaintext: given.plaintext.expose().to_vec(),
                ciphertext: given.ciphertext,
            }]),
            Err(error) => Ok(answers::failure(&error)),
        }
    }

    fn message(&self, id: MessageId) -> (String, Vec<u8>, Vec<u8>) {
        self.recorder.look(|history| {
            let it = &history.messages[id.0];
            (it.key.clone(), it.plaintext.clone(), it.ciphertext.clone())
        })
    }

    pub(super) async fn re_encrypt(
        &self,
        request: &[u8],
        message: MessageId,
    ) -> Result<Answer, Vec<Sealed>> {
        let (key, plaintext, ciphertext) = self.message(message);
        let request = v1::ReEncryptRequest {
            request_id: request.to_vec(),
            ciphertext,
            context: answers::context_of(&key),
            ..v1::ReEncryptRequest::default()
        };
        match self.client.re_encrypt(request).await {
            Ok(answer) => Err(vec![Sealed {
                key: answer.key,
                version: answer.version,
                plaintext,
                ciphertext: answer.ciphertext,
            }]),
            Err(error) => Ok(answers::failure(&error)),
        }
    }

    pub(super) async fn decrypt(&self, request: &[u8], messages: &[MessageId]) -> Answer {
        let request_id = request.to_vec();
        let mut found: Vec<_> = messages.iter().map(|id| self.message(*id)).collect();
        let context = found.first().map(|(key, ..)| answers::context_of(key));
        let context = context.unwrap_or_default();
        if found.len() == 1 {
            let ciphertext = found.swap_remove(0).2;
            let request = v1::DecryptRequest {
                request_id,
                ciphertext,
                context,
                ..v1::DecryptRequest::default()
            };
            return match self.client.decrypt(request).await {
                Ok(opened) => Answer::Opened(vec![Ok(opened.plaintext.expose().to_vec())]),
                Err(error) => answers::failure(&error),
            };
        }
        let items = found.into_iter().map(|(_, _, ciphertext)| {
            let aad = Vec::new();
            v1::batch_decrypt_request::Item { ciphertext, aad }
        });
        let request = v1::BatchDecryptRequest {
            request_id,
            key: String::new(),
            context,
            items: items.collect(),
        };
        answers::batch_opened(self.client.batch_decrypt(request).await)
    }

    pub(super) async fn random(&self, request: &[u8]) -> Answer {
        let request = v1::GenerateRandomRequest {
            request_id: request.to_vec(),
            length: 16,
        };
        match self.client.generate_random(request).await {
            Ok(answer) => Answer::Random(answer.random),
            Err(error) => answers::failure(&error),
        }
    }
}
