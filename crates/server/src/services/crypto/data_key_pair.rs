//! Key pairs for use outside the cluster.

use super::encrypt::{self, seal_all};
use super::{CryptoApi, check_size};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::services::convert;
use crate::unsealed::{Unsealed, pair_for_outside};
use crate::uses::{Chosen, Prepared, Use, decide};
use async_trait::async_trait;
use conclave_core::{Algorithm, Direction, EncryptionContext, KeyName, Operation};
use conclave_crypto::PrivateMaterial;
use conclave_env::Env;
use conclave_proto::v1 as wire;
use conclave_raft::Replica;

impl CryptoApi {
    pub(super) async fn data_key_pair(
        &self,
        caller: &Caller,
        asked: wire::GenerateDataKeyPairRequest,
    ) -> Result<wire::GenerateDataKeyPairResponse, ServiceError> {
        check_size("aad", &asked.aad, PLAINTEXT_BYTES_MAX)?;
        let it = PairDrawing {
            env: &self.0.env,
            caller,
            name: convert::key_name(&asked.key)?,
            algorithm: convert::algorithm(asked.algorithm)?,
            context: convert::context(asked.context)?,
            aad: &asked.aad,
            with_private_key: !asked.without_private_key,
            pair: None,
        };
        self.0.run_use(caller, it).await
    }
}

/// Drawing a key pair.
struct PairDrawing<'a> {
    env: &'a Env,
    caller: &'a Caller,
    name: KeyName,
    /// Of the pair.
    algorithm: Algorithm,
    context: EncryptionContext,
    aad: &'a [u8],
    with_private_key: bool,
    /// Kept if all is decided anew: primes take long.
    pair: Option<(PrivateMaterial, Vec<u8>)>,
}

#[async_trait]
impl Use for PairDrawing<'_> {
    type Result = wire::GenerateDataKeyPairResponse;

    fn operation(&self) -> Operation {
        Operation::GenerateDataKeyPair
    }

    fn context(&self) -> &EncryptionContext {
        &self.context
    }

    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Self::Result>, ServiceError> {
        let (operation, direction) = (self.operation(), Direction::Protect);
        let decision = replica
            .with_state(|state| decide(state, self.caller, operation, direction, &self.name, None));
        let result = match decision.chosen {
            Ok(chosen) => self.make(unsealed, &chosen).await,
            Err(denial) => Err(denial.into()),
        };
        Ok(Prepared::of(
            decision.key,
            decision.access_revision,
            1,
            result,
        ))
    }
}

impl PairDrawing<'_> {
    /// Only who may have a pair has one drawn.
    async fn make(
        &mut self,
        unsealed: &Unsealed,
        chosen: &Chosen,
    ) -> Result<wire::GenerateDataKeyPairResponse, ServiceError> {
        let pair = match self.pair.take() {
            Some(pair) => pair,
            None => pair_for_outside(self.env, self.algorithm, self.caller.deadline).await?,
        };
        let (private, public) = &*self.pair.insert(pair);
        let item = encrypt::Item {
            plaintext: private.expose(),
            aad: self.aad,
        };
        let entropy = &*self.env.entropy;
        let blobs = seal_all(entropy, unsealed, chosen, &self.context, &[item]).await?;
        let private: &[u8] = if self.with_private_key {
            private.expose()
        } else {
            &[]
        };
        Ok(wire::GenerateDataKeyPairResponse {
            private_key: private.to_vec(),
            ciphertext: blobs.into_iter().next().unwrap_or_default(),
            public_key: public.clone(),
            key: chosen.name.to_string(),
            version: chosen.number.0,
        })
    }
}
