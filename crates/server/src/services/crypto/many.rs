//! Batches of signatures and of codes. All items are of one key version and share one decision; those that were done share
//! a record, and those whose code or signature is wrong another.

use super::items::{answer_each, check_items, merge, part};
use super::sign::{self, Given};
use super::{CryptoApi, check_size};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::services::convert;
use crate::unsealed::Unsealed;
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{Direction, EncryptionContext, KeyName, Operation, VersionNumber};
use conclave_crypto::sign::Scheme;
use conclave_proto::v1 as wire;
use conclave_raft::Replica;
use zeroize::Zeroizing;

type Made = Result<Vec<u8>, ServiceError>;

/// What is done, and with what.
enum Task {
    /// By a scheme as the caller wrote it.
    Sign(i32, Vec<Given>),
    /// As above, each with its signature.
    Verify(i32, Vec<(Given, Vec<u8>)>),
    GenerateMac(Vec<Zeroizing<Vec<u8>>>),
    VerifyMac(Vec<(Zeroizing<Vec<u8>>, Vec<u8>)>),
}

impl Task {
    fn operation(&self) -> Operation {
        match self {
            Self::Sign(..) => Operation::Sign,
            Self::Verify(..) => Operation::Verify,
            Self::GenerateMac(_) => Operation::GenerateMac,
            Self::VerifyMac(_) => Operation::VerifyMac,
        }
    }

    fn direction(&self) -> Direction {
        match self {
            Self::Sign(..) | Self::GenerateMac(_) => Direction::Protect,
            Self::Verify(..) | Self::VerifyMac(_) => Direction::Process,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Sign(_, items) => items.len(),
            Self::Verify(_, items) => items.len(),
            Self::GenerateMac(items) => items.len(),
            Self::VerifyMac(items) => items.len(),
        }
    }
}

/// What came of it.
struct Done {
    version: VersionNumber,
    scheme: Scheme,
    /// In the order of the items: a signature, a code, or nothing if one was verified. At least one was done.
    items: Vec<Made>,
}

/// What verifying makes.
fn nothing(verified: Vec<Result<(), ServiceError>>) -> Vec<Made> {
    let made = verified.into_iter().map(|it| it.map(|()| Vec::new()));
    made.collect()
}

/// A batch under way.
struct Many<'a> {
    caller: &'a Caller,
    name: &'a KeyName,
    version: Option<VersionNumber>,
    task: &'a Task,
    /// Of each item, if none could be done: there is nothing in it to be kept back.
    errors: &'a mut Vec<ServiceError>,
    context: EncryptionContext,
}

/// Whether an error is an item's own, rather than that of them all.
fn is_of_item(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::MacInvalid { .. }
            | ServiceError::SignatureInvalid { .. }
            | ServiceError::Invalid { .. }
    )
}

impl Many<'_> {
    async fn compute(
        &mut self,
        unsealed: &Unsealed,
        chosen: &Chosen,
    ) -> Result<Done, ServiceError> {
        let version = unsealed.ready(chosen.version_ref()).await?;
        let mut scheme = Scheme::Ed25519;
        let items: Vec<Made> = match self.task {
            Task::Sign(asked, given) => {
                scheme = convert::scheme(*asked, chosen.algorithm)?;
                let inputs: Vec<_> = given.iter().map(Given::as_input).collect();
                version.sign_each(scheme, &inputs).await
            }
            Task::Verify(asked, given) => {
                scheme = convert::scheme(*asked, chosen.algorithm)?;
                let items: Vec<_> = given
                    .iter()
                    .map(|(given, signature)| (given.as_input(), signature.as_slice()))
                    .collect();
                nothing(version.verify_each(scheme, &items).await)
            }
            Task::GenerateMac(messages) => {
                let messages: Vec<&[u8]> = messages.iter().map(|it| it.as_slice()).collect();
                version.mac_each(&messages).await
            }
            Task::VerifyMac(items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|(message, code)| (message.as_slice(), code.as_slice()))
                    .collect();
                nothing(version.verify_mac_each(&items).await)
            }
        };
        let failed = |it: &Made| it.as_ref().err().cloned();
        if let Some(error) = items.iter().filter_map(failed).find(|it| !is_of_item(it)) {
            return Err(error);
        }
        let version = chosen.number;
        if items.iter().any(Result::is_ok) {
            return Ok(Done {
                version,
                scheme,
                items,
            });
        }
        *self.errors = items.into_iter().filter_map(Result::err).collect();
        let recorded = |it: &&ServiceError| it.use_refusal().is_some();
        let error = self.errors.iter().find(recorded).or(self.errors.first());
        Err(error.cloned().unwrap_or(ServiceError::Contended))
    }

    /// Of the items, those that the record is of.
    fn count(&self, result: &Result<Done, ServiceError>) -> usize {
        match result {
            Ok(done) => done.items.iter().filter(|it| it.is_ok()).count(),
            Err(_) if self.errors.is_empty() => self.task.len(),
            Err(_) => recorded(self.errors.iter()),
        }
    }
}

