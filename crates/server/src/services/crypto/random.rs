//! Random bytes of the HSM mixed with the operating system's.

use crate::caller::Caller;
use crate::error::ServiceError;
use crate::unsealed::{self, Unsealed};
use crate::uses::{Prepared, Use};
use async_trait::async_trait;
use conclave_core::{Action, Denial, EncryptionContext, Operation};
use conclave_crypto::Secret;
use conclave_env::Env;
use conclave_raft::Replica;

/// Bytes drawn at once.
const BLOCK_BYTES: usize = 64;

/// Drawing random bytes.
pub(super) struct Draw<'a> {
    env: &'a Env,
    caller: &'a Caller,
    length: usize,
    context: EncryptionContext,
}

impl<'a> Draw<'a> {
    pub(super) fn new(env: &'a Env, caller: &'a Caller, length: usize) -> Self {
        Self {
            env,
            caller,
            length,
            context: EncryptionContext::default(),
        }
    }

    async fn draw(&self) -> Result<Vec<u8>, ServiceError> {
        let mut random = Vec::with_capacity(self.length);
        while random.len() < self.length {
            let block: Secret<BLOCK_BYTES> =
                unsealed::random(self.env, b"conclave/1/generate-random").await?;
            let wanted = (self.length - random.len()).min(BLOCK_BYTES);
            random.extend(block.expose().iter().take(wanted));
        }
        Ok(random)
    }
}

#[async_trait]
impl Use for Draw<'_> {
    type Result = Vec<u8>;

    fn operation(&self) -> Operation {
        Operation::GenerateRandom
    }

    fn context(&self) -> &EncryptionContext {
        &self.context
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        _: &Unsealed,
    ) -> Result<Prepared<Vec<u8>>, ServiceError> {
        let (access_revision, allowed) = replica.with_state(|state| {
            let access = state.access();
            (
                access.revision(),
                access.permits_anywhere(&self.caller.principal, Action::UseKey),
            )
        });
        let result = if allowed {
            self.draw().await
        } else {
            Err(ServiceError::Denied(Denial::Permission {
                keyring: "(any)".to_owned(),
            }))
        };
        Ok(Prepared {
            key: None,
            destination: None,
            access_revision,
            count: 1,
            result,
        })
    }
}
