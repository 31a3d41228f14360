//! A hardware module by PKCS#11 (v2.40, cryptoki).
//!
//! Calls into a module block, so each session has an OS thread of its own, with a bounded queue in front. One of
//! the sessions, the owner, makes all keys, since a session's keys die with it. Nobody ever logs out: that would
//! destroy the session keys of all.

mod error;
mod link;
mod module;
mod objects;
mod queue;

use crate::limits::{
    HMAC_MESSAGE_BYTES_MAX, RANDOM_BYTES_MAX, WRAPPED_BYTES_MAX, is_secret_length,
};
use crate::{Hsm, HsmError, HsmKey, HsmKeyKind};
use async_trait::async_trait;
use link::Link;
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
    owner: Threads,
    pool: Threads,
}

impl Pkcs11Hsm {
    /// Loads the module, finds the token and logs in. Blocks for as long as the module takes.
    ///
    /// # Errors
    /// [`HsmError::ModuleMissing`], [`HsmError::TokenMissing`], [`HsmError::WrongPin`], [`HsmError::PinLocked`],
    /// [`HsmError::Unsupported`]. A PIN that was refused is not tried again, even by [`Hsm::ping`].
    pub fn open(config: Pkcs11Config) -> Result<Self, HsmError> {
        let (threads, queue_max) = (config.threads.max(1), config.queue_max.max(1));
        let link = Arc::new(Link::new(config, threads)?);
        link.open()?;
        let failed = |error: std::io::Error| HsmError::Failed {
            operation: "start a thread",
            detail: error.to_string(),
        };
        let owner = Threads::start("hsm-owner", 1, queue_max).map_err(failed)?;
        let pool = Threads::start("hsm", threads, queue_max).map_err(failed)?;
        Ok(Self { link, owner, pool })
    }

    /// Runs a call on the thread and session that makes keys.
    async fn on_owner<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Link) -> Result<T, HsmError> + Send + 'static,
    ) -> Result<T, HsmError> {
        let link = Arc::clone(&self.link);
        self.owner.run(move |_| call(&link)).await
    }

    /// Runs a call on any of the other threads; it is told which session is that thread's.
    async fn on_pool<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Link, usize) -> Result<T, HsmError> + Send + 'static,
    ) -> Result<T, HsmError> {
        let link = Arc::clone(&self.link);
        self.pool.run(move |thread| call(&link, thread + 1)).await
    }
}

fn check_wrapped(wrapped: &[u8], operation: &'static str) -> Result<Vec<u8>, HsmError> {
    // RFC 5649: whole blocks of eight bytes, two at least. Nothing else needs to trouble the module.
    let fits = (16..=WRAPPED_BYTES_MAX).contains(&wrapped.len()) && wrapped.len().is_multiple_of(8);
    if fits {
        Ok(wrapped.to_vec())
    } else {
        Err(HsmError::Refused { operation })
    }
}

fn check_length(length: usize, max: usize, operation: &'static str) -> Result<(), HsmError> {
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

    async fn random(&self, out: &mut [u8]) -> Result<(), HsmError> {
        let (length, operation) = (out.len(), "draw random bytes");
        check_length(length, RANDOM_BYTES_MAX, operation)?;
        let bytes = self
            .on_pool(move |link, seat| {
                link.call(seat, operation, &[], |session, _| {
                    objects::random(session, length)
                })
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
        self.on_pool(move |link, seat| {
            link.call(seat, "generate a key", &[under], |session, objects| {
                objects::generate_wrapped(session, objects[0], kind)
            })
        })
        .await
    }

    async fn unwrap(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<HsmKey, HsmError> {
        let wrapped = check_wrapped(wrapped, "unwrap a key");
        self.on_owner(move |link| link.unwrap(under, wrapped, kind))
            .await
    }

    async fn wrap_secret(&self, under: HsmKey, secret: &[u8]) -> Result<Vec<u8>, HsmError> {
        let operation = "wrap a secret";
        if !is_secret_length(secret.len()) {
            return Err(HsmError::Refused { operation });
        }
        let secret = Zeroizing::new(secret.to_vec());
        self.on_pool(move |link, seat| {
            link.call(seat, operation, &[under], |session, objects| {
                objects::wrap_secret(session, objects[0], &secret)
            })
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
        let wrapped = check_wrapped(wrapped, operation);
        let secret = self
            .on_pool(move |link, seat| {
                link.call(seat, operation, &[under], |session, objects| {
                    objects::unwrap_secret(session, objects[0], &wrapped?)
                })
            })
            .await?;
        if secret.len() != out.len() {
            return Err(HsmError::Refused { operation });
        }
        out.copy_from_slice(&secret);
        Ok(())
    }

    async fn hmac_sha256(
        &self,
        key: HsmKey,
        message: &[u8],
        out: &mut [u8; 32],
    ) -> Result<(), HsmError> {
        let operation = "compute an HMAC";
        check_length(message.len(), HMAC_MESSAGE_BYTES_MAX, operation)?;
        let message = message.to_vec();
        let tag = self
            .on_pool(move |link, seat| {
                link.call(seat, operation, &[key], |session, objects| {
                    objects::hmac(session, objects[0], &message)
                })
            })
            .await?;
        out.copy_from_slice(&*tag);
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
