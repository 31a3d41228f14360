//! Decrypting one message or a batch of them. Key and version are found in each message.

use super::CryptoApi;
use super::items::{KeyRef, all_of, by_version, pick, put};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::parallel;
use crate::unsealed::{Ready, Unsealed};
use crate::uses::{Chosen, Decision, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{
    Direction, EncryptionContext, KeyId, KeyName, Operation, State, UseRefusal, VersionNumber,
};
use conclave_crypto::{CryptoError, Header, KeyMaterial, SecretBytes, message};
use conclave_proto::v1 as wire;
use conclave_raft::Replica;

/// One message.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) blob: &'a [u8],
    pub(super) aad: &'a [u8],
}

type Opened = Result<wire::DecryptResponse, ServiceError>;

impl CryptoApi {
    /// Decrypts each item on its own; those of one key version share a decision and a record, and those of them that do
    /// not open share another.
    pub(super) async fn decrypt_items(
        &self,
        caller: &Caller,
        named: Option<&KeyName>,
        context: &EncryptionContext,
        items: &[Item<'_>],
    ) -> Vec<Opened> {
        let (groups, mut results) = by_version(items);
        for (key, places) in groups {
            let group = pick(items, &places);
            let opened = self
                .decrypt_group(caller, named, context, key, &group)
                .await;
            put(&mut results, places, opened);
        }
        all_of(results)
    }

    /// Messages of one key version: all are tried, then those that open and those that do not are recorded apart.
    async fn decrypt_group(
        &self,
        caller: &Caller,
        named: Option<&KeyName>,
        context: &EncryptionContext,
        key: KeyRef,
        items: &[Item<'_>],
    ) -> Vec<Opened> {
        let all = |error: ServiceError| items.iter().map(|_| Err(error.clone())).collect();
        let name = match self.find_key(caller, key.0).await {
            Ok(name) => name,
            Err(error) => return all(error),
        };
        let named = named.cloned();
        let decryption = Decryption {
            caller,
            named,
            name: &name,
            version: key.1,
            context,
            items,
        };
        let opened = match self.0.run_use(caller, decryption).await {
            Ok(opened) => opened,
            Err(error) => return all(error),
        };
        let failures = opened.iter().filter(|it| it.is_err()).count();
        if failures > 0 {
            let record = Failures {
                operation: Operation::Decrypt,
                name: &name,
                destination: None,
                version: key.1,
                context,
                count: failures,
            };
            if let Err(error) = self.record_failures_to_open(caller, record).await {
                return all(error);
            }
        }
        let answer = |plaintext: SecretBytes| wire::DecryptResponse {
            plaintext: plaintext.expose().to_vec(),
            key: name.to_string(),
            version: key.1.0,
        };
        opened.into_iter().map(|it| it.map(answer)).collect()
    }

    /// Records that messages of a batch did not open.
    pub(super) async fn record_failures_to_open(
        &self,
        caller: &Caller,
        failures: Failures<'_>,
    ) -> Result<(), ServiceError> {
        match self.0.run_use(caller, failures).await {
            Err(error) if error.use_refusal() == Some(UseRefusal::CiphertextInvalid) => Ok(()),
            other => other,
        }
    }

    /// The name of the key that a message was encrypted with. A node that lags catches up before it says that there is
    /// none.
    pub(super) async fn find_key(
        &self,
        caller: &Caller,
        id: KeyId,
    ) -> Result<KeyName, ServiceError> {
        let find = |replica: &Replica| {
            replica.with_state(|state| state.key_by_id(id).map(|key| key.info.name.clone()))
        };
        let replica = self.0.replica.get()?;
        if let Some(name) = find(&replica) {
            return Ok(name);
        }
        self.0.catch_up(&replica, caller.deadline).await?;
        find(&replica).ok_or(ServiceError::UnknownKeyId)
    }
}

/// Decrypting some messages of one key version.
struct Decryption<'a> {
    caller: &'a Caller,
    /// By the caller, if it did.
    named: Option<KeyName>,
    name: &'a KeyName,
    version: VersionNumber,
    context: &'a EncryptionContext,
    items: &'a [Item<'a>],
}

#[async_trait]
impl Use for Decryption<'_> {
    /// Of each item, in their order; at least one opened.
    type Result = Vec<Result<SecretBytes, ServiceError>>;

    fn operation(&self) -> Operation {
        Operation::Decrypt
    }

    fn context(&self) -> &EncryptionContext {
        self.context
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Self::Result>, ServiceError> {
        let (name, version) = (self.name, Some(self.version));
        let (decision, is_named) = replica.with_state(|state| {
            let (operation, direction) = (Operation::Decrypt, Direction::Process);
            let decision = decide(state, self.caller, operation, direction, name, version);
            self.check_named(state, decision)
        });
        let result = match decision.chosen {
            Err(denial) => Err(denial.into()),
            Ok(_) if !is_named => self.mismatch(),
            Ok(chosen) => open_all(unsealed, &chosen, self.context, self.items).await,
        };
        let opened = |items: &Self::Result| items.iter().filter(|item| item.is_ok()).count();
        let count = result.as_ref().map_or(self.items.len(), opened);
        Ok(Prepared::of(
            decision.key,
            decision.access_revision,
            count,
            result,
        ))
    }
}

