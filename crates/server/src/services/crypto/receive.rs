//! What others encrypted, encapsulated or agreed upon with the public half of a key.

use super::CryptoApi;
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::{OAEP_LABEL_BYTES_MAX, PEER_PUBLIC_KEY_BYTES_MAX};
use crate::services::convert;
use crate::unsealed::Unsealed;
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{Direction, EncryptionContext, KeyName, Operation, VersionNumber};
use conclave_crypto::SecretBytes;
use conclave_proto::v1 as wire;
use conclave_raft::Replica;

impl CryptoApi {
    pub(super) async fn asymmetric_decrypt_one(
        &self,
        caller: &Caller,
        asked: wire::AsymmetricDecryptRequest,
    ) -> Result<wire::AsymmetricDecryptResponse, ServiceError> {
        check_bytes("label", &asked.label, OAEP_LABEL_BYTES_MAX)?;
        let given = Given::Ciphertext(asked.ciphertext, asked.label);
        let it = Receiving::of(caller, &asked.key, asked.version, given)?;
        let opened = self.0.run_use(caller, it).await?;
        Ok(wire::AsymmetricDecryptResponse {
            plaintext: opened.secret.expose().to_vec(),
            key: opened.key,
            version: opened.version.0,
        })
    }

    pub(super) async fn decapsulate_one(
        &self,
        caller: &Caller,
        asked: wire::DecapsulateRequest,
    ) -> Result<wire::DecapsulateResponse, ServiceError> {
        let given = Given::Encapsulated(asked.ciphertext);
        let it = Receiving::of(caller, &asked.key, asked.version, given)?;
        let opened = self.0.run_use(caller, it).await?;
        Ok(wire::DecapsulateResponse {
            shared_secret: opened.secret.expose().to_vec(),
            key: opened.key,
            version: opened.version.0,
        })
    }

    pub(super) async fn derive_one(
        &self,
        caller: &Caller,
        asked: wire::DeriveSharedSecretRequest,
    ) -> Result<wire::DeriveSharedSecretResponse, ServiceError> {
        let peer = asked.peer_public_key;
        check_bytes("peer_public_key", &peer, PEER_PUBLIC_KEY_BYTES_MAX)?;
        let given = Given::PublicKey(peer);
        let it = Receiving::of(caller, &asked.key, asked.version, given)?;
        let agreed = self.0.run_use(caller, it).await?;
        Ok(wire::DeriveSharedSecretResponse {
            shared_secret: agreed.secret.expose().to_vec(),
            key: agreed.key,
            version: agreed.version.0,
        })
    }
}

fn check_bytes(field: &'static str, bytes: &[u8], max: usize) -> Result<(), ServiceError> {
    if bytes.len() <= max {
        return Ok(());
    }
    let rule = format!("at most {max} bytes, {} were given", bytes.len());
    Err(ServiceError::invalid(field, rule))
}

/// What came from others.
enum Given {
    /// By RSA-OAEP, with its label.
    Ciphertext(Vec<u8>, Vec<u8>),
    /// By ML-KEM.
    Encapsulated(Vec<u8>),
    /// To agree with, in DER. It is read where the use is recorded: whoever tries bad points is seen in the audit log.
    PublicKey(Vec<u8>),
}

/// Opening what came from others.
struct Receiving<'a> {
    caller: &'a Caller,
    name: KeyName,
    version: Option<VersionNumber>,
    given: Given,
    /// Others made it without us: nothing of ours is bound to it.
    context: EncryptionContext,
}

/// What came of it.
struct Done {
    key: String,
    version: VersionNumber,
    secret: SecretBytes,
}

impl<'a> Receiving<'a> {
    fn of(caller: &'a Caller, key: &str, version: u32, given: Given) -> Result<Self, ServiceError> {
        Ok(Self {
            caller,
            name: convert::key_name(key)?,
            version: convert::version(version),
            given,
            context: EncryptionContext::default(),
        })
    }

    async fn compute(&self, unsealed: &Unsealed, chosen: &Chosen) -> Result<Done, ServiceError> {
        let version = unsealed.ready(chosen.version_ref()).await?;
        let secret = match &self.given {
            Given::Ciphertext(ciphertext, label) => version.decrypt_oaep(ciphertext, label).await?,
            Given::Encapsulated(ciphertext) => {
                SecretBytes::from_vec(version.decapsulate(ciphertext)?.expose().to_vec())
            }
            Given::PublicKey(peer) => {
                SecretBytes::from_vec(version.agree(peer).await?.expose().to_vec())
            }
        };
        Ok(Done {
            key: chosen.name.to_string(),
            version: chosen.number,
            secret,
        })
    }
}

#[async_trait]
impl Use for Receiving<'_> {
    type Result = Done;

    fn operation(&self) -> Operation {
        match self.given {
            Given::Ciphertext(..) => Operation::AsymmetricDecrypt,
            Given::Encapsulated(_) => Operation::Decapsulate,
            Given::PublicKey(_) => Operation::DeriveSharedSecret,
        }
    }

    fn context(&self) -> &EncryptionContext {
        &self.context
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Done>, ServiceError> {
        let (operation, direction) = (self.operation(), Direction::Process);
        let (name, version) = (&self.name, self.version);
        let decision = replica
            .with_state(|state| decide(state, self.caller, operation, direction, name, version));
        let result = match decision.chosen {
            Err(denial) => Err(denial.into()),
            Ok(chosen) => self.compute(unsealed, &chosen).await,
        };
        Ok(Prepared::of(
            decision.key,
            decision.access_revision,
            1,
            result,
        ))
    }
}
