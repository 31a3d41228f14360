//! Data keys: drawn for the caller to keep, or registered, and then opened by their ids.

use super::decrypt::{self, open_one};
use super::encrypt::{self, seal_all};
use super::{CryptoApi, check_size};
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::{DATA_KEY_BYTES, PLAINTEXT_BYTES_MAX};
use crate::services::convert;
use crate::unsealed::Unsealed;
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{
    DataKey, DataKeyId, DataKeyUse, Direction, EncryptionContext, KeyName, Labels, NewDataKey,
    Operation, Refusal,
};
use conclave_crypto::SecretBytes;
use conclave_env::Entropy;
use conclave_proto::v1 as wire;
use conclave_raft::Replica;
use std::mem;
use zeroize::Zeroizing;

fn length(asked: u32) -> Result<usize, ServiceError> {
    let length = if asked == 0 { 32 } else { asked };
    if !DATA_KEY_BYTES.contains(&length) {
        let rule = "16 to 64 bytes, or 0 for 32";
        return Err(ServiceError::invalid("length", rule));
    }
    Ok(usize::try_from(length).unwrap_or(64))
}

impl CryptoApi {
    pub(super) async fn data_key(
        &self,
        caller: &Caller,
        asked: wire::GenerateDataKeyRequest,
    ) -> Result<wire::GenerateDataKeyResponse, ServiceError> {
        check_size("aad", &asked.aad, PLAINTEXT_BYTES_MAX)?;
        let length = length(asked.length)?;
        let name = convert::key_name(&asked.key)?;
        let context = convert::context(asked.context)?;
        let labels = convert::labels(asked.labels)?;
        let drawn = self.0.seal.unsealed()?.data_key(&self.0.env).await?;
        let plaintext = Zeroizing::new(drawn.expose().get(..length).unwrap_or_default().to_vec());
        if asked.register {
            if !asked.aad.is_empty() {
                let rule = "a registered data key takes a context, and no aad";
                return Err(ServiceError::invalid("aad", rule));
            }
            let it = Registration {
                entropy: &*self.0.env.entropy,
                caller,
                name: &name,
                context: &context,
                labels: &labels,
                id: DataKeyId::of_request(&caller.principal, caller.request),
                plaintext,
                with_plaintext: !asked.without_plaintext,
                done: None,
            };
            return self.0.run_use(caller, it).await;
        }
        if !labels.is_empty() {
            let rule = "labels are of registered data keys: set `register`, or give none";
            return Err(ServiceError::invalid("labels", rule));
        }
        let item = encrypt::Item {
            plaintext: &plaintext,
            aad: &asked.aad,
        };
        let under = encrypt::Under {
            name,
            version: None,
            context: &context,
            operation: Operation::GenerateDataKey,
        };
        let sealed = self.encrypt_items(caller, &under, &[item]).await?;
        let (key, version) = (sealed.key, sealed.version);
        let ciphertext = sealed.blobs.into_iter().next().unwrap_or_default();
        let plaintext = if asked.without_plaintext {
            Vec::new()
        } else {
            mem::take(&mut *{ plaintext })
        };
        Ok(wire::GenerateDataKeyResponse {
            plaintext,
            ciphertext,
            key,
            version,
            data_key_id: Vec::new(),
        })
    }

    pub(super) async fn open_data_key(
        &self,
        caller: &Caller,
        asked: wire::DecryptDataKeyRequest,
    ) -> Result<wire::DecryptDataKeyResponse, ServiceError> {
        let it = Opening {
            node: &self.0,
            caller,
            id: convert::data_key_id(&asked.data_key_id)?,
            given: convert::context(asked.context)?,
            context: EncryptionContext::default(),
            done: None,
        };
        self.0.run_use(caller, it).await
    }
}

/// Drawing a data key that the cluster keeps.
struct Registration<'a> {
    entropy: &'a dyn Entropy,
    caller: &'a Caller,
    name: &'a KeyName,
    context: &'a EncryptionContext,
    labels: &'a Labels,
    id: DataKeyId,
    plaintext: Zeroizing<Vec<u8>>,
    with_plaintext: bool,
    done: Option<DataKeyUse>,
}

#[async_trait]
impl Use for Registration<'_> {
    type Result = wire::GenerateDataKeyResponse;

    fn operation(&self) -> Operation {
        Operation::GenerateDataKey
    }

    fn context(&self) -> &EncryptionContext {
        self.context
    }

    fn data_key(&self) -> Option<Box<DataKeyUse>> {
        self.done.clone().map(Box::new)
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Self::Result>, ServiceError> {
        self.done = None;
        let (earlier, decision, is_full) = replica.with_state(|state| {
            let earlier = state.data_key(self.id).cloned();
            let (direction, version) = match &earlier {
                None => (Direction::Protect, None),
                Some(it) => (Direction::Process, Some(it.version)),
            };
            let operation = Operation::GenerateDataKey;
            let decision = decide(state, self.caller, operation, direction, self.name, version);
            (earlier, decision, state.is_full_of_data_keys())
        });
        let result = match (decision.chosen, earlier) {
            (Err(denial), _) => Err(denial.into()),
            (Ok(chosen), Some(earlier)) => self.repeat(unsealed, &chosen, &earlier).await,
            (Ok(_), None) if is_full => Err(ServiceError::DataKeysFull),
            (Ok(chosen), None) => self.make(unsealed, &chosen).await,
        };
        Ok(Prepared::of(
            decision.key,
            decision.access_revision,
            1,
            result,
        ))
    }
}

