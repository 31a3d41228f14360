//! Re-encryption inside the node, of one message or a batch of them: the plaintext never leaves it.

use super::decrypt::{self, Failures, open_all};
use super::items::{KeyRef, all_of, answer_each, by_version, check_items, merge, part, pick, put};
use super::{CryptoApi, check_size, encrypt};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::services::convert;
use crate::unsealed::Unsealed;
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{Direction, EncryptionContext, KeyName, Operation, VersionNumber};
use conclave_crypto::SecretBytes;
use conclave_env::Entropy;
use conclave_proto::v1 as wire;
use conclave_raft::Replica;
use std::collections::BTreeMap;

/// Where messages go.
struct Destination {
    /// `None`: each stays under its key.
    key: Option<KeyName>,
    source: EncryptionContext,
    context: EncryptionContext,
    replace_context: bool,
}

impl Destination {
    fn new(
        key: &str,
        source: BTreeMap<String, String>,
        destination: BTreeMap<String, String>,
        replace_context: bool,
    ) -> Result<Self, ServiceError> {
        let key = convert::optional_key_name(key)?;
        let source = convert::context(source)?;
        if !replace_context && !destination.is_empty() {
            return Err(not_replaced("destination_context"));
        }
        let context = if replace_context {
            convert::context(destination)?
        } else {
            source.clone()
        };
        Ok(Self {
            key,
            source,
            context,
            replace_context,
        })
    }

    fn item<'a>(
        &self,
        blob: &'a [u8],
        aad: &'a [u8],
        destination_aad: &'a [u8],
    ) -> Result<Item<'a>, ServiceError> {
        check_size("aad", aad, PLAINTEXT_BYTES_MAX)?;
        check_size("destination_aad", destination_aad, PLAINTEXT_BYTES_MAX)?;
        if !self.replace_context && !destination_aad.is_empty() {
            return Err(not_replaced("destination_aad"));
        }
        let seal_aad = if self.replace_context {
            destination_aad
        } else {
            aad
        };
        Ok(Item {
            open: decrypt::Item { blob, aad },
            seal_aad,
        })
    }
}

fn not_replaced(field: &'static str) -> ServiceError {
    ServiceError::invalid(field, "goes with replace_context only")
}

/// One message.
#[derive(Clone, Copy)]
struct Item<'a> {
    open: decrypt::Item<'a>,
    /// Additional data that it is bound to afterwards.
    seal_aad: &'a [u8],
}

type Answer = Result<wire::ReEncryptResponse, ServiceError>;

impl CryptoApi {
    pub(super) async fn re_encrypt_one(
        &self,
        caller: &Caller,
        asked: wire::ReEncryptRequest,
    ) -> Result<wire::ReEncryptResponse, ServiceError> {
        let to = Destination::new(
            &asked.destination_key,
            asked.context,
            asked.destination_context,
            asked.replace_context,
        )?;
        let item = to.item(&asked.ciphertext, &asked.aad, &asked.destination_aad)?;
        let mut answers = self.re_encrypt_items(caller, &to, &[item]).await;
        answers.pop().unwrap_or(Err(ServiceError::Contended))
    }

    pub(super) async fn re_encrypt_many(
        &self,
        caller: &Caller,
        asked: wire::BatchReEncryptRequest,
    ) -> Result<wire::BatchReEncryptResponse, ServiceError> {
        check_items(asked.items.len())?;
        let to = Destination::new(
            &asked.destination_key,
            asked.context,
            asked.destination_context,
            asked.replace_context,
        )?;
        let items = asked.items.iter();
        let items = items.map(|it| to.item(&it.ciphertext, &it.aad, &it.destination_aad));
        let (good, verdicts) = part(items);
        let answers = self.re_encrypt_items(caller, &to, &good).await;
        Ok(answer_each!(
            BatchReEncryptResponse,
            batch_re_encrypt_response,
            merge(verdicts, answers)
        ))
    }

