//! Many signatures or codes under one version: on all cores, or several under way in the HSM at a time.

use super::Ready;
use crate::error::ServiceError;
use crate::limits::HSM_CALLS_AHEAD;
use crate::loaded::Loaded;
use crate::parallel;
use conclave_crypto::mac;
use conclave_crypto::sign::{Input, Scheme};
use futures::{StreamExt as _, stream};

type Made = Result<Vec<u8>, ServiceError>;
type Verified = Result<(), ServiceError>;

/// A message and its code.
pub(crate) type Coded<'a> = (&'a [u8], &'a [u8]);

/// What was signed, and its signature.
pub(crate) type Signed<'a> = (Input<'a>, &'a [u8]);

impl Ready<'_> {
    /// Signs each, in their order. Each fails as [`Ready::sign`] does.
    pub async fn sign_each(&self, scheme: Scheme, inputs: &[Input<'_>]) -> Vec<Made> {
        let Loaded::Signing(signing) = &*self.loaded else {
            let signed = inputs.iter().map(|input| self.sign(scheme, *input));
            let signed: Vec<_> = signed.collect();
            return stream::iter(signed)
                .buffered(HSM_CALLS_AHEAD)
                .collect()
                .await;
        };
        let sign = |input: &Input<'_>| {
            let signed = signing.key.sign(scheme, *input);
            signed.map_err(|error| self.not_signed(&error))
        };
        match scheme {
            Scheme::RsaPkcs1(_) | Scheme::RsaPss(_) => parallel::each_long(inputs, sign).await,
            Scheme::Ed25519 | Scheme::Ecdsa(_) | Scheme::MlDsa65 => {
                parallel::each(inputs, sign).await
            }
        }
    }

    /// Verifies each input's signature, in their order. Each fails as [`Ready::verify`] does.
    pub async fn verify_each(&self, scheme: Scheme, items: &[Signed<'_>]) -> Vec<Verified> {
        let verify = |(input, signature): &Signed<'_>| self.verify(scheme, *input, signature);
        parallel::each(items, verify).await
    }

    /// The code of each message, in their order. Each fails as [`Ready::mac`] does.
    pub async fn mac_each(&self, messages: &[&[u8]]) -> Vec<Made> {
        let (Loaded::Software(material), Ok(hash)) = (&*self.loaded, self.mac_hash()) else {
            let made: Vec<_> = messages.iter().map(|message| self.mac(message)).collect();
            return stream::iter(made).buffered(HSM_CALLS_AHEAD).collect().await;
        };
        let make = |message: &&[u8]| {
            let made = mac::generate(hash, material, message);
            made.map_err(|error| self.refused(&error))
        };
        parallel::each(messages, make).await
    }

    /// Verifies the code of each message, in their order. Each fails as [`Ready::verify_mac`] does.
    pub async fn verify_mac_each(&self, items: &[Coded<'_>]) -> Vec<Verified> {
        let (Loaded::Software(material), Ok(hash)) = (&*self.loaded, self.mac_hash()) else {
            let verified = items.iter().copied();
            let verified = verified.map(|(message, code)| self.verify_mac(message, code));
            let verified: Vec<_> = verified.collect();
            return stream::iter(verified)
                .buffered(HSM_CALLS_AHEAD)
                .collect()
                .await;
        };
        let verify = |(message, code): &Coded<'_>| {
            let verified = mac::verify(hash, material, message, code);
            verified.map_err(|error| self.refused(&error))
        };
        parallel::each(items, verify).await
    }
}