impl Decryption<'_> {
    /// Whether the key of the messages is the one that the caller named, if it did. It may be by an alias: should that be
    /// moved to the key or away from it, the key's revision changes, and this is decided again.
    fn check_named(&self, state: &State, mut decision: Decision) -> (Decision, bool) {
        let Some(named) = &self.named else {
            return (decision, true);
        };
        let found = state.named(named);
        let found = found.filter(|(key, _)| key.info.name == *self.name);
        if let Some((_, alias)) = found {
            decision.key.alias = alias.cloned();
        }
        (decision, found.is_some())
    }

    fn mismatch<T>(&self) -> Result<T, ServiceError> {
        let named = self
            .named
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        Err(ServiceError::KeyMismatch {
            named,
            actual: self.name.to_string(),
        })
    }
}

/// The items of a batch that did not open, recorded beside those that did.
pub(super) struct Failures<'a> {
    pub(super) operation: Operation,
    pub(super) name: &'a KeyName,
    pub(super) version: VersionNumber,
    /// Where they would have gone.
    pub(super) destination: Option<&'a KeyName>,
    pub(super) context: &'a EncryptionContext,
    pub(super) count: usize,
}

#[async_trait]
impl Use for Failures<'_> {
    type Result = ();

    fn operation(&self) -> Operation {
        self.operation
    }

    fn context(&self) -> &EncryptionContext {
        self.context
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        _: &Unsealed,
    ) -> Result<Prepared<()>, ServiceError> {
        let (key, destination, access_revision) = replica.with_state(|state| {
            let key = state.refused_key(self.name, Some(self.version));
            let destination = self.destination.map(|name| state.refused_key(name, None));
            (key, destination, state.access().revision())
        });
        let result = Err(ServiceError::Ciphertext(CryptoError::DoesNotOpen));
        let prepared = Prepared::of(key, access_revision, self.count, result);
        Ok(Prepared {
            destination,
            ..prepared
        })
    }
}

/// Opens what opens. If nothing does, the use as a whole failed.
pub(super) async fn open_all(
    unsealed: &Unsealed,
    chosen: &Chosen,
    context: &EncryptionContext,
    items: &[Item<'_>],
) -> Result<Vec<Result<SecretBytes, ServiceError>>, ServiceError> {
    let version = &unsealed.ready(chosen.version_ref()).await?;
    let answers = if let Some(material) = version.material() {
        let open = |item: &Item<'_>| open_software(version, material, context, *item);
        parallel::each(items, open).await
    } else {
        open_each(version, context, items).await
    };
    // What is no fault of a message ends the batch.
    let opened: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer {
            Err(error) if !matches!(error, ServiceError::Ciphertext(_)) => Err(error),
            answer => Ok(answer),
        })
        .collect::<Result<_, _>>()?;
    if opened.iter().any(Result::is_ok) {
        return Ok(opened);
    }
    match opened.into_iter().next() {
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(Vec::new()),
    }
}

/// Opens one message under a version that may be used.
pub(super) async fn open_one(
    version: &Ready<'_>,
    context: &EncryptionContext,
    item: Item<'_>,
) -> Result<SecretBytes, ServiceError> {
    let mut opened = open_each(version, context, &[item]).await;
    opened.pop().unwrap_or(Err(ServiceError::Contended))
}

async fn open_each(
    version: &Ready<'_>,
    context: &EncryptionContext,
    items: &[Item<'_>],
) -> Vec<Result<SecretBytes, ServiceError>> {
    let headers: Vec<_> = items.iter().map(|item| header_of(version, *item)).collect();
    let salts = headers.iter().flatten().map(|header| *header.salt());
    let mut prks = version.message_prks(salts.collect()).await.into_iter();
    let mut open = |(item, header): (&Item<'_>, Result<Header, ServiceError>)| {
        header?;
        let prk = prks.next().unwrap_or(Err(ServiceError::Contended))?;
        message::open(&prk, item.blob, context, item.aad).map_err(ServiceError::Ciphertext)
    };
    items.iter().zip(headers).map(&mut open).collect()
}

fn open_software(
    version: &Ready<'_>,
    material: &KeyMaterial,
    context: &EncryptionContext,
    item: Item<'_>,
) -> Result<SecretBytes, ServiceError> {
    let prk = message::prk_software(material, header_of(version, item)?.salt());
    message::open(&prk, item.blob, context, item.aad).map_err(ServiceError::Ciphertext)
}

fn header_of(version: &Ready<'_>, item: Item<'_>) -> Result<Header, ServiceError> {
    let header = Header::parse(item.blob).map_err(ServiceError::Ciphertext)?;
    if header.suite != version.suite()? {
        return Err(ServiceError::Ciphertext(CryptoError::DoesNotOpen));
    }
    Ok(header)
}
