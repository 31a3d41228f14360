//! Encrypting one message or a batch of them under one key and context.

use super::{CryptoApi, check_size, item_error, let_others_work};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::unsealed::Unsealed;
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{EncryptionContext, KeyName, Operation, Purpose, VersionNumber};
use conclave_crypto::message;
use conclave_env::Entropy;
use conclave_proto::v1 as wire;
use conclave_raft::Replica;
use zeroize::Zeroizing;

/// One message.
pub(super) struct Item<'a> {
    pub(super) plaintext: &'a [u8],
    pub(super) aad: &'a [u8],
}

/// Under what.
pub(super) struct Under<'a> {
    pub(super) name: KeyName,
    pub(super) version: Option<VersionNumber>,
    pub(super) context: &'a EncryptionContext,
    pub(super) operation: Operation,
}

/// Messages that are encrypted and recorded.
pub(super) struct Sealed {
    pub(super) key: String,
    pub(super) version: u32,
    /// In the order of the items.
    pub(super) blobs: Vec<Vec<u8>>,
}

/// Encrypting some messages together.
struct Encryption<'a> {
    entropy: &'a dyn Entropy,
    caller: &'a Caller,
    under: &'a Under<'a>,
    items: &'a [Item<'a>],
}

#[async_trait]
impl Use for Encryption<'_> {
    type Result = Sealed;

    fn operation(&self) -> Operation {
        self.under.operation
    }

    fn context(&self) -> &EncryptionContext {
        self.under.context
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Sealed>, ServiceError> {
        let Under { name, version, .. } = self.under;
        let decision = replica
            .with_state(|state| decide(state, self.caller, Purpose::Protect, name, *version));
        let result = match decision.chosen {
            Ok(chosen) => self.seal_all(unsealed, &chosen).await,
            Err(denial) => Err(denial.into()),
        };
        Ok(Prepared {
            key: Some(decision.key),
            destination: None,
            access_revision: decision.access_revision,
            count: u32::try_from(self.items.len()).unwrap_or(u32::MAX),
            result,
        })
    }
}

impl Encryption<'_> {
    async fn seal_all(&self, unsealed: &Unsealed, chosen: &Chosen) -> Result<Sealed, ServiceError> {
        let mut blobs = Vec::with_capacity(self.items.len());
        for (place, item) in self.items.iter().enumerate() {
            let context = self.under.context;
            blobs.push(seal_one(self.entropy, unsealed, chosen, context, item).await?);
            let_others_work(place).await;
        }
        Ok(Sealed {
            key: chosen.name.to_string(),
            version: chosen.number.0,
            blobs,
        })
    }
}

/// Encrypts one message under a version that may be used.
pub(super) async fn seal_one(
    entropy: &dyn Entropy,
    unsealed: &Unsealed,
    chosen: &Chosen,
    context: &EncryptionContext,
    item: &Item<'_>,
) -> Result<Vec<u8>, ServiceError> {
    let mut salt = [0; 32];
    entropy.fill(&mut salt);
    let prk = unsealed.message_prk(chosen.version_ref(), &salt).await?;
    let suite = Unsealed::suite(chosen.protection);
    let (id, number) = (chosen.id, chosen.number);
    message::seal(
        &prk,
        suite,
        id,
        number,
        &salt,
        context,
        item.aad,
        item.plaintext,
    )
    .map_err(|e| ServiceError::invalid("plaintext", e))
}

impl CryptoApi {
    /// Encrypts all items or none: they share one decision and one record.
    pub(super) async fn encrypt_items(
        &self,
        caller: &Caller,
        under: &Under<'_>,
        items: &[Item<'_>],
    ) -> Result<Sealed, ServiceError> {
        let entropy = &*self.0.env.entropy;
        self.0
            .run_use(
                caller,
                Encryption {
                    entropy,
                    caller,
                    under,
                    items,
                },
            )
            .await
    }

    /// Encrypts what can be encrypted of a batch; an item that is too large fails alone.
    pub(super) async fn encrypt_batch(
        &self,
        caller: &Caller,
        under: &Under<'_>,
        items: Vec<wire::batch_encrypt_request::Item>,
    ) -> Vec<wire::batch_encrypt_response::Result> {
        use wire::batch_encrypt_response::{Result as WireItem, result};
        let items: Vec<_> = items
            .into_iter()
            .map(|it| (Zeroizing::new(it.plaintext), it.aad))
            .collect();
        let checked: Vec<Result<Item<'_>, ServiceError>> = items
            .iter()
            .map(|(plaintext, aad)| {
                check_size("plaintext", plaintext, PLAINTEXT_BYTES_MAX)?;
                check_size("aad", aad, PLAINTEXT_BYTES_MAX)?;
                Ok(Item { plaintext, aad })
            })
            .collect();
        let mut good = Vec::with_capacity(checked.len());
        let verdicts: Vec<Result<(), ServiceError>> = checked
            .into_iter()
            .map(|it| it.map(|item| good.push(item)))
            .collect();
        let mut sealed = if good.is_empty() {
            Err(ServiceError::Contended)
        } else {
            self.encrypt_items(caller, under, &good).await.map(
                |Sealed {
                     key,
                     version,
                     blobs,
                 }| {
                    blobs
                        .into_iter()
                        .map(move |ciphertext| wire::EncryptResponse {
                            ciphertext,
                            key: key.clone(),
                            version,
                        })
                },
            )
        };
        let mut answer = |verdict: Result<(), ServiceError>| {
            let sealed = verdict.and_then(|()| match &mut sealed {
                Ok(sealed) => sealed.next().ok_or(ServiceError::Contended),
                Err(error) => Err(error.clone()),
            });
            let result = match sealed {
                Ok(sealed) => result::Result::Ok(sealed),
                Err(error) => result::Result::Error(item_error(&error)),
            };
            WireItem {
                result: Some(result),
            }
        };
        verdicts.into_iter().map(&mut answer).collect()
    }
}
