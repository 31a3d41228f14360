//! Signatures.

use super::{CryptoApi, check_size};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::services::convert;
use crate::unsealed::Unsealed;
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{Direction, EncryptionContext, KeyName, Operation, VersionNumber};
use conclave_crypto::sign::{Input, Scheme};
use conclave_proto::v1::{self as wire, sign_request, verify_request};
use conclave_raft::Replica;
use zeroize::Zeroizing;

impl CryptoApi {
    pub(super) async fn sign_one(
        &self,
        caller: &Caller,
        asked: wire::SignRequest,
    ) -> Result<wire::SignResponse, ServiceError> {
        let given = asked.input.map(|input| match input {
            sign_request::Input::Message(message) => Given::Message(message.into()),
            sign_request::Input::Digest(digest) => Given::Digest(digest.into()),
        });
        let it = Signing {
            caller,
            name: convert::key_name(&asked.key)?,
            version: convert::version(asked.version),
            given: checked(given)?,
            scheme: asked.scheme,
            signature: None,
            context: EncryptionContext::default(),
        };
        let made = self.0.run_use(caller, it).await?;
        Ok(wire::SignResponse {
            signature: made.signature,
            key: made.key,
            version: made.version.0,
            scheme: convert::wire_scheme(made.scheme).into(),
        })
    }

    pub(super) async fn verify_one(
        &self,
        caller: &Caller,
        asked: wire::VerifyRequest,
    ) -> Result<wire::VerifyResponse, ServiceError> {
        let given = asked.input.map(|input| match input {
            verify_request::Input::Message(message) => Given::Message(message.into()),
            verify_request::Input::Digest(digest) => Given::Digest(digest.into()),
        });
        let it = Signing {
            caller,
            name: convert::key_name(&asked.key)?,
            version: convert::version(asked.version),
            given: checked(given)?,
            scheme: asked.scheme,
            signature: Some(asked.signature),
            context: EncryptionContext::default(),
        };
        let verified = self.0.run_use(caller, it).await?;
        Ok(wire::VerifyResponse {
            key: verified.key,
            version: verified.version.0,
        })
    }
}

/// What is to be signed, or was.
pub(super) enum Given {
    Message(Zeroizing<Vec<u8>>),
    Digest(Zeroizing<Vec<u8>>),
}

pub(super) fn checked(given: Option<Given>) -> Result<Given, ServiceError> {
    let given = given.ok_or_else(|| {
        ServiceError::invalid("input", "a message or a digest of it must be given")
    })?;
    if let Given::Message(message) = &given {
        check_size("message", message, PLAINTEXT_BYTES_MAX)?;
    }
    Ok(given)
}

impl Given {
    pub(super) fn as_input(&self) -> Input<'_> {
        match self {
            Self::Message(message) => Input::Message(message),
            Self::Digest(digest) => Input::Digest(digest),
        }
    }
}

/// Making a signature, or verifying one.
struct Signing<'a> {
    caller: &'a Caller,
    name: KeyName,
    version: Option<VersionNumber>,
    given: Given,
    /// As the caller wrote it: what is left open follows from the key.
    scheme: i32,
    /// The one to be verified; `None`: it is made.
    signature: Option<Vec<u8>>,
    /// A signature is of the message alone, so that others can verify it: nothing else is bound to it.
    context: EncryptionContext,
}

/// What came of it.
struct Done {
    key: String,
    version: VersionNumber,
    scheme: Scheme,
    /// Empty if one was verified.
    signature: Vec<u8>,
}

impl Signing<'_> {
    async fn compute(&self, unsealed: &Unsealed, chosen: &Chosen) -> Result<Done, ServiceError> {
        let scheme = convert::scheme(self.scheme, chosen.algorithm)?;
        let version = unsealed.ready(chosen.version_ref()).await?;
        let input = self.given.as_input();
        let signature = match &self.signature {
            None => version.sign(scheme, input).await?,
            Some(given) => {
                version.verify(scheme, input, given)?;
                Vec::new()
            }
        };
        Ok(Done {
            key: chosen.name.to_string(),
            version: chosen.number,
            scheme,
            signature,
        })
    }
}

#[async_trait]
impl Use for Signing<'_> {
    type Result = Done;

    fn operation(&self) -> Operation {
        if self.signature.is_none() {
            Operation::Sign
        } else {
            Operation::Verify
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
        let direction = if self.signature.is_none() {
            Direction::Protect
        } else {
            Direction::Process
        };
        let (operation, name, version) = (self.operation(), &self.name, self.version);
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
