//! A hardware security module, as far as Conclave needs one.
//!
//! Keys are named by opaque handles that belong to one life of the module's session: after the session is lost,
//! or after [`Hsm::clear`], every handle answers [`HsmError::KeyGone`]. Secrets are written into the caller's
//! buffers, never returned in a value of their own.

mod kind;

pub use kind::{HsmHash, HsmKeyKind, OaepHash, RsaSize, SignatureScheme};

use async_trait::async_trait;
use thiserror::Error;

/// A key inside the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HsmKey(pub u64);

/// What [`Hsm::generate_pair_wrapped`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedPair {
    /// The private key (PKCS#8), wrapped. Some modules put zero bytes behind it before they wrap it.
    pub private: Vec<u8>,
    /// The public key: a DER `SubjectPublicKeyInfo` (RFC 5280, RFC 5480, RFC 8410).
    pub public: Vec<u8>,
}

/// What [`Hsm::import_wrapped`] took in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The secret or private key, wrapped as one that was made inside.
    pub wrapped: Vec<u8>,
    /// Of a private key the public one: a DER `SubjectPublicKeyInfo`.
    pub public: Option<Vec<u8>>,
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

impl HsmError {
    /// A key is used as what it is not.
    pub(crate) fn wrong_kind(operation: &'static str) -> Self {
        Self::Failed {
            operation,
            detail: "the key is of the wrong kind".to_owned(),
        }
    }
}

/// Whether an input or a buffer of the caller, or an answer of the module, is as long as it must be.
pub(crate) fn check_length(
    operation: &'static str,
    bytes: usize,
    expected: usize,
) -> Result<(), HsmError> {
    if bytes == expected {
        return Ok(());
    }
    Err(HsmError::Failed {
        operation,
        detail: format!("{bytes} bytes came, not {expected}"),
    })
}

/// Whether one of these kinds is offered, of which `lacking` says what they lack.
pub(crate) fn check_offered(
    kinds: &[HsmKeyKind],
    lacking: impl Fn(HsmKeyKind) -> Option<&'static str>,
) -> Result<(), HsmError> {
    let mut missing = None;
    for kind in kinds {
        match lacking(*kind) {
            None => return Ok(()),
            Some(mechanism) => missing = Some(mechanism),
        }
    }
    missing.map_or(Ok(()), |mechanism| Err(HsmError::Unsupported { mechanism }))
}

/// A module with one token, logged in.
///
/// What a key is used for is checked against its kind before the module is asked. A call for a kind that
/// [`Hsm::offers`] denies answers [`HsmError::Unsupported`].
#[async_trait]
pub trait Hsm: Send + Sync + 'static {
    /// Module and token, for people.
    fn description(&self) -> String;

    /// Whether the module can make keys of this kind and do with them what the kind is for. Known since the module was
    /// opened; [`HsmKeyKind::Kek`] and [`HsmKeyKind::Mac`] are always offered.
    fn offers(&self, kind: HsmKeyKind) -> bool;

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

    /// Generates a secret key inside, wraps it under `under` (RFC 5649, `CKM_AES_KEY_WRAP_PAD`), and destroys it
    /// inside.
    ///
    /// # Errors
    /// As the module has them; [`HsmError::Failed`] for a kind that is half of a pair.
    async fn generate_wrapped(&self, under: HsmKey, kind: HsmKeyKind) -> Result<Vec<u8>, HsmError>;

    /// Generates a pair inside, wraps the private key under `under` like any other key, and destroys it inside.
    /// RSA keys have the public exponent 65537, and take a module seconds.
    ///
    /// # Errors
    /// As the module has them; [`HsmError::Failed`] for a kind that is no half of a pair.
    async fn generate_pair_wrapped(
        &self,
        under: HsmKey,
        kind: HsmKeyKind,
    ) -> Result<WrappedPair, HsmError>;

    /// Unwraps a key to be used inside, for what its kind says only; it can never leave. Keys that differ in nothing
    /// but their use (a signing and a decrypting RSA key), or are secrets of one length, are not told apart by their
    /// wraps; to a module, the PKCS#8 of an Ed25519 key can be a secret of 384 bits. That a blob is of this kind is
    /// for the caller to know.
    ///
    /// # Errors
    /// [`HsmError::Refused`] if it was not wrapped under `under`, or is of another algorithm or length.
    async fn unwrap(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<HsmKey, HsmError>;

    /// Whether keys of this kind can come from outside, by a key of a kind [`HsmKeyKind::RsaUnwrap`] that is offered.
    fn imports(&self, kind: HsmKeyKind) -> bool;

    /// Unwraps a key that somebody wrapped outside, and wraps it under `under`, all inside. `wrapped` is an AES key of
    /// 256 bits, encrypted with the public half of `transport`, and behind it the key under that AES key (RFC 5649): of
    /// secret kinds its bytes, of others PKCS#8. What comes is tried, and its public half found by what it does.
    ///
    /// # Errors
    /// [`HsmError::Refused`] if it does not unwrap or is no key of that kind: which of both is not told.
    async fn import_wrapped(
        &self,
        transport: HsmKey,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<Imported, HsmError>;

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

    /// HMAC of `message` under the key of that hash's kind, into `out`, which is as long as the hash.
    ///
    /// # Errors
    /// As the module has them.
    async fn hmac(
        &self,
        key: HsmKey,
        hash: HsmHash,
        message: &[u8],
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
    ) -> Result<(), HsmError> {
        self.hmac(key, HsmHash::Sha256, message, out).await
    }

    /// Signs a message or a digest, as the scheme says.
    ///
    /// # Errors
    /// As the module has them; [`HsmError::Failed`] if the key is not of the scheme, or the digest not of its length.
    async fn sign(
        &self,
        key: HsmKey,
        scheme: SignatureScheme,
        input: &[u8],
    ) -> Result<Vec<u8>, HsmError>;

    /// Whether [`Hsm::decrypt_oaep`] takes labels but the empty one. Some modules refuse others, and some do not look at
    /// them, which is worse.
    fn takes_labels(&self) -> bool;

    /// Decrypts RSA-OAEP, with the hash of the key's kind, into the beginning of `out`, and says how long the plaintext
    /// is: at most the modulus less two hashes and two bytes.
    ///
    /// # Errors
    /// [`HsmError::Refused`] if it is no ciphertext of this key with this label, or longer than `out`;
    /// [`HsmError::Unsupported`] for a label, if the module [takes](Hsm::takes_labels) none.
    async fn decrypt_oaep(
        &self,
        key: HsmKey,
        label: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, HsmError>;

    /// The secret that a [`HsmKeyKind::EcdhP256`] key shares with `peer`'s, a point of 65 bytes (04 ‖ x ‖ y): the
    /// x coordinate of the product, to be put through a key derivation function.
    ///
    /// # Errors
    /// [`HsmError::Refused`] if the point is of another form, or not on the curve.
    async fn derive_ecdh(
        &self,
        key: HsmKey,
        peer: &[u8],
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
