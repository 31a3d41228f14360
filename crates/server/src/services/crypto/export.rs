//! Giving the material of an exportable key out, wrapped for somebody else.

use super::CryptoApi;
use super::encrypt::{Item, seal_all};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::services::convert;
use crate::unsealed::{Unsealed, wrap_for};
use crate::uses::{Chosen, Decision, Prepared, Use, decide, decide_export};
use async_trait::async_trait;
use conclave_core::{Direction, EncryptionContext, KeyName, Operation, State, VersionNumber};
use conclave_crypto::PublicKey;
use conclave_crypto::oaep::EncryptingKey;
use conclave_env::Env;
use conclave_proto::v1 as wire;
use conclave_proto::v1::export_key_request::To as Asked;
use conclave_raft::Replica;

/// For whom.
enum To {
    /// Whoever has the private half.
    Public(EncryptingKey),
    /// Who may decrypt under another key of the cluster.
    Key(KeyName),
}

impl CryptoApi {
    pub(super) async fn export_one(
        &self,
        caller: &Caller,
        asked: wire::ExportKeyRequest,
    ) -> Result<wire::ExportKeyResponse, ServiceError> {
        let context = convert::context(asked.context)?;
        let to = match asked.to {
            None => return Err(ServiceError::invalid("to", "must be given")),
            Some(Asked::WrappingKey(name)) => To::Key(convert::key_name(&name)?),
            Some(Asked::PublicKey(_)) if !context.is_empty() => {
                let rule = "goes with `wrapping_key` only: nothing binds what is wrapped under RSA";
                return Err(ServiceError::invalid("context", rule));
            }
            Some(Asked::PublicKey(der)) => {
                let refused = |error| ServiceError::invalid("public_key", error);
                let public = PublicKey::from_spki(&der).map_err(refused)?;
                To::Public(EncryptingKey::new(&public).map_err(refused)?)
            }
        };
        let it = Export {
            env: &self.0.env,
            caller,
            name: convert::key_name(&asked.key)?,
            version: convert::version(asked.version),
            to,
            context,
        };
        self.0.run_use(caller, it).await
    }
}

/// One export.
struct Export<'a> {
    env: &'a Env,
    caller: &'a Caller,
    name: KeyName,
    version: Option<VersionNumber>,
    to: To,
    context: EncryptionContext,
}

#[async_trait]
impl Use for Export<'_> {
    type Result = wire::ExportKeyResponse;

    fn operation(&self) -> Operation {
        Operation::ExportKey
    }

    fn context(&self) -> &EncryptionContext {
        &self.context
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Self::Result>, ServiceError> {
        let (out, under) = replica.with_state(|state| {
            let out = decide_export(state, self.caller, &self.name, self.version);
            (out, self.decide_under(state))
        });
        let result = match (&out.chosen, under.as_ref().map(|it| &it.chosen)) {
            (Err(denial), _) | (Ok(_), Some(Err(denial))) => Err(denial.clone().into()),
            (Ok(out), Some(Ok(under))) => self.export(unsealed, out, Some(under)).await,
            (Ok(out), None) => self.export(unsealed, out, None).await,
        };
        Ok(Prepared {
            key: Some(out.key),
            destination: under.map(|it| it.key),
            access_revision: out.access_revision,
            count: 1,
            result,
        })
    }
}

impl Export<'_> {
    /// Whether the caller may encrypt under the key that is to wrap.
    fn decide_under(&self, state: &State) -> Option<Decision> {
        let To::Key(name) = &self.to else {
            return None;
        };
        let (operation, direction) = (Operation::Encrypt, Direction::Protect);
        Some(decide(state, self.caller, operation, direction, name, None))
    }

    async fn export(
        &self,
        unsealed: &Unsealed,
        out: &Chosen,
        under: Option<&Chosen>,
    ) -> Result<wire::ExportKeyResponse, ServiceError> {
        let material = unsealed.give_out(out.version_ref())?;
        let wrapped_key = match (&self.to, under) {
            (To::Public(recipient), _) => wrap_for(self.env, recipient, &material).await?,
            (To::Key(_), None) => return Err(ServiceError::Contended),
            (To::Key(_), Some(under)) => {
                let item = Item {
                    plaintext: material.expose(),
                    aad: &[],
                };
                let entropy = &*self.env.entropy;
                let blobs = seal_all(entropy, unsealed, under, &self.context, &[item]).await?;
                blobs.into_iter().next().unwrap_or_default()
            }
        };
        Ok(wire::ExportKeyResponse {
            wrapped_key,
            key: out.name.to_string(),
            version: out.number.0,
            wrapping_key: under.map(|it| it.name.to_string()).unwrap_or_default(),
            wrapping_version: under.map_or(0, |it| it.number.0),
        })
    }
}