    /// Each on its own; those of one key version share a decision and a record, and those of them that do not open share
    /// another.
    async fn re_encrypt_items(
        &self,
        caller: &Caller,
        to: &Destination,
        items: &[Item<'_>],
    ) -> Vec<Answer> {
        let messages: Vec<_> = items.iter().map(|item| item.open).collect();
        let (groups, mut results) = by_version(&messages);
        for (key, places) in groups {
            let group = pick(items, &places);
            let answers = self.re_encrypt_group(caller, to, key, &group).await;
            put(&mut results, places, answers);
        }
        all_of(results)
    }

    async fn re_encrypt_group(
        &self,
        caller: &Caller,
        to: &Destination,
        (id, version): KeyRef,
        items: &[Item<'_>],
    ) -> Vec<Answer> {
        let all = |error: ServiceError| items.iter().map(|_| Err(error.clone())).collect();
        let from = match self.find_key(caller, id).await {
            Ok(name) => name,
            Err(error) => return all(error),
        };
        let destination = to.key.as_ref().unwrap_or(&from);
        let it = ReEncryption {
            entropy: &*self.0.env.entropy,
            caller,
            from: (&from, version),
            to: destination,
            contexts: (&to.source, &to.context),
            items,
        };
        let moved = match self.0.run_use(caller, it).await {
            Ok(moved) => moved,
            Err(error) => return all(error),
        };
        let count = moved.blobs.iter().filter(|it| it.is_err()).count();
        if count > 0 {
            let failures = Failures {
                operation: Operation::ReEncrypt,
                name: &from,
                version,
                destination: Some(destination),
                context: &to.source,
                count,
            };
            if let Err(error) = self.record_failures_to_open(caller, failures).await {
                return all(error);
            }
        }
        let answer = |ciphertext: Vec<u8>| wire::ReEncryptResponse {
            ciphertext,
            source_key: from.to_string(),
            source_version: version.0,
            key: moved.key.clone(),
            version: moved.version,
        };
        let blobs = moved.blobs.into_iter();
        blobs.map(|it| it.map(answer)).collect()
    }
}

/// Re-encrypting some messages of one key version.
struct ReEncryption<'a> {
    entropy: &'a dyn Entropy,
    caller: &'a Caller,
    from: (&'a KeyName, VersionNumber),
    to: &'a KeyName,
    /// The source's, and the destination's.
    contexts: (&'a EncryptionContext, &'a EncryptionContext),
    items: &'a [Item<'a>],
}

/// Messages that were re-encrypted and recorded.
struct Moved {
    /// That they are under.
    key: String,
    version: u32,
    /// In the order of the items; at least one opened.
    blobs: Vec<Result<Vec<u8>, ServiceError>>,
}

#[async_trait]
impl Use for ReEncryption<'_> {
    type Result = Moved;

    fn operation(&self) -> Operation {
        Operation::ReEncrypt
    }

    fn context(&self) -> &EncryptionContext {
        self.contexts.0
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Moved>, ServiceError> {
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
        let moved = |it: &Moved| it.blobs.iter().filter(|blob| blob.is_ok()).count();
        let count = result.as_ref().map_or(self.items.len(), moved);
        let prepared = Prepared::of(open.key, open.access_revision, count, result);
        Ok(Prepared {
            destination: Some(seal.key),
            ..prepared
        })
    }
}

impl ReEncryption<'_> {
    async fn reseal(
        &self,
        unsealed: &Unsealed,
        open: &Chosen,
        seal: &Chosen,
    ) -> Result<Moved, ServiceError> {
        let messages: Vec<_> = self.items.iter().map(|item| item.open).collect();
        let (source, destination) = self.contexts;
        let opened: Vec<Result<SecretBytes, ServiceError>> =
            open_all(unsealed, open, source, &messages).await?;
        let plaintexts: Vec<_> = opened
            .iter()
            .zip(self.items)
            .filter_map(|(plaintext, item)| {
                Some(encrypt::Item {
                    plaintext: plaintext.as_ref().ok()?.expose(),
                    aad: item.seal_aad,
                })
            })
            .collect();
        let sealed = encrypt::seal_all(self.entropy, unsealed, seal, destination, &plaintexts);
        let mut sealed = sealed.await?.into_iter();
        let mut blob = |plaintext: &Result<SecretBytes, ServiceError>| match plaintext {
            Ok(_) => sealed.next().ok_or(ServiceError::Contended),
            Err(error) => Err(error.clone()),
        };
        let blobs = opened.iter().map(&mut blob).collect();
        Ok(Moved {
            key: seal.name.to_string(),
            version: seal.number.0,
            blobs,
        })
    }
}
