//! A module inside the process: real cryptography, no protection.
//!
//! It offers what `ring` can make from bytes of our entropy: secret keys, and Ed25519. For ECDSA `ring` wants the public
//! key with the private one, and for RSA it makes no keys.

use super::entropy::MemEntropy;
use crate::hsm::{HsmHash, Imported, SignatureScheme, WrappedPair, check_length, check_offered};
use crate::limits::{KEY_BYTES, WRAPPED_BYTES_MAX, is_secret_length};
use crate::{Entropy, Hsm, HsmError, HsmKey, HsmKeyKind};
use aes_kw::{KeyInit, KwpAes256};
use async_trait::async_trait;
use parking_lot::Mutex;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Before the seed in the PKCS#8 of an Ed25519 key (RFC 8410, section 7, without the public key).
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2E, 2, 1, 0, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 4, 0x22, 4, 0x20,
];
/// Before the public key in an Ed25519 `SubjectPublicKeyInfo` (RFC 8410, section 4).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2A, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 3, 0x21, 0];

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
    /// A secret key, or an Ed25519 seed.
    bytes: Zeroizing<Vec<u8>>,
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
        let kek: &[u8; KEY_BYTES] = stored.bytes[..].try_into().expect("a KEK has 256 bits");
        Ok(KwpAes256::new(kek.into()))
    }

    fn draw(&self, bytes: usize) -> Zeroizing<Vec<u8>> {
        let mut drawn = Zeroizing::new(vec![0; bytes]);
        self.entropy.fill(&mut drawn);
        drawn
    }

    fn add(&self, kind: HsmKeyKind, bytes: Zeroizing<Vec<u8>>) -> Result<HsmKey, HsmError> {
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
        Err(HsmError::wrong_kind(operation))
    }
}

/// The mechanism that is not there for a kind.
fn lacking(kind: HsmKeyKind) -> Option<&'static str> {
    match kind {
        HsmKeyKind::Kek
        | HsmKeyKind::Mac
        | HsmKeyKind::MacSha384
        | HsmKeyKind::MacSha512
        | HsmKeyKind::Ed25519 => None,
        HsmKeyKind::EcdsaP256 | HsmKeyKind::EcdsaP384 => Some("CKM_ECDSA"),
        HsmKeyKind::EcdhP256 => Some("CKM_ECDH1_DERIVE"),
        HsmKeyKind::RsaSign(_) => Some("CKM_RSA_PKCS"),
        HsmKeyKind::RsaDecrypt(..) | HsmKeyKind::RsaUnwrap(..) => Some("CKM_RSA_PKCS_OAEP"),
    }
}

/// What the seed or secret of a kind is wrapped behind.
fn prefix(kind: HsmKeyKind) -> &'static [u8] {
    if kind == HsmKeyKind::Ed25519 {
        &ED25519_PKCS8
    } else {
        &[]
    }
}

fn ed25519(seed: &[u8]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed has 256 bits")
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

    fn offers(&self, kind: HsmKeyKind) -> bool {
        lacking(kind).is_none()
    }

    async fn random(&self, out: &mut [u8]) -> Result<(), HsmError> {
        check_working(&self.state.lock())?;
        self.entropy.fill(out);
        Ok(())
    }

    async fn import_root(&self, _label: &str, root: &[u8; 32]) -> Result<HsmKey, HsmError> {
        self.add(HsmKeyKind::Kek, Zeroizing::new(root.to_vec()))
    }

    async fn find_root(&self, _label: &str) -> Result<Option<HsmKey>, HsmError> {
        check_working(&self.state.lock())?;
        Ok(None)
    }

    async fn generate_wrapped(&self, under: HsmKey, kind: HsmKeyKind) -> Result<Vec<u8>, HsmError> {
        let operation = "generate a key";
        check_offered(&[kind], lacking)?;
        let bytes = kind.secret_bytes();
        let bytes = bytes.ok_or_else(|| HsmError::wrong_kind(operation))?;
        let kek = self.find_kek(under, operation)?;
        Ok(wrap(&kek, &self.draw(bytes)))
    }

    async fn generate_pair_wrapped(
        &self,
        under: HsmKey,
        kind: HsmKeyKind,
    ) -> Result<WrappedPair, HsmError> {
        let operation = "generate a pair of keys";
        check_offered(&[kind], lacking)?;
        if kind != HsmKeyKind::Ed25519 {
            return Err(HsmError::wrong_kind(operation));
        }
        let kek = self.find_kek(under, operation)?;
        let seed = self.draw(KEY_BYTES);
        let pkcs8 = Zeroizing::new([&ED25519_PKCS8, &seed[..]].concat());
        Ok(WrappedPair {
            private: wrap(&kek, &pkcs8),
            public: [&ED25519_SPKI, ed25519(&seed).public_key().as_ref()].concat(),
        })
    }

    async fn unwrap(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<HsmKey, HsmError> {
        let operation = "unwrap a key";
        check_offered(&[kind], lacking)?;
        let kek = self.find_kek(under, operation)?;
        let prefix = prefix(kind);
        let length = prefix.len() + kind.secret_bytes().unwrap_or(KEY_BYTES);
        let mut bytes = Zeroizing::new(vec![0; length]);
        unwrap(&kek, wrapped, &mut bytes, operation)?;
        let secret = bytes.strip_prefix(prefix);
        let secret = secret.ok_or(HsmError::Refused { operation })?;
        self.add(kind, Zeroizing::new(secret.to_vec()))
    }

    fn imports(&self, _: HsmKeyKind) -> bool {
        false
    }

    async fn import_wrapped(
        &self,
        _: HsmKey,
        _: HsmKey,
        _: &[u8],
        _: HsmKeyKind,
    ) -> Result<Imported, HsmError> {
        let mechanism = "CKM_RSA_PKCS_OAEP";
        Err(HsmError::Unsupported { mechanism })
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

    async fn hmac(
        &self,
        key: HsmKey,
        hash: HsmHash,
        message: &[u8],
        out: &mut [u8],
    ) -> Result<(), HsmError> {
        let operation = "compute an HMAC";
        check_length(operation, out.len(), hash.bytes())?;
        let stored = self.find(key)?;
        check_kind(&stored, HsmKeyKind::of_mac(hash), operation)?;
        let algorithm = match hash {
            HsmHash::Sha256 => hmac::HMAC_SHA256,
            HsmHash::Sha384 => hmac::HMAC_SHA384,
            HsmHash::Sha512 => hmac::HMAC_SHA512,
        };
        let key = hmac::Key::new(algorithm, &stored.bytes);
        out.copy_from_slice(hmac::sign(&key, message).as_ref());
        Ok(())
    }

    async fn sign(
        &self,
        key: HsmKey,
        scheme: SignatureScheme,
        input: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        check_offered(scheme.kinds(), lacking)?;
        let stored = self.find(key)?;
        stored.kind.check_input(scheme, input, "sign")?;
        Ok(ed25519(&stored.bytes).sign(input).as_ref().to_vec())
    }

    fn takes_labels(&self) -> bool {
        false
    }

    async fn decrypt_oaep(
        &self,
        _: HsmKey,
        _: &[u8],
        _: &[u8],
        _: &mut [u8],
    ) -> Result<usize, HsmError> {
        check_offered(&HsmKeyKind::RSA_DECRYPT, lacking).map(|()| 0)
    }

    async fn derive_ecdh(&self, _: HsmKey, _: &[u8], _: &mut [u8; 32]) -> Result<(), HsmError> {
        check_offered(&[HsmKeyKind::EcdhP256], lacking)
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
