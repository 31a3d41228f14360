//! Re-encryption inside the node: the plaintext never leaves it.

use super::decrypt::{self, open_one};
use super::{CryptoApi, check_size, encrypt};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::services::convert;
use crate::unsealed::Unsealed;
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{Direction, EncryptionContext, KeyName, Operation, VersionNumber};
use conclave_crypto::Header;
use conclave_env::Entropy;
use conclave_proto::v1 as wire;
use conclave_raft::Replica;

/// Context and additional data of both sides.
struct Bound {
    source: EncryptionContext,
    source_aad: Vec<u8>,
    destination: EncryptionContext,
    destination_aad: Vec<u8>,
}

impl CryptoApi {
    pub(super) async fn re_encrypt_one(
        &self,
        caller: &Caller,
        asked: wire::ReEncryptRequest,
    ) -> Result<wire::ReEncryptResponse, ServiceError> {
        check_size("aad", &asked.aad, PLAINTEXT_BYTES_MAX)?;
        check_size(
            "destination_aad",
            &asked.destination_aad,
            PLAINTEXT_BYTES_MAX,
        )?;
        let header = Header::parse(&asked.ciphertext).map_err(ServiceError::Ciphertext)?;
        let from = self.find_key(caller, header.key_id).await?;
        let to = convert::optional_key_name(&asked.destination_key)?;
        let to = to.unwrap_or_else(|| from.clone());
        let source = convert::context(asked.context)?;
        let bound = if asked.replace_context {
            let destination = convert::context(asked.destination_context)?;
            let (source_aad, destination_aad) = (asked.aad, asked.destination_aad);
            Bound {
                source,
                source_aad,
                destination,
                destination_aad,
            }
        } else {
            if !asked.destination_context.is_empty() || !asked.destination_aad.is_empty() {
                let rule = "goes with replace_context only";
                return Err(ServiceError::invalid("destination_context", rule));
            }
            let (destination, destination_aad) = (source.clone(), asked.aad.clone());
            Bound {
                source,
                source_aad: asked.aad,
                destination,
                destination_aad,
            }
        };
        let it = ReEncryption {
            entropy: &*self.0.env.entropy,
            caller,
            from: (&from, header.version),
            to: &to,
            blob: &asked.ciphertext,
            bound: &bound,
        };
        let (ciphertext, key, version) = self.0.run_use(caller, it).await?;
        Ok(wire::ReEncryptResponse {
            ciphertext,
            source_key: from.to_string(),
            source_version: header.version.0,
            key,
            version,
        })
    }
}

/// One re-encryption.
struct ReEncryption<'a> {
    entropy: &'a dyn Entropy,
    caller: &'a Caller,
    from: (&'a KeyName, VersionNumber),
    to: &'a KeyName,
    blob: &'a [u8],
    bound: &'a Bound,
}

#[async_trait]
impl Use for ReEncryption<'_> {
    /// The new message, and the key and the version that it is under.
    type Result = (Vec<u8>, String, u32);

    fn operation(&self) -> Operation {
        Operation::ReEncrypt
    }

    fn context(&self) -> &EncryptionContext {
        &self.bound.source
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Self::Result>, ServiceError> {
        let (name, version) = self.from;
        let (open, seal) = replica.with_state(|state| {
            let decide = |direction, name, version| {
                decide(
                    state,
                    self.caller,
                    Operation::ReEncrypt,
                    direction,
                    name,
                    version,
                )
            };
            let open = decide(Direction::Process, name, Some(version));
            (open, decide(Direction::Protect, self.to, None))
        });
        let result = match (open.chosen, seal.chosen) {
            (Ok(open), Ok(seal)) => self.reseal(unsealed, &open, &seal).await,
            (Err(denial), _) | (Ok(_), Err(denial)) => Err(denial.into()),
        };
        let (key, destination) = (Some(open.key), Some(seal.key));
        let access_revision = open.access_revision;
        Ok(Prepared {
            key,
            destination,
            access_revision,
            count: 1,
            result,
        })
    }
}

impl ReEncryption<'_> {
    async fn reseal(
        &self,
        unsealed: &Unsealed,
        open: &Chosen,
        seal: &Chosen,
    ) -> Result<(Vec<u8>, String, u32), ServiceError> {
        let message = decrypt::Item {
            blob: self.blob,
            aad: &self.bound.source_aad,
        };
        let source = unsealed.ready(open.version_ref()).await?;
        let plaintext = open_one(&source, &self.bound.source, message).await?;
        let (context, aad) = (&self.bound.destination, &self.bound.destination_aad);
        let item = encrypt::Item {
            plaintext: plaintext.expose(),
            aad,
        };
        let mut blobs = encrypt::seal_all(self.entropy, unsealed, seal, context, &[item]).await?;
        let blob = blobs.pop().unwrap_or_default();
        Ok((blob, seal.name.to_string(), seal.number.0))
    }
}