impl Registration<'_> {
    async fn make(
        &mut self,
        unsealed: &Unsealed,
        chosen: &Chosen,
    ) -> Result<wire::GenerateDataKeyResponse, ServiceError> {
        let item = encrypt::Item {
            plaintext: &self.plaintext,
            aad: &[],
        };
        let blobs = seal_all(self.entropy, unsealed, chosen, self.context, &[item]).await?;
        self.done = Some(DataKeyUse::Register(NewDataKey {
            id: self.id,
            wrapped: blobs.into_iter().next().unwrap_or_default().into(),
            labels: self.labels.clone(),
        }));
        Ok(self.answer(&self.plaintext, chosen))
    }

    /// The answer of the first time, which was lost.
    async fn repeat(
        &mut self,
        unsealed: &Unsealed,
        chosen: &Chosen,
        earlier: &DataKey,
    ) -> Result<wire::GenerateDataKeyResponse, ServiceError> {
        let same = earlier.key == chosen.id
            && earlier.context == *self.context
            && earlier.labels == *self.labels;
        let plaintext = if same {
            open(unsealed, chosen, earlier).await?
        } else {
            return Err(Refusal::RequestReused.into());
        };
        if plaintext.expose().len() != self.plaintext.len() {
            return Err(Refusal::RequestReused.into());
        }
        let (id, revision) = (self.id, earlier.revision);
        self.done = Some(DataKeyUse::Of { id, revision });
        Ok(self.answer(plaintext.expose(), chosen))
    }

    fn answer(&self, plaintext: &[u8], chosen: &Chosen) -> wire::GenerateDataKeyResponse {
        let plaintext = if self.with_plaintext { plaintext } else { &[] };
        wire::GenerateDataKeyResponse {
            plaintext: plaintext.to_vec(),
            ciphertext: Vec::new(),
            key: chosen.name.to_string(),
            version: chosen.number.0,
            data_key_id: self.id.as_bytes().to_vec(),
        }
    }
}

/// Opening a registered data key.
struct Opening<'a> {
    node: &'a NodeContext,
    caller: &'a Caller,
    id: DataKeyId,
    /// By the caller; empty: none.
    given: EncryptionContext,
    /// The data key's.
    context: EncryptionContext,
    done: Option<DataKeyUse>,
}

#[async_trait]
impl Use for Opening<'_> {
    type Result = wire::DecryptDataKeyResponse;

    fn operation(&self) -> Operation {
        Operation::DecryptDataKey
    }

    fn context(&self) -> &EncryptionContext {
        &self.context
    }

    fn data_key(&self) -> Option<Box<DataKeyUse>> {
        self.done.clone().map(Box::new)
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Self::Result>, ServiceError> {
        let find = || {
            replica.with_state(|state| {
                let found = state.data_key(self.id)?.clone();
                let name = &state.key_by_id(found.key)?.info.name;
                let (operation, direction) = (Operation::DecryptDataKey, Direction::Process);
                let version = Some(found.version);
                let decision = decide(state, self.caller, operation, direction, name, version);
                Some((found, decision))
            })
        };
        let mut found = find();
        if found.is_none() {
            // A node that lags catches up before it says that there is none.
            self.node.catch_up(replica, self.caller.deadline).await?;
            found = find();
        }
        let (found, decision) = found.ok_or(ServiceError::UnknownDataKey(self.id))?;
        let (id, revision) = (self.id, found.revision);
        self.done = Some(DataKeyUse::Of { id, revision });
        let result = match decision.chosen {
            Err(denial) => Err(denial.into()),
            Ok(_) if !self.given.is_empty() && self.given != found.context => {
                Err(ServiceError::ContextMismatch(self.id))
            }
            Ok(chosen) => open(unsealed, &chosen, &found).await.map(|plaintext| {
                wire::DecryptDataKeyResponse {
                    plaintext: plaintext.expose().to_vec(),
                    key: chosen.name.to_string(),
                    version: chosen.number.0,
                }
            }),
        };
        self.context = found.context;
        Ok(Prepared::of(
            decision.key,
            decision.access_revision,
            1,
            result,
        ))
    }
}

/// A registered data key in clear, under a version that may be used.
///
/// # Errors
/// [`ServiceError::Tampered`] if it does not open: nobody but a node wrote it.
pub(super) async fn open(
    unsealed: &Unsealed,
    chosen: &Chosen,
    data_key: &DataKey,
) -> Result<SecretBytes, ServiceError> {
    let item = decrypt::Item {
        blob: &data_key.wrapped,
        aad: &[],
    };
    let version = unsealed.ready(chosen.version_ref()).await?;
    let opened = open_one(&version, &data_key.context, item).await;
    opened.map_err(|error| {
        if !matches!(error, ServiceError::Ciphertext(_)) {
            return error;
        }
        ServiceError::Tampered {
            key: chosen.name.to_string(),
            version: chosen.number.0,
        }
    })
}