/// How many of these errors the audit log is told of.
fn recorded<'a>(errors: impl Iterator<Item = &'a ServiceError>) -> usize {
    errors.filter(|it| it.use_refusal().is_some()).count()
}

#[async_trait]
impl Use for Many<'_> {
    type Result = Done;

    fn operation(&self) -> Operation {
        self.task.operation()
    }

    fn context(&self) -> &EncryptionContext {
        &self.context
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Done>, ServiceError> {
        self.errors.clear();
        let (operation, direction) = (self.task.operation(), self.task.direction());
        let (name, version) = (self.name, self.version);
        let decision = replica
            .with_state(|state| decide(state, self.caller, operation, direction, name, version));
        let result = match decision.chosen {
            Err(denial) => Err(denial.into()),
            Ok(chosen) => self.compute(unsealed, &chosen).await,
        };
        Ok(Prepared::of(
            decision.key,
            decision.access_revision,
            self.count(&result),
            result,
        ))
    }
}

/// The items of a batch whose code or signature was wrong, recorded beside those that were done.
struct Failures<'a> {
    operation: Operation,
    name: &'a KeyName,
    version: VersionNumber,
    count: usize,
    error: ServiceError,
    context: EncryptionContext,
}

#[async_trait]
impl Use for Failures<'_> {
    type Result = ();

    fn operation(&self) -> Operation {
        self.operation
    }

    fn context(&self) -> &EncryptionContext {
        &self.context
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        _: &Unsealed,
    ) -> Result<Prepared<()>, ServiceError> {
        let (key, access_revision) = replica.with_state(|state| {
            let key = state.refused_key(self.name, Some(self.version));
            (key, state.access().revision())
        });
        Ok(Prepared::of(
            key,
            access_revision,
            self.count,
            Err(self.error.clone()),
        ))
    }
}

/// A batch of which all was answered: of each item, in their order.
struct Answered {
    version: u32,
    scheme: i32,
    items: Vec<Made>,
}

impl CryptoApi {
    /// Does what can be done. What fails of no fault of an item's own fails all of them.
    async fn run_many(
        &self,
        caller: &Caller,
        name: &KeyName,
        version: u32,
        task: &Task,
    ) -> Answered {
        let mut errors = Vec::new();
        let many = Many {
            caller,
            name,
            version: convert::version(version),
            task,
            errors: &mut errors,
            context: EncryptionContext::default(),
        };
        let all = |error: ServiceError| Answered {
            version: 0,
            scheme: 0,
            items: (0..task.len()).map(|_| Err(error.clone())).collect(),
        };
        if task.len() == 0 {
            return all(ServiceError::Contended);
        }
        let done = match self.0.run_use(caller, many).await {
            Ok(done) => done,
            Err(error) if errors.is_empty() || !is_of_item(&error) => return all(error),
            Err(_) => {
                let items = errors.into_iter().map(Err).collect();
                return Answered {
                    version: 0,
                    scheme: 0,
                    items,
                };
            }
        };
        if let Err(error) = self.record_failures(caller, name, task, &done).await {
            return all(error);
        }
        Answered {
            version: done.version.0,
            scheme: convert::wire_scheme(done.scheme).into(),
            items: done.items,
        }
    }

