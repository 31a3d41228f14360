//! One version, ready for messages.

use super::{Unsealed, VersionRef};
use crate::error::ServiceError;
use crate::limits::HSM_CALLS_AHEAD;
use crate::loaded::Loaded;
use conclave_crypto::{KeyMaterial, MessagePrk, Suite, message};
use conclave_env::HsmError;
use futures::{StreamExt as _, stream};
use std::sync::Arc;

/// A version whose material is loaded.
pub struct Ready<'a> {
    pub(super) unsealed: &'a Unsealed,
    pub(super) version: VersionRef<'a>,
    pub(super) suite: Suite,
    pub(super) loaded: Arc<Loaded>,
}

impl Ready<'_> {
    /// The message format's suite of the version.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The version's material, unless it is inside the HSM.
    pub fn material(&self) -> Option<&KeyMaterial> {
        match &*self.loaded {
            Loaded::Software(material) => Some(material),
            Loaded::Hsm(_) => None,
        }
    }

    /// The pseudorandom keys of messages with these salts under the version, in their order; several are under way in an
    /// HSM at a time.
    ///
    /// # Errors
    /// [`ServiceError::Tampered`] if the wrapped material is not what it should be, or as the HSM has them.
    pub async fn message_prks(
        &self,
        salts: Vec<[u8; 32]>,
    ) -> Vec<Result<MessagePrk, ServiceError>> {
        let prks = salts
            .into_iter()
            .map(|salt| async move { self.message_prk(&salt).await });
        stream::iter(prks).buffered(HSM_CALLS_AHEAD).collect().await
    }

    async fn message_prk(&self, salt: &[u8; 32]) -> Result<MessagePrk, ServiceError> {
        let key = match &*self.loaded {
            Loaded::Software(material) => return Ok(message::prk_software(material, salt)),
            Loaded::Hsm(key) => *key,
        };
        let (unsealed, version) = (self.unsealed, self.version);
        match unsealed.hmac(key, salt).await {
            // Another use may have pushed the version out of the HSM since it was found to be in it.
            Err(HsmError::KeyGone) => {
                unsealed.versions.forget(version.id, version.number);
                match &*unsealed.load(version).await? {
                    Loaded::Hsm(key) => Ok(unsealed.hmac(*key, salt).await?),
                    Loaded::Software(material) => Ok(message::prk_software(material, salt)),
                }
            }
            answer => Ok(answer?),
        }
    }
}
