//! Encapsulation of a shared secret by ML-KEM-768 (FIPS 203), for the asymmetric key versions at
//! protection SOFTWARE.
//!
//! Private keys are stored as the seed d ‖ z, 64 bytes. `aws-lc-rs` encapsulates and decapsulates,
//! but takes no seed; `ml-kem` expands it. Encapsulation draws from the operating system, inside
//! the library: it makes another secret at each call.

use crate::error::CryptoError;
use crate::public_key::{PublicKey, PublicKind};
use crate::secret::{PrivateMaterial, Secret, SecretBytes};
use aws_lc_rs::kem::{self, AlgorithmId, Ciphertext, ML_KEM_768};
use ml_kem::{B32, EncodedSizeUser, KemCore, MlKem768};
use zeroize::Zeroize;

/// Bytes of the seed that is a private key.
pub const SEED_BYTES: usize = 64;
/// Bytes of a ciphertext.
pub const CIPHERTEXT_BYTES: usize = 1088;
/// Bytes of a shared secret.
pub const SECRET_BYTES: usize = 32;

const KIND: &str = "ML-KEM-768";

/// A private key made of `seed`, which must be 64 fresh random bytes; the same seed makes the same
/// key. Wiping `seed` remains the caller's business.
///
/// # Errors
/// [`CryptoError::SeedLength`].
pub fn generate(seed: &[u8]) -> Result<PrivateMaterial, CryptoError> {
    if seed.len() != SEED_BYTES {
        return Err(CryptoError::SeedLength {
            kind: KIND,
            expected: SEED_BYTES,
            actual: seed.len(),
        });
    }
    PrivateMaterial::from_slice(seed)
}

/// A private key, prepared: made once, it decapsulates often and in many threads. The library
/// wipes what it holds of it when this is dropped.
pub struct DecapsulationKey {
    key: kem::DecapsulationKey<AlgorithmId>,
    public: PublicKey,
}

impl DecapsulationKey {
    /// From stored material.
    ///
    /// # Errors
    /// [`CryptoError::PrivateKey`] if it is no seed.
    pub fn new(material: &PrivateMaterial) -> Result<Self, CryptoError> {
        let damaged = CryptoError::PrivateKey { kind: KIND };
        let (expanded, public) = expand(material.expose()).ok_or_else(|| damaged.clone())?;
        let key = kem::DecapsulationKey::new(&ML_KEM_768, expanded.expose());
        Ok(Self {
            key: key.map_err(|_| damaged)?,
            public: PublicKey::from_raw(PublicKind::MlKem768, &public)?,
        })
    }

    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The secret that a ciphertext encapsulates. One that was not made under this key gives a
    /// secret as well, which nobody else has (FIPS 203, section 6.3).
    ///
    /// # Errors
    /// [`CryptoError::CiphertextLength`], [`CryptoError::Library`].
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<Secret<SECRET_BYTES>, CryptoError> {
        if ciphertext.len() != CIPHERTEXT_BYTES {
            return Err(CryptoError::CiphertextLength {
                kind: KIND,
                expected: CIPHERTEXT_BYTES,
                actual: ciphertext.len(),
            });
        }
        let operation = "decapsulate";
        let failed = || CryptoError::Library { operation };
        let shared = self.key.decapsulate(Ciphertext::from(ciphertext));
        Secret::from_slice(shared.map_err(|_| failed())?.as_ref()).map_err(|_| failed())
    }
}

/// A public key, prepared.
pub struct EncapsulationKey(kem::EncapsulationKey<AlgorithmId>);

impl EncapsulationKey {
    /// # Errors
    /// [`CryptoError::OtherKind`], [`CryptoError::PublicValue`].
    pub fn new(public: &PublicKey) -> Result<Self, CryptoError> {
        if public.kind() != PublicKind::MlKem768 {
            return Err(CryptoError::OtherKind {
                expected: KIND,
                actual: public.kind().name(),
            });
        }
        kem::EncapsulationKey::new(&ML_KEM_768, public.raw())
            .map(Self)
            .map_err(|_| CryptoError::PublicValue { kind: KIND })
    }

    /// A new shared secret, and the ciphertext that tells it to the owner of the private key.
    ///
    /// # Errors
    /// [`CryptoError::Library`].
    pub fn encapsulate(&self) -> Result<(Vec<u8>, Secret<SECRET_BYTES>), CryptoError> {
        let operation = "encapsulate";
        let failed = || CryptoError::Library { operation };
        let (ciphertext, shared) = self.0.encapsulate().map_err(|_| failed())?;
        let shared = Secret::from_slice(shared.as_ref()).map_err(|_| failed())?;
        Ok((ciphertext.as_ref().to_vec(), shared))
    }
}

/// Whether every coefficient of an encapsulation key is below q, as FIPS 203, section 7.2 asks to
/// be checked: decoding reduces, so that another encoding does not come back.
pub(crate) fn is_reduced(raw: &[u8]) -> bool {
    type Key = <MlKem768 as KemCore>::EncapsulationKey;
    ml_kem::Encoded::<Key>::try_from(raw)
        .is_ok_and(|encoded| Key::from_bytes(&encoded).as_bytes() == encoded)
}

/// Both keys of a seed, as FIPS 203 encodes them.
fn expand(seed: &[u8]) -> Option<(SecretBytes, Vec<u8>)> {
    let (d, z) = seed.split_at_checked(SEED_BYTES / 2)?;
    let (mut d, mut z) = (B32::try_from(d).ok()?, B32::try_from(z).ok()?);
    let (private, public) = MlKem768::generate_deterministic(&d, &z);
    let mut encoded = private.as_bytes();
    let expanded = SecretBytes::from_vec(encoded.to_vec());
    encoded.as_mut_slice().zeroize();
    d.as_mut_slice().zeroize();
    z.as_mut_slice().zeroize();
    Some((expanded, public.as_bytes().to_vec()))
}
