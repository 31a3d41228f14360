//! A hardware security module, as far as Conclave needs one.
//!
//! Keys are named by opaque handles that belong to one life of the module's session: after the session is lost,
//! or after [`Hsm::clear`], every handle answers [`HsmError::KeyGone`]. Secrets are written into the caller's
//! buffers, never returned in a value of their own.

use async_trait::async_trait;
use thiserror::Error;

/// A key inside the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HsmKey(pub u64);

/// What a key inside the module is for. All are sensitive and, once they are used, not extractable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HsmKeyKind {
    /// AES-256, wraps and unwraps other keys.
    Kek,
    /// 256-bit generic secret, HMAC-SHA-256 only.
    Mac,
}

/// Why the module failed. What a caller can do differs, what the module said is for the log.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HsmError {
    /// The PKCS#11 library cannot be loaded.
    #[error(
        "the PKCS#11 module {path} cannot be loaded ({detail}): check hsm.module in the configuration"
    )]
    ModuleMissing {
        /// Of the library.
        path: String,
        /// What the loader said.
        detail: String,
    },
    /// No token of that label.
    #[error(
        "no token with the label {label} in any slot: check hsm.token, and that the HSM is connected"
    )]
    TokenMissing {
        /// As configured.
        label: String,
    },
    /// The user PIN is wrong.
    #[error(
        "the HSM refused the PIN of token {label}: check hsm.pin_file; do not retry, the HSM may lock the PIN"
    )]
    WrongPin {
        /// As configured.
        label: String,
    },
    /// The PIN is locked.
    #[error("the PIN of token {label} is locked: the security officer must reset it")]
    PinLocked {
        /// As configured.
        label: String,
    },
    /// The module lacks what Conclave needs.
    #[error("the HSM does not offer {mechanism}, which Conclave needs")]
    Unsupported {
        /// A PKCS#11 mechanism.
        mechanism: &'static str,
    },
    /// The handle names no key (any more): the session was lost, or the module was cleared.
    #[error("the key is no longer in the HSM: unseal the node again")]
    KeyGone,
    /// The session or the device is lost; a new session was or could not be opened, keys of the old one are gone.
    #[error("the HSM was lost ({detail})")]
    Lost {
        /// What the module said.
        detail: String,
    },
    /// The module refused this one input: a wrapped key that does not unwrap. Nothing is wrong with the module.
    #[error("the HSM refused to {operation}: the input is damaged or of another key")]
    Refused {
        /// A verb: "unwrap a key".
        operation: &'static str,
    },
    /// More calls wait than are allowed.
    #[error("the HSM has more calls waiting than allowed: retry")]
    Busy,
    /// Anything else.
    #[error("the HSM failed to {operation} ({detail})")]
    Failed {
        /// A verb.
        operation: &'static str,
        /// What the module said.
        detail: String,
    },
}

/// A module with one token, logged in.
#[async_trait]
pub trait Hsm: Send + Sync + 'static {
    /// Module and token, for people.
    fn description(&self) -> String;

    /// Fills `out` from the module's random generator.
    ///
    /// # Errors
    /// As the module has them.
    async fn random(&self, out: &mut [u8]) -> Result<(), HsmError>;

    /// Puts the root key into the module: AES-256, sensitive, not extractable, wraps and unwraps. With token
    /// residency it survives restarts under `label`; one that has the label already is replaced.
    ///
    /// # Errors
    /// As the module has them.
    async fn import_root(&self, label: &str, root: &[u8; 32]) -> Result<HsmKey, HsmError>;

    /// The root key that an earlier life left on the token. `None` with session residency.
    ///
    /// # Errors
    /// As the module has them.
    async fn find_root(&self, label: &str) -> Result<Option<HsmKey>, HsmError>;

    /// Generates a key inside, wraps it under `under` (RFC 5649, `CKM_AES_KEY_WRAP_PAD`), and destroys it inside.
    ///
    /// # Errors
    /// As the module has them.
    async fn generate_wrapped(&self, under: HsmKey, kind: HsmKeyKind) -> Result<Vec<u8>, HsmError>;

    /// Unwraps a key to be used inside; it can never leave.
    ///
    /// # Errors
    /// [`HsmError::Refused`] if it was not wrapped under `under`.
    async fn unwrap(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<HsmKey, HsmError>;

    /// Wraps a secret of the caller, 16 to 64 bytes, whole blocks of eight: modules differ in how they pad others.
    /// Any other length is [`HsmError::Refused`].
    ///
    /// # Errors
    /// As the module has them.
    async fn wrap_secret(&self, under: HsmKey, secret: &[u8]) -> Result<Vec<u8>, HsmError>;

    /// Unwraps a secret into `out`, whose length must be the secret's.
    ///
    /// # Errors
    /// [`HsmError::Refused`] if it was not wrapped under `under`, or is of another length.
    async fn unwrap_secret(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        out: &mut [u8],
    ) -> Result<(), HsmError>;

    /// HMAC-SHA-256 of `message` under a [`HsmKeyKind::Mac`] key.
    ///
    /// # Errors
    /// As the module has them.
    async fn hmac_sha256(
        &self,
        key: HsmKey,
        message: &[u8],
        out: &mut [u8; 32],
    ) -> Result<(), HsmError>;

    /// Removes one key from the module. No error if it is gone.
    ///
    /// # Errors
    /// As the module has them.
    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError>;

    /// Removes every key, the root key on the token included. What sealing does.
    ///
    /// # Errors
    /// As the module has them; even then no handle works any more.
    async fn clear(&self) -> Result<(), HsmError>;

    /// Whether the module answers and still holds `key`; tries to reopen a lost session.
    ///
    /// # Errors
    /// [`HsmError::KeyGone`] or [`HsmError::Lost`].
    async fn check(&self, key: HsmKey) -> Result<(), HsmError>;

    /// Whether the module answers at all; tries to reopen a lost session.
    ///
    /// # Errors
    /// As the module has them.
    async fn ping(&self) -> Result<(), HsmError>;
}
