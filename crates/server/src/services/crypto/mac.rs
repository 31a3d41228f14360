//! Message authentication codes.

use super::{CryptoApi, check_size};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::services::convert;
use crate::unsealed::Unsealed;
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{Direction, EncryptionContext, KeyName, Operation, VersionNumber};
use conclave_proto::v1 as wire;
use conclave_raft::Replica;
use zeroize::Zeroizing;

impl CryptoApi {
    pub(super) async fn generate_mac(
        &self,
        caller: &Caller,
        asked: wire::GenerateMacRequest,
    ) -> Result<wire::GenerateMacResponse, ServiceError> {
        let message = Zeroizing::new(asked.message);
        let it = Mac::of(caller, &asked.key, asked.version, &message, None)?;
        let made = self.0.run_use(caller, it).await?;
        Ok(wire::GenerateMacResponse {
            mac: made.mac,
            key: made.key,
            version: made.version.0,
        })
    }

    pub(super) async fn verify_mac(
        &self,
        caller: &Caller,
        asked: wire::VerifyMacRequest,
    ) -> Result<wire::VerifyMacResponse, ServiceError> {
        let message = Zeroizing::new(asked.message);
        let it = Mac::of(
            caller,
            &asked.key,
            asked.version,
            &message,
            Some(&asked.mac),
        )?;
        let verified = self.0.run_use(caller, it).await?;
        Ok(wire::VerifyMacResponse {
            key: verified.key,
            version: verified.version.0,
        })
    }
}

/// Making a code, or verifying one.
struct Mac<'a> {
    caller: &'a Caller,
    name: KeyName,
    version: Option<VersionNumber>,
    message: &'a [u8],
    /// The code to be verified; `None`: it is made.
    given: Option<&'a [u8]>,
    /// A code is of the message alone, so that others can verify it: nothing else is bound to it.
    context: EncryptionContext,
}

/// What came of it.
struct Done {
    key: String,
    version: VersionNumber,
    /// Empty if a code was verified.
    mac: Vec<u8>,
}

impl<'a> Mac<'a> {
    fn of(
        caller: &'a Caller,
        key: &str,
        version: u32,
        message: &'a [u8],
        given: Option<&'a [u8]>,
    ) -> Result<Self, ServiceError> {
        check_size("message", message, PLAINTEXT_BYTES_MAX)?;
        Ok(Self {
            caller,
            name: convert::key_name(key)?,
            version: convert::version(version),
            message,
            given,
            context: EncryptionContext::default(),
        })
    }

    async fn compute(&self, unsealed: &Unsealed, chosen: &Chosen) -> Result<Done, ServiceError> {
        let version = unsealed.ready(chosen.version_ref()).await?;
        let mac = match self.given {
            None => version.mac(self.message).await?,
            Some(given) => {
                version.verify_mac(self.message, given).await?;
                Vec::new()
            }
        };
        Ok(Done {
            key: chosen.name.to_string(),
            version: chosen.number,
            mac,
        })
    }
}

#[async_trait]
impl Use for Mac<'_> {
    type Result = Done;

    fn operation(&self) -> Operation {
        if self.given.is_none() {
            Operation::GenerateMac
        } else {
            Operation::VerifyMac
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
        let direction = if self.given.is_none() {
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
