//! `CryptoService`. What comes back in clear is held in memory that is wiped.

use super::{limited, unary};
use crate::client::Client;
use crate::error::ClientError;
use crate::v1;
use crate::v1::crypto_service_client::CryptoServiceClient;
use conclave_crypto::SecretBytes;
use std::mem;

/// What a ciphertext held.
pub struct Decrypted {
    /// In clear.
    pub plaintext: SecretBytes,
    /// The key's name.
    pub key: String,
    /// The key version's number.
    pub version: u32,
}

/// A fresh key for use outside the cluster.
pub struct DataKey {
    /// In clear; empty if asked for without.
    pub plaintext: SecretBytes,
    /// Encrypted under the key, to be kept beside the data.
    pub ciphertext: Vec<u8>,
    /// The key's name.
    pub key: String,
    /// The key version's number.
    pub version: u32,
}

unary! { CryptoServiceClient<_>:
    /// Encrypts up to 64 KiB. For more see [`Client::encrypt_stream`].
    encrypt = encrypt(EncryptRequest) -> EncryptResponse;
    /// Encrypts up to 256 items; each has its own result.
    batch_encrypt = batch_encrypt(BatchEncryptRequest) -> BatchEncryptResponse;
    /// Decrypts up to 256 items; each has its own result. Wipe the plaintexts after use.
    batch_decrypt = batch_decrypt(BatchDecryptRequest) -> BatchDecryptResponse;
    /// Decrypts and encrypts inside the node.
    re_encrypt = re_encrypt(ReEncryptRequest) -> ReEncryptResponse;
    /// Random bytes of a node's HSM. Wipe them after use.
    generate_random = generate_random(GenerateRandomRequest) -> GenerateRandomResponse;
}

impl Client {
    /// Decrypts one ciphertext.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
    pub async fn decrypt(&self, request: v1::DecryptRequest) -> Result<Decrypted, ClientError> {
        let invoke = |channel, request| async move {
            limited!(CryptoServiceClient<_>, channel)
                .decrypt(request)
                .await
        };
        let mut answer: v1::DecryptResponse = self.call(request, invoke).await?;
        Ok(Decrypted {
            plaintext: SecretBytes::from_vec(mem::take(&mut answer.plaintext)),
            key: answer.key,
            version: answer.version,
        })
    }

    /// Draws a data key.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
    pub async fn generate_data_key(
        &self,
        request: v1::GenerateDataKeyRequest,
    ) -> Result<DataKey, ClientError> {
        let invoke = |channel, request| async move {
            limited!(CryptoServiceClient<_>, channel)
                .generate_data_key(request)
                .await
        };
        let mut answer: v1::GenerateDataKeyResponse = self.call(request, invoke).await?;
        Ok(DataKey {
            plaintext: SecretBytes::from_vec(mem::take(&mut answer.plaintext)),
            ciphertext: answer.ciphertext,
            key: answer.key,
            version: answer.version,
        })
    }
}
