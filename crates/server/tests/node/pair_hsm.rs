//! A module that decrypts RSA-OAEP, imports by it and agrees on P-256, in front of one that does not: SoftHSM knows OAEP
//! with SHA-1 only, and the in-process module makes no such keys.

use async_trait::async_trait;
use conclave_crypto::agree::{self, AgreementKey, AgreementKind};
use conclave_crypto::oaep::{self, DecryptingKey};
use conclave_crypto::sign::{self, KeyKind};
use conclave_crypto::{PrivateMaterial, PublicKey, PublicKind, RsaSize, rsa_aes};
use conclave_env::hsm::{
    HsmHash, Imported, OaepHash, RsaSize as HsmRsaSize, SignatureScheme, WrappedPair,
};
use conclave_env::mem::MemHsm;
use conclave_env::{Hsm, HsmError, HsmKey, HsmKeyKind};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

const OAEP: HsmKeyKind = HsmKeyKind::RsaDecrypt(HsmRsaSize::Bits2048, OaepHash::Sha256);
const ECDH: HsmKeyKind = HsmKeyKind::EcdhP256;
const TRANSPORT: HsmKeyKind = HsmKeyKind::RsaUnwrap(HsmRsaSize::Bits3072, OaepHash::Sha256);
const PAIRS: [HsmKeyKind; 3] = [OAEP, ECDH, TRANSPORT];
/// Handles of pairs are above those of the module behind.
const FIRST_PAIR: u64 = 1 << 32;

/// Wraps a name in place of each private key.
pub(crate) struct PairHsm {
    behind: Arc<MemHsm>,
    pairs: Mutex<Pairs>,
}

#[derive(Default)]
struct Pairs {
    made: BTreeMap<[u8; 32], Arc<PrivateMaterial>>,
    held: BTreeMap<HsmKey, (HsmKeyKind, Arc<PrivateMaterial>)>,
    last: u64,
}

impl PairHsm {
    pub(crate) fn before(behind: Arc<MemHsm>) -> Arc<dyn Hsm> {
        let pairs = Mutex::default();
        Arc::new(Self { behind, pairs })
    }

    async fn wrap_pair(
        &self,
        under: HsmKey,
        private: PrivateMaterial,
    ) -> Result<Vec<u8>, HsmError> {
        let mut name = [0; 32];
        self.behind.random(&mut name).await?;
        self.pairs.lock().made.insert(name, Arc::new(private));
        self.behind.wrap_secret(under, &name).await
    }

    fn find(&self, key: HsmKey, kind: HsmKeyKind) -> Result<Arc<PrivateMaterial>, HsmError> {
        let pairs = self.pairs.lock();
        let held = pairs.held.get(&key).filter(|held| held.0 == kind);
        held.map(|held| held.1.clone()).ok_or(HsmError::KeyGone)
    }
}

fn decrypting(size: RsaSize, private: &PrivateMaterial) -> DecryptingKey {
    DecryptingKey::new(size, private).ok().unwrap()
}

fn make(kind: HsmKeyKind) -> (PrivateMaterial, PublicKey) {
    if kind != ECDH {
        let size = if kind == OAEP {
            RsaSize::Bits2048
        } else {
            RsaSize::Bits3072
        };
        let private = oaep::generate(size).ok().unwrap();
        let public = decrypting(size, &private).public_key().clone();
        return (private, public);
    }
    let private = agree::generate(AgreementKind::EcdhP256, &[9; 32])
        .ok()
        .unwrap();
    let key = AgreementKey::new(AgreementKind::EcdhP256, &private)
        .ok()
        .unwrap();
    (private, key.public_key().clone())
}

#[async_trait]
impl Hsm for PairHsm {
    fn description(&self) -> String {
        self.behind.description()
    }

    fn offers(&self, kind: HsmKeyKind) -> bool {
        PAIRS.contains(&kind) || self.behind.offers(kind)
    }

    async fn random(&self, out: &mut [u8]) -> Result<(), HsmError> {
        self.behind.random(out).await
    }

    async fn import_root(&self, label: &str, root: &[u8; 32]) -> Result<HsmKey, HsmError> {
        self.behind.import_root(label, root).await
    }

    async fn find_root(&self, label: &str) -> Result<Option<HsmKey>, HsmError> {
        self.behind.find_root(label).await
    }

    async fn generate_wrapped(&self, under: HsmKey, kind: HsmKeyKind) -> Result<Vec<u8>, HsmError> {
        self.behind.generate_wrapped(under, kind).await
    }

