//! A hardware module by PKCS#11 (v2.40, cryptoki).
//!
//! Calls into a module block, so each session has an OS thread of its own, with a bounded queue in front. One of
//! the sessions, the owner, makes all keys, since a session's keys die with it. Nobody ever logs out: that would
//! destroy the session keys of all.

mod error;
mod import;
mod labels;
mod link;
mod module;
mod objects;
mod offers;
mod point;
mod private;
mod queue;
mod spki;

use crate::hsm::{HsmHash, Imported, RsaSize, SignatureScheme, WrappedPair, check_length};
use crate::limits::{
    HMAC_MESSAGE_BYTES_MAX, IMPORTED_BYTES_MAX, RANDOM_BYTES_MAX, WRAPPED_BYTES_MAX,
    is_secret_length,
};
use crate::{Hsm, HsmError, HsmKey, HsmKeyKind};
use async_trait::async_trait;
use cryptoki::session::Session;
use error::Fault;
use link::{Held, Link};
use offers::Offers;
use queue::Threads;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The user PIN of a token; wiped when dropped, never shown.
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes a PIN.
    pub fn new(pin: String) -> Self {
        Self(Zeroizing::new(pin))
    }
}

/// Where the root key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residency {
    /// In the session: a restart needs the custodians.
    Session,
    /// On the token: a restart needs only the PIN.
    Token,
}

/// How the root key gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// By `C_CreateObject`, which some modules refuse for secret keys in clear.
    CreateObject,
    /// By `C_UnwrapKey` under an RSA key that is made in the module for it.
    UnwrapRsa,
}

/// Which module, which token, and how to use them.
pub struct Pkcs11Config {
    /// The library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// Its user PIN.
    pub pin: Pin,
    /// Where the root key lives.
    pub residency: Residency,
    /// How it gets in.
    pub import: Import,
    /// Sessions beside the owner, each with its thread; at least 1. Two are the usual.
    pub threads: usize,
    /// Calls that may wait for each kind of session. 1024 are the usual.
    pub queue_max: usize,
}

/// A token, logged in. Dropping it waits for the calls under way, and closes the sessions.
pub struct Pkcs11Hsm {
    link: Arc<Link>,
    offers: Offers,
    owner: Threads,
    pool: Threads,
}

impl Pkcs11Hsm {
    /// Loads the module, finds the token, logs in, and tries what the module offers. Blocks for as long as the module takes.
    ///
    /// # Errors
    /// [`HsmError::ModuleMissing`], [`HsmError::TokenMissing`], [`HsmError::WrongPin`], [`HsmError::PinLocked`],
    /// [`HsmError::Unsupported`]. A PIN that was refused is not tried again, even by [`Hsm::ping`].
    pub fn open(config: Pkcs11Config) -> Result<Self, HsmError> {
        let (threads, queue_max) = (config.threads.max(1), config.queue_max.max(1));
        let link = Arc::new(Link::new(config, threads)?);
        link.open()?;
        let offers = Offers::find(&link)?;
        let failed = |error: std::io::Error| HsmError::Failed {
            operation: "start a thread",
            detail: error.to_string(),
        };
        let owner = Threads::start("hsm-owner", 1, queue_max).map_err(failed)?;
        let pool = Threads::start("hsm", threads, queue_max).map_err(failed)?;
        Ok(Self {
            link,
            offers,
            owner,
            pool,
        })
    }

    /// Runs a call on the thread and session that makes keys.
    async fn on_owner<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Link) -> Result<T, HsmError> + Send + 'static,
    ) -> Result<T, HsmError> {
        let link = Arc::clone(&self.link);
        self.owner.run(move |_| call(&link)).await
    }

    /// Runs a call on any of the other threads, in its session, with these keys.
    async fn on_pool<T: Send + 'static, const N: usize>(
        &self,
        operation: &'static str,
        keys: [HsmKey; N],
        call: impl FnOnce(&Session, [Held; N]) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, HsmError> {
        let link = Arc::clone(&self.link);
        // The owner has the first seat.
        let run = move |thread| link.call(thread + 1, operation, keys, call);
        self.pool.run(run).await
    }
}

