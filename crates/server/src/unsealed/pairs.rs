//! Keys of two halves at protection SOFTWARE: how they are made, and made ready.

use super::receiving::{self, ReceivingKind, receiving_kind};
use super::signing::{self, signing_kind};
use crate::error::ServiceError;
use crate::loaded::Loaded;
use conclave_core::Algorithm;
use conclave_crypto::sign::KeyKind;
use conclave_crypto::{CryptoError, PrivateMaterial};
use conclave_env::Env;

/// What the private half does.
#[derive(Clone, Copy)]
pub(super) enum PairKind {
    Signs(KeyKind),
    Receives(ReceivingKind),
}

impl PairKind {
    /// Of an algorithm; `None` for symmetric ones.
    pub(super) fn of(algorithm: Algorithm) -> Option<Self> {
        let signs = signing_kind(algorithm).map(Self::Signs);
        signs.or_else(|| receiving_kind(algorithm).map(Self::Receives))
    }

    /// A new private key, and its public half in DER.
    ///
    /// # Errors
    /// As the HSM has them.
    pub(super) async fn generate(
        self,
        env: &Env,
    ) -> Result<(PrivateMaterial, Vec<u8>), ServiceError> {
        match self {
            Self::Signs(kind) => signing::generate(env, kind).await,
            Self::Receives(kind) => receiving::generate(env, kind).await,
        }
    }

    /// Makes a private key ready to be used.
    ///
    /// # Errors
    /// If it is no key of its kind, or `public` is not its public half.
    pub(super) fn prepare(
        self,
        private: &PrivateMaterial,
        public: Option<&[u8]>,
    ) -> Result<Loaded, CryptoError> {
        let (spki, loaded) = match self {
            Self::Signs(kind) => {
                let signing = signing::prepare(kind, private)?;
                let spki = signing.key.public_key().spki();
                (spki, Loaded::Signing(Box::new(signing)))
            }
            Self::Receives(kind) => {
                let receiving = receiving::prepare(kind, private)?;
                let spki = receiving.public_key().spki();
                (spki, Loaded::Receiving(Box::new(receiving)))
            }
        };
        if Some(spki.as_slice()) == public {
            Ok(loaded)
        } else {
            Err(CryptoError::TamperedWrap)
        }
    }
}
