//! Keys inside the HSM.

use super::Ready;
use crate::error::ServiceError;
use crate::loaded::Loaded;
use conclave_core::Algorithm;
use conclave_crypto::sign::{self, EcdsaForm, Hash, Input, KeyKind, Scheme};
use conclave_crypto::{CryptoError, MacHash, Secret, SecretBytes};
use conclave_env::hsm::{HsmHash, OaepHash, RsaSize, SignatureScheme};
use conclave_env::{HsmError, HsmKey, HsmKeyKind};
use zeroize::Zeroizing;

/// The kind of key that an algorithm takes in an HSM; `None` if no HSM has one.
pub(super) fn kind(algorithm: Algorithm) -> Option<HsmKeyKind> {
    let decrypts = |size, hash| Some(HsmKeyKind::RsaDecrypt(size, hash));
    match algorithm {
        // The keys of its messages are derived by HMAC (docs/adr/0003).
        Algorithm::Aes256Gcm | Algorithm::HmacSha256 => Some(HsmKeyKind::Mac),
        Algorithm::HmacSha384 => Some(HsmKeyKind::MacSha384),
        Algorithm::HmacSha512 => Some(HsmKeyKind::MacSha512),
        Algorithm::Ed25519 => Some(HsmKeyKind::Ed25519),
        Algorithm::EcdsaP256 => Some(HsmKeyKind::EcdsaP256),
        Algorithm::EcdsaP384 => Some(HsmKeyKind::EcdsaP384),
        Algorithm::Rsa2048 => Some(HsmKeyKind::RsaSign(RsaSize::Bits2048)),
        Algorithm::Rsa3072 => Some(HsmKeyKind::RsaSign(RsaSize::Bits3072)),
        Algorithm::Rsa4096 => Some(HsmKeyKind::RsaSign(RsaSize::Bits4096)),
        Algorithm::RsaOaep2048 => decrypts(RsaSize::Bits2048, OaepHash::Sha256),
        Algorithm::RsaOaep3072 => decrypts(RsaSize::Bits3072, OaepHash::Sha256),
        Algorithm::RsaOaep4096 => decrypts(RsaSize::Bits4096, OaepHash::Sha256),
        Algorithm::RsaOaep2048Sha1 => decrypts(RsaSize::Bits2048, OaepHash::Sha1),
        Algorithm::RsaOaep3072Sha1 => decrypts(RsaSize::Bits3072, OaepHash::Sha1),
        Algorithm::RsaOaep4096Sha1 => decrypts(RsaSize::Bits4096, OaepHash::Sha1),
        Algorithm::EcdhP256 => Some(HsmKeyKind::EcdhP256),
        Algorithm::ChaCha20Poly1305
        | Algorithm::MlDsa65
        | Algorithm::MlKem768
        | Algorithm::X25519 => None,
    }
}

fn hash_of(hash: Hash) -> HsmHash {
    match hash {
        Hash::Sha256 => HsmHash::Sha256,
        Hash::Sha384 => HsmHash::Sha384,
        Hash::Sha512 => HsmHash::Sha512,
    }
}

/// How the HSM is to sign, and what.
fn to_sign(
    kind: KeyKind,
    scheme: Scheme,
    input: Input<'_>,
) -> Result<(SignatureScheme, Vec<u8>), CryptoError> {
    let other = || CryptoError::OtherScheme {
        kind: kind.name(),
        scheme: scheme.name(),
    };
    match (kind, scheme) {
        (KeyKind::Ed25519, Scheme::Ed25519) => match input {
            Input::Message(message) => Ok((SignatureScheme::Ed25519, message.to_vec())),
            Input::Digest(_) => Err(CryptoError::NoDigest { kind: kind.name() }),
        },
        (KeyKind::EcdsaP256, Scheme::Ecdsa(_)) => {
            Ok((SignatureScheme::Ecdsa, Hash::Sha256.digest(input)?))
        }
        (KeyKind::EcdsaP384, Scheme::Ecdsa(_)) => {
            Ok((SignatureScheme::Ecdsa, Hash::Sha384.digest(input)?))
        }
        (KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096, Scheme::RsaPkcs1(hash)) => {
            let scheme = SignatureScheme::RsaPkcs1(hash_of(hash));
            Ok((scheme, hash.digest(input)?))
        }
        (KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096, Scheme::RsaPss(hash)) => {
            let scheme = SignatureScheme::RsaPss(hash_of(hash));
            Ok((scheme, hash.digest(input)?))
        }
        _ => Err(other()),
    }
}