fn check_wrapped(wrapped: &[u8], max: usize, operation: &'static str) -> Result<Vec<u8>, HsmError> {
    // RFC 5649: whole blocks of eight bytes, two at least. Nothing else needs to trouble the module.
    let fits = (16..=max).contains(&wrapped.len()) && wrapped.len().is_multiple_of(8);
    if fits {
        Ok(wrapped.to_vec())
    } else {
        Err(HsmError::Refused { operation })
    }
}

fn check_bound(length: usize, max: usize, operation: &'static str) -> Result<(), HsmError> {
    if length <= max {
        return Ok(());
    }
    Err(HsmError::Failed {
        operation,
        detail: format!("{length} bytes, at most {max} are taken"),
    })
}

#[async_trait]
impl Hsm for Pkcs11Hsm {
    fn description(&self) -> String {
        self.link.description()
    }

    fn offers(&self, kind: HsmKeyKind) -> bool {
        self.offers.lacking(kind).is_none()
    }

    async fn random(&self, out: &mut [u8]) -> Result<(), HsmError> {
        let (length, operation) = (out.len(), "draw random bytes");
        check_bound(length, RANDOM_BYTES_MAX, operation)?;
        let bytes = self
            .on_pool(operation, [], move |session, []| {
                objects::random(session, length)
            })
            .await?;
        out.copy_from_slice(&bytes);
        Ok(())
    }

    async fn import_root(&self, label: &str, root: &[u8; 32]) -> Result<HsmKey, HsmError> {
        let (label, root) = (label.to_owned(), Zeroizing::new(*root));
        self.on_owner(move |link| link.import_root(&label, &root))
            .await
    }

    async fn find_root(&self, label: &str) -> Result<Option<HsmKey>, HsmError> {
        let label = label.to_owned();
        self.on_owner(move |link| link.find_root(&label)).await
    }

    async fn generate_wrapped(&self, under: HsmKey, kind: HsmKeyKind) -> Result<Vec<u8>, HsmError> {
        self.offers.check(&[kind])?;
        self.on_pool("generate a key", [under], move |session, [under]| {
            objects::generate_wrapped(session, under, kind)
        })
        .await
    }

    async fn generate_pair_wrapped(
        &self,
        under: HsmKey,
        kind: HsmKeyKind,
    ) -> Result<WrappedPair, HsmError> {
        self.offers.check(&[kind])?;
        self.on_pool(private::GENERATE, [under], move |session, [under]| {
            private::generate_wrapped(session, under, kind)
        })
        .await
    }

