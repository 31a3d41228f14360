//! `CryptoService`. What comes back in clear is held in memory that is wiped.

use super::{Message, limited};
use crate::client::Client;
use crate::error::ClientError;
use crate::v1::crypto_service_client::CryptoServiceClient;
use crate::v1::{self, use_reply, use_request};
use conclave_crypto::SecretBytes;
use std::future::Future;
use std::mem;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// A use of keys: what a session carries, and a call of its own can do as well.
pub(crate) trait Use: Message {
    /// The answer.
    type Answer;

    /// As a session carries it.
    fn into_use(self) -> use_request::Use;

    /// The answer to it, if `result` is one.
    fn answer(result: use_reply::Result) -> Option<Self::Answer>;

    /// As a call of its own.
    fn single(
        channel: Channel,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Response<Self::Answer>, Status>>;
}

macro_rules! uses {
    ($($rpc:ident: $variant:ident($request:ident) -> $answer:ident;)+) => {
        $(
            impl Use for v1::$request {
                type Answer = v1::$answer;

                fn into_use(self) -> use_request::Use {
                    use_request::Use::$variant(self)
                }

                fn answer(result: use_reply::Result) -> Option<v1::$answer> {
                    match result {
                        use_reply::Result::$variant(answer) => Some(answer),
                        _ => None,
                    }
                }

                async fn single(
                    channel: Channel,
                    request: Request<Self>,
                ) -> Result<Response<v1::$answer>, Status> {
                    limited!(CryptoServiceClient<_>, channel).$rpc(request).await
                }
            }
        )+
    };
}

uses! {
    encrypt: Encrypt(EncryptRequest) -> EncryptResponse;
    decrypt: Decrypt(DecryptRequest) -> DecryptResponse;
    batch_encrypt: BatchEncrypt(BatchEncryptRequest) -> BatchEncryptResponse;
    batch_decrypt: BatchDecrypt(BatchDecryptRequest) -> BatchDecryptResponse;
    generate_data_key: GenerateDataKey(GenerateDataKeyRequest) -> GenerateDataKeyResponse;
    generate_data_key_pair: GenerateDataKeyPair(GenerateDataKeyPairRequest) -> GenerateDataKeyPairResponse;
    decrypt_data_key: DecryptDataKey(DecryptDataKeyRequest) -> DecryptDataKeyResponse;
    export_key: ExportKey(ExportKeyRequest) -> ExportKeyResponse;
    re_encrypt: ReEncrypt(ReEncryptRequest) -> ReEncryptResponse;
    batch_re_encrypt: BatchReEncrypt(BatchReEncryptRequest) -> BatchReEncryptResponse;
    generate_random: GenerateRandom(GenerateRandomRequest) -> GenerateRandomResponse;
    generate_mac: GenerateMac(GenerateMacRequest) -> GenerateMacResponse;
    verify_mac: VerifyMac(VerifyMacRequest) -> VerifyMacResponse;
    sign: Sign(SignRequest) -> SignResponse;
    verify: Verify(VerifyRequest) -> VerifyResponse;
    asymmetric_decrypt: AsymmetricDecrypt(AsymmetricDecryptRequest) -> AsymmetricDecryptResponse;
    decapsulate: Decapsulate(DecapsulateRequest) -> DecapsulateResponse;
    derive_shared_secret: DeriveSharedSecret(DeriveSharedSecretRequest) -> DeriveSharedSecretResponse;
    batch_sign: BatchSign(BatchSignRequest) -> BatchSignResponse;
    batch_verify: BatchVerify(BatchVerifyRequest) -> BatchVerifyResponse;
    batch_generate_mac: BatchGenerateMac(BatchGenerateMacRequest) -> BatchGenerateMacResponse;
    batch_verify_mac: BatchVerifyMac(BatchVerifyMacRequest) -> BatchVerifyMacResponse;
}

/// What a ciphertext held.
pub struct Decrypted {
    /// In clear.
    pub plaintext: SecretBytes,
    /// The key's name.
    pub key: String,
    /// The key version's number.
    pub version: u32,
}

/// A secret that somebody else has as well.
pub struct SharedSecret {
    /// 32 bytes.
    pub secret: SecretBytes,
    /// The key's name.
    pub key: String,
    /// The key version's number.
    pub version: u32,
}

/// A fresh key for use outside the cluster.
pub struct DataKey {
    /// In clear; empty if asked for without.
    pub plaintext: SecretBytes,
    /// Encrypted under the key, to be kept beside the data; empty if the data key is registered.
    pub ciphertext: Vec<u8>,
    /// The key's name.
    pub key: String,
    /// The key version's number.
    pub version: u32,
    /// Of a registered data key: 16 bytes.
    pub id: Option<Vec<u8>>,
}

/// A fresh key pair for use outside the cluster.
pub struct DataKeyPair {
    /// PKCS#8 in DER, in clear; empty if asked for without.
    pub private_key: SecretBytes,
    /// The private key encrypted under the key, to be kept.
    pub ciphertext: Vec<u8>,
    /// `SubjectPublicKeyInfo` in DER.
    pub public_key: Vec<u8>,
    /// The key's name.
    pub key: String,
    /// The key version's number.
    pub version: u32,
}

/// Writes a method for each use whose answer is handed on as it is.
macro_rules! plain {
    ($($(#[$doc:meta])* $method:ident($request:ident) -> $answer:ident;)+) => {
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
                pub async fn $method(
                    &self,
                    request: v1::$request,
                ) -> Result<v1::$answer, ClientError> {
                    self.use_key(request).await
                }
            )+
        }
    };
}

plain! {
    /// Encrypts up to 64 KiB. For more see [`Client::encrypt_stream`].
    encrypt(EncryptRequest) -> EncryptResponse;
    /// Encrypts up to 1,024 items; each has its own result.
    batch_encrypt(BatchEncryptRequest) -> BatchEncryptResponse;
    /// Decrypts up to 1,024 items; each has its own result. Wipe the plaintexts after use.
    batch_decrypt(BatchDecryptRequest) -> BatchDecryptResponse;
    /// The material of an exportable key, wrapped for somebody else.
    export_key(ExportKeyRequest) -> ExportKeyResponse;
    /// Decrypts and encrypts inside the node.
    re_encrypt(ReEncryptRequest) -> ReEncryptResponse;
    /// Decrypts and encrypts up to 1,024 items inside the node; each has its own result.
    batch_re_encrypt(BatchReEncryptRequest) -> BatchReEncryptResponse;
    /// Random bytes of a node's HSM. Wipe them after use.
    generate_random(GenerateRandomRequest) -> GenerateRandomResponse;
    /// The message authentication code of up to 64 KiB. Keep the version that is answered with it.
    generate_mac(GenerateMacRequest) -> GenerateMacResponse;
    /// Verifies a code: an error with the reason `MAC_INVALID` if it is another message's or key's.
    verify_mac(VerifyMacRequest) -> VerifyMacResponse;
    /// The signature of up to 64 KiB, or of a digest. Keep the version that is answered with it.
    sign(SignRequest) -> SignResponse;
    /// Verifies a signature: an error with the reason `SIGNATURE_INVALID` if it is another message's or key's.
    verify(VerifyRequest) -> VerifyResponse;
    /// The signatures of up to 1,024 messages or digests; each has its own result.
    batch_sign(BatchSignRequest) -> BatchSignResponse;
    /// Verifies up to 1,024 signatures; each has its own result.
    batch_verify(BatchVerifyRequest) -> BatchVerifyResponse;
    /// The message authentication codes of up to 1,024 messages; each has its own result.
    batch_generate_mac(BatchGenerateMacRequest) -> BatchGenerateMacResponse;
    /// Verifies up to 1,024 codes; each has its own result.
    batch_verify_mac(BatchVerifyMacRequest) -> BatchVerifyMacResponse;
}

impl Client {
    /// Decrypts one ciphertext.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
    pub async fn decrypt(&self, request: v1::DecryptRequest) -> Result<Decrypted, ClientError> {
        let mut answer = self.use_key(request).await?;
        Ok(Decrypted {
            plaintext: SecretBytes::from_vec(mem::take(&mut answer.plaintext)),
            key: answer.key,
            version: answer.version,
        })
    }