impl Ready<'_> {
    /// Loads the version once more: another use may have pushed it out of the HSM since it was found to be in it.
    async fn reload(&self) -> Result<HsmKey, ServiceError> {
        let (unsealed, version) = (self.unsealed, self.version);
        unsealed.versions.forget(version.id, version.number);
        match &*unsealed.load(version).await? {
            Loaded::Hsm(key, _) => Ok(*key),
            Loaded::Software(_) | Loaded::Signing(_) | Loaded::Receiving(_) => {
                Err(ServiceError::Contended)
            }
        }
    }

    /// HMAC-SHA-256 inside the HSM.
    pub(super) async fn hmac_inside(
        &self,
        key: HsmKey,
        message: &[u8],
    ) -> Result<Secret<32>, ServiceError> {
        let mut out = Secret::zeroed();
        self.hmac(key, HsmHash::Sha256, message, out.expose_mut())
            .await?;
        Ok(out)
    }

    /// A message authentication code made inside the HSM.
    pub(super) async fn mac_inside(
        &self,
        key: HsmKey,
        hash: MacHash,
        message: &[u8],
    ) -> Result<Vec<u8>, ServiceError> {
        let hash = match hash {
            MacHash::Sha256 => HsmHash::Sha256,
            MacHash::Sha384 => HsmHash::Sha384,
            MacHash::Sha512 => HsmHash::Sha512,
        };
        let mut out = vec![0; hash.bytes()];
        self.hmac(key, hash, message, &mut out).await?;
        Ok(out)
    }

    async fn hmac(
        &self,
        key: HsmKey,
        hash: HsmHash,
        message: &[u8],
        out: &mut [u8],
    ) -> Result<(), ServiceError> {
        let hsm = &*self.unsealed.hsm;
        match hsm.hmac(key, hash, message, out).await {
            Err(HsmError::KeyGone) => {
                let key = self.reload().await?;
                Ok(hsm.hmac(key, hash, message, out).await?)
            }
            answer => Ok(answer?),
        }
    }

    /// A signature made inside the HSM.
    pub(super) async fn sign_inside(
        &self,
        key: HsmKey,
        kind: KeyKind,
        scheme: Scheme,
        input: Input<'_>,
    ) -> Result<Vec<u8>, ServiceError> {
        let (how, what) = to_sign(kind, scheme, input).map_err(|error| self.not_signed(&error))?;
        let hsm = &*self.unsealed.hsm;
        let made = match hsm.sign(key, how, &what).await {
            Err(HsmError::KeyGone) => hsm.sign(self.reload().await?, how, &what).await?,
            answer => answer?,
        };
        if scheme == Scheme::Ecdsa(EcdsaForm::Der) {
            return sign::raw_to_der(kind, &made).map_err(|error| self.not_signed(&error));
        }
        Ok(made)
    }

    /// What was encrypted by RSA-OAEP, decrypted inside the HSM; `None` if it does not open.
    pub(super) async fn decrypt_inside(
        &self,
        key: HsmKey,
        ciphertext: &[u8],
        label: &[u8],
    ) -> Result<Option<SecretBytes>, ServiceError> {
        let hsm = &*self.unsealed.hsm;
        let mut plaintext = Zeroizing::new(vec![0; ciphertext.len()]);
        let out = plaintext.as_mut_slice();
        let read = match hsm.decrypt_oaep(key, label, ciphertext, out).await {
            Err(HsmError::KeyGone) => {
                let key = self.reload().await?;
                hsm.decrypt_oaep(key, label, ciphertext, out).await
            }
            answer => answer,
        };
        match read {
            Ok(bytes) => {
                plaintext.truncate(bytes);
                Ok(Some(SecretBytes::from_vec(std::mem::take(&mut *plaintext))))
            }
            Err(HsmError::Refused { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The secret shared with the owner of a point, computed inside the HSM; `None` if it takes no such point.
    pub(super) async fn agree_inside(
        &self,
        key: HsmKey,
        point: &[u8],
    ) -> Result<Option<Secret<32>>, ServiceError> {
        let hsm = &*self.unsealed.hsm;
        let mut shared = Secret::zeroed();
        let out = shared.expose_mut();
        let agreed = match hsm.derive_ecdh(key, point, out).await {
            Err(HsmError::KeyGone) => hsm.derive_ecdh(self.reload().await?, point, out).await,
            answer => answer,
        };
        match agreed {
            Ok(()) => Ok(Some(shared)),
            Err(HsmError::Refused { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