    async fn record_failures(
        &self,
        caller: &Caller,
        name: &KeyName,
        task: &Task,
        done: &Done,
    ) -> Result<(), ServiceError> {
        let errors = || done.items.iter().filter_map(|it| it.as_ref().err());
        let Some(error) = errors().find(|it| it.use_refusal().is_some()) else {
            return Ok(());
        };
        let failures = Failures {
            operation: task.operation(),
            name,
            version: done.version,
            count: recorded(errors()),
            error: error.clone(),
            context: EncryptionContext::default(),
        };
        match self.0.run_use(caller, failures).await {
            Err(told) if told.use_refusal() != error.use_refusal() => Err(told),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    pub(super) async fn sign_many(
        &self,
        caller: &Caller,
        asked: wire::BatchSignRequest,
    ) -> Result<wire::BatchSignResponse, ServiceError> {
        use wire::batch_sign_request::item::Input;
        check_items(asked.items.len())?;
        let name = convert::key_name(&asked.key)?;
        let given = asked.items.into_iter().map(|item| {
            sign::checked(item.input.map(|input| match input {
                Input::Message(message) => Given::Message(message.into()),
                Input::Digest(digest) => Given::Digest(digest.into()),
            }))
        });
        let (good, verdicts) = part(given);
        let task = Task::Sign(asked.scheme, good);
        let done = self.run_many(caller, &name, asked.version, &task).await;
        let (version, scheme) = (done.version, done.scheme);
        let made = merge(verdicts, done.items).map(|made| {
            made.map(|signature| wire::SignResponse {
                signature,
                key: name.to_string(),
                version,
                scheme,
            })
        });
        Ok(answer_each!(BatchSignResponse, batch_sign_response, made))
    }

    pub(super) async fn verify_many(
        &self,
        caller: &Caller,
        asked: wire::BatchVerifyRequest,
    ) -> Result<wire::BatchVerifyResponse, ServiceError> {
        use wire::batch_verify_request::item::Input;
        check_items(asked.items.len())?;
        let name = convert::key_name(&asked.key)?;
        let given = asked.items.into_iter().map(|item| {
            let given = item.input.map(|input| match input {
                Input::Message(message) => Given::Message(message.into()),
                Input::Digest(digest) => Given::Digest(digest.into()),
            });
            Ok((sign::checked(given)?, item.signature))
        });
        let (good, verdicts) = part(given);
        let task = Task::Verify(asked.scheme, good);
        let done = self.run_many(caller, &name, asked.version, &task).await;
        let version = done.version;
        let made = merge(verdicts, done.items).map(|made| {
            made.map(|_| wire::VerifyResponse {
                key: name.to_string(),
                version,
            })
        });
        Ok(answer_each!(
            BatchVerifyResponse,
            batch_verify_response,
            made
        ))
    }

    pub(super) async fn generate_macs(
        &self,
        caller: &Caller,
        asked: wire::BatchGenerateMacRequest,
    ) -> Result<wire::BatchGenerateMacResponse, ServiceError> {
        check_items(asked.items.len())?;
        let name = convert::key_name(&asked.key)?;
        let (good, verdicts) = part(asked.items.into_iter().map(|item| message(item.message)));
        let task = Task::GenerateMac(good);
        let done = self.run_many(caller, &name, asked.version, &task).await;
        let version = done.version;
        let made = merge(verdicts, done.items).map(|made| {
            made.map(|mac| wire::GenerateMacResponse {
                mac,
                key: name.to_string(),
                version,
            })
        });
        Ok(answer_each!(
            BatchGenerateMacResponse,
            batch_generate_mac_response,
            made
        ))
    }

    pub(super) async fn verify_macs(
        &self,
        caller: &Caller,
        asked: wire::BatchVerifyMacRequest,
    ) -> Result<wire::BatchVerifyMacResponse, ServiceError> {
        check_items(asked.items.len())?;
        let name = convert::key_name(&asked.key)?;
        let items = asked.items.into_iter();
        let (good, verdicts) = part(items.map(|item| Ok((message(item.message)?, item.mac))));
        let task = Task::VerifyMac(good);
        let done = self.run_many(caller, &name, asked.version, &task).await;
        let version = done.version;
        let made = merge(verdicts, done.items).map(|made| {
            made.map(|_| wire::VerifyMacResponse {
                key: name.to_string(),
                version,
            })
        });
        Ok(answer_each!(
            BatchVerifyMacResponse,
            batch_verify_mac_response,
            made
        ))
    }
}

fn message(bytes: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
    let bytes = Zeroizing::new(bytes);
    check_size("message", &bytes, PLAINTEXT_BYTES_MAX)?;
    Ok(bytes)
}