    /// Decrypts what was encrypted with a public key by RSA-OAEP with SHA-256.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
    pub async fn asymmetric_decrypt(
        &self,
        request: v1::AsymmetricDecryptRequest,
    ) -> Result<Decrypted, ClientError> {
        let mut answer = self.use_key(request).await?;
        Ok(Decrypted {
            plaintext: SecretBytes::from_vec(mem::take(&mut answer.plaintext)),
            key: answer.key,
            version: answer.version,
        })
    }

    /// Opens the secret that was encapsulated with a public key by ML-KEM-768. One that was made with another key opens
    /// as well, to a secret that nobody else has.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
    pub async fn decapsulate(
        &self,
        request: v1::DecapsulateRequest,
    ) -> Result<SharedSecret, ClientError> {
        let mut answer = self.use_key(request).await?;
        Ok(SharedSecret {
            secret: SecretBytes::from_vec(mem::take(&mut answer.shared_secret)),
            key: answer.key,
            version: answer.version,
        })
    }

    /// Agrees upon a secret with the owner of another key. Make keys of it by a derivation.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
    pub async fn derive_shared_secret(
        &self,
        request: v1::DeriveSharedSecretRequest,
    ) -> Result<SharedSecret, ClientError> {
        let mut answer = self.use_key(request).await?;
        Ok(SharedSecret {
            secret: SecretBytes::from_vec(mem::take(&mut answer.shared_secret)),
            key: answer.key,
            version: answer.version,
        })
    }

    /// Opens a registered data key.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
    pub async fn decrypt_data_key(
        &self,
        request: v1::DecryptDataKeyRequest,
    ) -> Result<Decrypted, ClientError> {
        let mut answer = self.use_key(request).await?;
        Ok(Decrypted {
            plaintext: SecretBytes::from_vec(mem::take(&mut answer.plaintext)),
            key: answer.key,
            version: answer.version,
        })
    }

    /// Draws a data key, and registers it if the request says so.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
    pub async fn generate_data_key(
        &self,
        request: v1::GenerateDataKeyRequest,
    ) -> Result<DataKey, ClientError> {
        let mut answer = self.use_key(request).await?;
        Ok(DataKey {
            plaintext: SecretBytes::from_vec(mem::take(&mut answer.plaintext)),
            ciphertext: answer.ciphertext,
            key: answer.key,
            version: answer.version,
            id: (!answer.data_key_id.is_empty()).then_some(answer.data_key_id),
        })
    }

    /// Draws a key pair. [`Client::decrypt`] opens its ciphertext.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses, or no node answers in time.
    pub async fn generate_data_key_pair(
        &self,
        request: v1::GenerateDataKeyPairRequest,
    ) -> Result<DataKeyPair, ClientError> {
        let mut answer = self.use_key(request).await?;
        Ok(DataKeyPair {
            private_key: SecretBytes::from_vec(mem::take(&mut answer.private_key)),
            ciphertext: answer.ciphertext,
            public_key: answer.public_key,
            key: answer.key,
            version: answer.version,
        })
    }
}
