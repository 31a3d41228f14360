//! A module inside the process: real cryptography, no protection.

use super::entropy::MemEntropy;
use crate::limits::{KEY_BYTES, WRAPPED_BYTES_MAX, is_secret_length};
use crate::{Entropy, Hsm, HsmError, HsmKey, HsmKeyKind};
use aes_kw::{KeyInit, KwpAes256};
use async_trait::async_trait;
use parking_lot::Mutex;
use ring::hmac;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Keys in this process's memory, gone with it (residency `session`). Blobs are interchangeable with those of a
/// hardware module that holds the same root key: RFC 5649 either way.
pub struct MemHsm {
    entropy: Arc<dyn Entropy>,
    state: Mutex<State>,
}

struct State {
    is_connected: bool,
    /// What every call answers, while that lasts.
    failing: Option<HsmError>,
    /// The number of the last key; never used again, so that no old handle meets a new key.
    last: u64,
    keys: BTreeMap<HsmKey, Stored>,
}

#[derive(Clone)]
struct Stored {
    kind: HsmKeyKind,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl MemHsm {
    /// A module that draws its keys from `entropy`.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        let state = State {
            is_connected: true,
            failing: None,
            last: 0,
            keys: BTreeMap::new(),
        };
        Self {
            entropy,
            state: Mutex::new(state),
        }
    }

    /// A module whose keys repeat with the seed, for simulation.
    pub fn seeded(seed: u64) -> Self {
        Self::new(Arc::new(MemEntropy::new(seed)))
    }

    /// The session vanishes, as after a reset of the device: every handle answers [`HsmError::KeyGone`].
    pub fn lose(&self) {
        self.state.lock().keys.clear();
    }

    /// Pulls the device out, keys and all, or plugs it in again.
    pub fn set_connected(&self, is_connected: bool) {
        let mut state = self.state.lock();
        state.is_connected = is_connected;
        if !is_connected {
            state.keys.clear();
        }
    }

    /// From now on every call answers this error, until it is taken back. Keys stay.
    pub fn fail(&self, error: Option<HsmError>) {
        self.state.lock().failing = error;
    }

    fn find(&self, key: HsmKey) -> Result<Stored, HsmError> {
        let state = self.state.lock();
        check_working(&state)?;
        state.keys.get(&key).cloned().ok_or(HsmError::KeyGone)
    }

    fn find_kek(&self, key: HsmKey, operation: &'static str) -> Result<KwpAes256, HsmError> {
        let stored = self.find(key)?;
        check_kind(&stored, HsmKeyKind::Kek, operation)?;
        Ok(KwpAes256::new((&*stored.bytes).into()))
    }

    fn add(&self, kind: HsmKeyKind, bytes: Zeroizing<[u8; KEY_BYTES]>) -> Result<HsmKey, HsmError> {
        let mut state = self.state.lock();
        check_working(&state)?;
        state.last += 1;
        let key = HsmKey(state.last);
        state.keys.insert(key, Stored { kind, bytes });
        Ok(key)
    }
}

fn check_working(state: &State) -> Result<(), HsmError> {
    if !state.is_connected {
        return Err(HsmError::Lost {
            detail: "the simulated device is unplugged".to_owned(),
        });
    }
    state.failing.clone().map_or(Ok(()), Err)
}

fn check_kind(stored: &Stored, kind: HsmKeyKind, operation: &'static str) -> Result<(), HsmError> {
    if stored.kind == kind {
        Ok(())
    } else {
        Err(HsmError::Failed {
            operation,
            detail: "the key is of the wrong kind".to_owned(),
        })
    }
}

fn wrap(kek: &KwpAes256, secret: &[u8]) -> Vec<u8> {
    let mut buffer = [0; WRAPPED_BYTES_MAX];
    kek.wrap_key(secret, &mut buffer)
        .expect("the secret's length was checked")
        .to_vec()
}

/// Unwraps into `out`, all of which must be filled.
fn unwrap(
    kek: &KwpAes256,
    wrapped: &[u8],
    out: &mut [u8],
    operation: &'static str,
) -> Result<(), HsmError> {
    if wrapped.len() > WRAPPED_BYTES_MAX {
        return Err(HsmError::Refused { operation });
    }
    let mut buffer = Zeroizing::new([0; WRAPPED_BYTES_MAX]);
    match kek.unwrap_key(wrapped, &mut *buffer) {
        Ok(secret) if secret.len() == out.len() => {
            out.copy_from_slice(secret);
            Ok(())
        }
        Ok(_) | Err(_) => Err(HsmError::Refused { operation }),
    }
}

#[async_trait]
impl Hsm for MemHsm {
    fn description(&self) -> String {
        "in-process module (software, no protection by hardware)".to_owned()
    }

    async fn random(&self, out: &mut [u8]) -> Result<(), HsmError> {
        check_working(&self.state.lock())?;
        self.entropy.fill(out);
        Ok(())
    }

    async fn import_root(&self, _label: &str, root: &[u8; 32]) -> Result<HsmKey, HsmError> {
        self.add(HsmKeyKind::Kek, Zeroizing::new(*root))
    }

    async fn find_root(&self, _label: &str) -> Result<Option<HsmKey>, HsmError> {
        check_working(&self.state.lock())?;
        Ok(None)
    }

    async fn generate_wrapped(&self, under: HsmKey, _: HsmKeyKind) -> Result<Vec<u8>, HsmError> {
        let kek = self.find_kek(under, "wrap a key")?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        self.entropy.fill(&mut *bytes);
        Ok(wrap(&kek, &*bytes))
    }

    async fn unwrap(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<HsmKey, HsmError> {
        let operation = "unwrap a key";
        let kek = self.find_kek(under, operation)?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        unwrap(&kek, wrapped, &mut *bytes, operation)?;
        self.add(kind, bytes)
    }

    async fn wrap_secret(&self, under: HsmKey, secret: &[u8]) -> Result<Vec<u8>, HsmError> {
        let operation = "wrap a secret";
        if !is_secret_length(secret.len()) {
            return Err(HsmError::Refused { operation });
        }
        Ok(wrap(&self.find_kek(under, operation)?, secret))
    }

    async fn unwrap_secret(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        out: &mut [u8],
    ) -> Result<(), HsmError> {
        let operation = "unwrap a secret";
        unwrap(&self.find_kek(under, operation)?, wrapped, out, operation)
    }

    async fn hmac_sha256(
        &self,
        key: HsmKey,
        message: &[u8],
        out: &mut [u8; 32],
    ) -> Result<(), HsmError> {
        let stored = self.find(key)?;
        check_kind(&stored, HsmKeyKind::Mac, "compute an HMAC")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*stored.bytes);
        out.copy_from_slice(hmac::sign(&key, message).as_ref());
        Ok(())
    }

    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        self.state.lock().keys.remove(&key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), HsmError> {
        let mut state = self.state.lock();
        state.keys.clear();
        state.failing.clone().map_or(Ok(()), Err)
    }

    async fn check(&self, key: HsmKey) -> Result<(), HsmError> {
        self.find(key).map(|_| ())
    }

    async fn ping(&self) -> Result<(), HsmError> {
        check_working(&self.state.lock())
    }
}