    async fn generate_pair_wrapped(
        &self,
        under: HsmKey,
        kind: HsmKeyKind,
    ) -> Result<WrappedPair, HsmError> {
        if !PAIRS.contains(&kind) {
            return self.behind.generate_pair_wrapped(under, kind).await;
        }
        let (private, public) = make(kind);
        Ok(WrappedPair {
            private: self.wrap_pair(under, private).await?,
            public: public.spki(),
        })
    }

    async fn unwrap(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<HsmKey, HsmError> {
        if !PAIRS.contains(&kind) {
            return self.behind.unwrap(under, wrapped, kind).await;
        }
        let mut name = [0; 32];
        self.behind.unwrap_secret(under, wrapped, &mut name).await?;
        let pairs = &mut *self.pairs.lock();
        let operation = "unwrap a key";
        let private = pairs.made.get(&name).cloned();
        let private = private.ok_or(HsmError::Refused { operation })?;
        pairs.last += 1;
        let key = HsmKey(FIRST_PAIR + pairs.last);
        pairs.held.insert(key, (kind, private));
        Ok(key)
    }

    async fn wrap_secret(&self, under: HsmKey, secret: &[u8]) -> Result<Vec<u8>, HsmError> {
        self.behind.wrap_secret(under, secret).await
    }

    async fn unwrap_secret(
        &self,
        under: HsmKey,
        wrapped: &[u8],
        out: &mut [u8],
    ) -> Result<(), HsmError> {
        self.behind.unwrap_secret(under, wrapped, out).await
    }

    async fn hmac(
        &self,
        key: HsmKey,
        hash: HsmHash,
        message: &[u8],
        out: &mut [u8],
    ) -> Result<(), HsmError> {
        self.behind.hmac(key, hash, message, out).await
    }

    async fn sign(
        &self,
        key: HsmKey,
        scheme: SignatureScheme,
        input: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        self.behind.sign(key, scheme, input).await
    }

    fn imports(&self, kind: HsmKeyKind) -> bool {
        [HsmKeyKind::Mac, ECDH].contains(&kind)
    }

    async fn import_wrapped(
        &self,
        transport: HsmKey,
        under: HsmKey,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<Imported, HsmError> {
        let operation = "import a key";
        let refused = || HsmError::Refused { operation };
        let private = self.find(transport, TRANSPORT)?;
        let key = decrypting(RsaSize::Bits3072, &private);
        let key = rsa_aes::unwrap(&key, wrapped).map_err(|_| refused())?;
        if kind == HsmKeyKind::Mac {
            let bytes = Some(key.expose()).filter(|bytes| bytes.len() == 32);
            let wrapped = self.behind.wrap_secret(under, bytes.ok_or_else(refused)?);
            return Ok(Imported {
                wrapped: wrapped.await?,
                public: None,
            });
        }
        let stored = sign::import(KeyKind::EcdsaP256, &key).map_err(|_| refused())?;
        let key = AgreementKey::new(AgreementKind::EcdhP256, &stored).map_err(|_| refused())?;
        let public = Some(key.public_key().spki());
        let wrapped = self.wrap_pair(under, stored).await?;
        Ok(Imported { wrapped, public })
    }

    fn takes_labels(&self) -> bool {
        true
    }

    async fn decrypt_oaep(
        &self,
        key: HsmKey,
        label: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, HsmError> {
        let private = self.find(key, OAEP)?;
        let key = decrypting(RsaSize::Bits2048, &private);
        let operation = "decrypt";
        let opened = key.decrypt_labelled(ciphertext, label);
        let opened = opened.map_err(|_| HsmError::Refused { operation })?;
        let plaintext = opened.expose();
        out[..plaintext.len()].copy_from_slice(plaintext);
        Ok(plaintext.len())
    }

    async fn derive_ecdh(
        &self,
        key: HsmKey,
        peer: &[u8],
        out: &mut [u8; 32],
    ) -> Result<(), HsmError> {
        let private = self.find(key, ECDH)?;
        let key = AgreementKey::new(AgreementKind::EcdhP256, &private)
            .ok()
            .unwrap();
        let peer = PublicKey::from_raw(PublicKind::P256, peer).unwrap();
        out.copy_from_slice(key.agree(&peer).ok().unwrap().expose());
        Ok(())
    }

    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        self.pairs.lock().held.remove(&key);
        self.behind.destroy(key).await
    }

    async fn clear(&self) -> Result<(), HsmError> {
        self.pairs.lock().held.clear();
        self.behind.clear().await
    }

    async fn check(&self, key: HsmKey) -> Result<(), HsmError> {
        self.behind.check(key).await
    }

    async fn ping(&self) -> Result<(), HsmError> {
        // Forgets the pairs, as a module does whose other keys live on: a use loads its own again.
        self.pairs.lock().held.clear();
        self.behind.ping().await
    }
}
