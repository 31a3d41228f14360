//! Encrypting one message or a batch of them under one key and context.

use super::items::{merge, part};
use super::{CryptoApi, check_size};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::parallel;
use crate::unsealed::Unsealed;
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{Direction, EncryptionContext, KeyName, Operation, VersionNumber};
use conclave_crypto::MessagePrk;
use conclave_crypto::message::{self, Sealing};
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
        let (operation, direction) = (self.under.operation, Direction::Protect);
        let decision = replica
            .with_state(|state| decide(state, self.caller, operation, direction, name, *version));
        let result = match decision.chosen {
            Ok(chosen) => self.seal(unsealed, &chosen).await,
            Err(denial) => Err(denial.into()),
        };
        Ok(Prepared::of(
            decision.key,
            decision.access_revision,
            self.items.len(),
            result,
        ))
    }
}

impl Encryption<'_> {
    async fn seal(&self, unsealed: &Unsealed, chosen: &Chosen) -> Result<Sealed, ServiceError> {
        let blobs = seal_all(
            self.entropy,
            unsealed,
            chosen,
            self.under.context,
            self.items,
        )
        .await?;
        Ok(Sealed {
            key: chosen.name.to_string(),
            version: chosen.number.0,
            blobs,
        })
    }
}

/// Encrypts messages under a version that may be used, in their order.
pub(super) async fn seal_all(
    entropy: &dyn Entropy,
    unsealed: &Unsealed,
    chosen: &Chosen,
    context: &EncryptionContext,
    items: &[Item<'_>],
) -> Result<Vec<Vec<u8>>, ServiceError> {
    let refused = |e| ServiceError::invalid("plaintext", e);
    let version = unsealed.ready(chosen.version_ref()).await?;
    let sealing = Sealing::new(version.suite()?, chosen.id, chosen.number, context);
    let sealing = sealing.map_err(refused)?;
    // Drawn together: each draw is a call into the kernel.
    let mut salts = vec![0; 32 * items.len()];
    entropy.fill(&mut salts);
    let salted: Vec<_> = items.iter().zip(salts.as_chunks::<32>().0).collect();
    let seal = |prk: &MessagePrk, item: &Item<'_>, salt: &[u8; 32]| {
        let blob = sealing.seal(prk, salt, item.aad, item.plaintext);
        blob.map_err(refused)
    };
    if let Some(material) = version.material() {
        let seal = |(item, salt): &(&Item<'_>, &[u8; 32])| {
            seal(&message::prk_software(material, salt), item, salt)
        };
        return parallel::each(&salted, seal).await.into_iter().collect();
    }
    let prks = version.message_prks(salted.iter().map(|(_, salt)| **salt).collect());
    let prks = prks.await.into_iter().zip(salted);
    prks.map(|(prk, (item, salt))| seal(&prk?, item, salt))
        .collect()
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
    ) -> Vec<Result<wire::EncryptResponse, ServiceError>> {
        let items: Vec<_> = items
            .into_iter()
            .map(|it| (Zeroizing::new(it.plaintext), it.aad))
            .collect();
        let (good, verdicts) = part(items.iter().map(|(plaintext, aad)| {
            check_size("plaintext", plaintext, PLAINTEXT_BYTES_MAX)?;
            check_size("aad", aad, PLAINTEXT_BYTES_MAX)?;
            Ok(Item { plaintext, aad })
        }));
        let sealed = if good.is_empty() {
            Err(ServiceError::Contended)
        } else {
            self.encrypt_items(caller, under, &good).await
        };
        let made = match sealed {
            Ok(sealed) => {
                let answer = |ciphertext| wire::EncryptResponse {
                    ciphertext,
                    key: sealed.key.clone(),
                    version: sealed.version,
                };
                sealed.blobs.into_iter().map(answer).map(Ok).collect()
            }
            Err(error) => good.iter().map(|_| Err(error.clone())).collect(),
        };
        merge(verdicts, made).collect()
    }
}