    async fn unwrap(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<HsmKey, HsmError> {
        self.offers.check(&[kind])?;
        let max = private::wrapped_bytes_max(kind).unwrap_or(WRAPPED_BYTES_MAX);
        let wrapped = check_wrapped(wrapped, max, "unwrap a key");
        self.on_owner(move |link| link.unwrap(under, wrapped, kind))
            .await
    }

    fn imports(&self, kind: HsmKeyKind) -> bool {
        self.offers.imports(kind)
    }

    async fn import_wrapped(
        &self,
        transport: HsmKey,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<Imported, HsmError> {
        let operation = import::IMPORT;
        self.offers.check_import(kind)?;
        if wrapped.len() > IMPORTED_BYTES_MAX {
            return Err(HsmError::Refused { operation });
        }
        let wrapped = wrapped.to_vec();
        let keys = [transport, under];
        self.on_pool(operation, keys, move |session, [transport, under]| {
            import::import(session, (transport, under), &wrapped, kind)
        })
        .await
    }

    async fn wrap_secret(&self, under: HsmKey, secret: &[u8]) -> Result<Vec<u8>, HsmError> {
        let operation = "wrap a secret";
        if !is_secret_length(secret.len()) {
            return Err(HsmError::Refused { operation });
        }
        let secret = Zeroizing::new(secret.to_vec());
        self.on_pool(operation, [under], move |session, [under]| {
            objects::wrap_secret(session, under, &secret)
        })
        .await
    }

    async fn unwrap_secret(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        out: &mut [u8],
    ) -> Result<(), HsmError> {
        let operation = "unwrap a secret";
        let wrapped = check_wrapped(wrapped, WRAPPED_BYTES_MAX, operation);
        let secret = self
            .on_pool(operation, [under], move |session, [under]| {
                objects::unwrap_secret(session, under, &wrapped?)
            })
            .await?;
        if secret.len() != out.len() {
            return Err(HsmError::Refused { operation });
        }
        out.copy_from_slice(&secret);
        Ok(())
    }

    async fn hmac(
        &self,
        key: HsmKey,
        hash: HsmHash,
        message: &[u8],
        out: &mut [u8],
    ) -> Result<(), HsmError> {
        let operation = "compute an HMAC";
        self.offers.check(&[HsmKeyKind::of_mac(hash)])?;
        check_bound(message.len(), HMAC_MESSAGE_BYTES_MAX, operation)?;
        check_length(operation, out.len(), hash.bytes())?;
        let message = message.to_vec();
        let tag = self
            .on_pool(operation, [key], move |session, [key]| {
                objects::hmac(session, key, hash, &message)
            })
            .await?;
        out.copy_from_slice(&tag);
        Ok(())
    }

    async fn sign(
        &self,
        key: HsmKey,
        scheme: SignatureScheme,
        input: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        self.offers.check(scheme.kinds())?;
        // What a module authenticates, with or without a secret shared, has one bound.
        check_bound(input.len(), HMAC_MESSAGE_BYTES_MAX, private::SIGN)?;
        let input = input.to_vec();
        self.on_pool(private::SIGN, [key], move |session, [key]| {
            private::sign(session, key, scheme, &input)
        })
        .await
    }

    fn takes_labels(&self) -> bool {
        self.offers.takes_labels()
    }

    async fn decrypt_oaep(
        &self,
        key: HsmKey,
        label: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, HsmError> {
        let operation = private::DECRYPT;
        self.offers.check(&HsmKeyKind::RSA_DECRYPT)?;
        self.offers.check_label(label)?;
        if ciphertext.len() > RsaSize::Bits4096.bytes() {
            return Err(HsmError::Refused { operation });
        }
        let (label, ciphertext) = (label.to_vec(), ciphertext.to_vec());
        let plaintext = self
            .on_pool(operation, [key], move |session, [key]| {
                private::decrypt(session, key, &label, &ciphertext)
            })
            .await?;
        let beginning = out.get_mut(..plaintext.len());
        beginning
            .ok_or(HsmError::Refused { operation })?
            .copy_from_slice(&plaintext);
        Ok(plaintext.len())
    }

    async fn derive_ecdh(
        &self,
        key: HsmKey,
        peer: &[u8],
        out: &mut [u8; 32],
    ) -> Result<(), HsmError> {
        self.offers.check(&[HsmKeyKind::EcdhP256])?;
        let peer = private::check_point(peer);
        let shared = self
            .on_pool(private::DERIVE, [key], move |session, [key]| {
                private::derive(session, key, &peer?)
            })
            .await?;
        out.copy_from_slice(&*shared);
        Ok(())
    }

    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        self.on_owner(move |link| link.destroy(key)).await
    }

    async fn clear(&self) -> Result<(), HsmError> {
        // At once, before any call that waits: a sealed node answers nothing more.
        self.link.forget_all();
        self.on_owner(Link::clear).await
    }

    async fn check(&self, key: HsmKey) -> Result<(), HsmError> {
        self.on_owner(move |link| link.check(key)).await
    }

    async fn ping(&self) -> Result<(), HsmError> {
        self.on_owner(Link::ping).await
    }
}
