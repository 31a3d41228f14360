//! Wrapping of a key under an RSA key, through an AES key that is used once: how a key is brought
//! to a key management service.
//!
//! ```text
//! wrapped = RSA-OAEP(public key, AES key(32)) ‖ AES-KWP(AES key, material)
//! ```
//!
//! As AWS KMS does by `RSA_AES_KEY_WRAP_SHA_256`, Google Cloud KMS by `rsa-oaep-3072-sha256-aes-256`
//! and `rsa-oaep-4096-sha256-aes-256`, and PKCS#11 by `CKM_RSA_AES_KEY_WRAP` with SHA-256; with
//! SHA-1, which the wrapping key may be told, as they have it under the like names. The
//! material is what the other side expects, mostly the bytes of a symmetric key or PKCS#8 in DER.
//! Whoever knows the public key can wrap: this says nothing about who did.

use crate::error::CryptoError;
use crate::kwp;
use crate::oaep::{DecryptingKey, EncryptingKey};
use crate::secret::{KeyMaterial, PrivateMaterial};

/// Wraps. The AES key must be 32 fresh random bytes, and is good for this call only.
///
/// # Errors
/// [`CryptoError::Library`].
pub fn wrap(
    wrapping: &EncryptingKey,
    ephemeral: &KeyMaterial,
    material: &PrivateMaterial,
) -> Result<Vec<u8>, CryptoError> {
    let mut wrapped = wrapping.encrypt(ephemeral.expose())?;
    wrapped.extend(kwp::wrap(ephemeral, material)?);
    Ok(wrapped)
}

/// Unwraps.
///
/// # Errors
/// [`CryptoError::TooLarge`]; [`CryptoError::WrappedKey`], whatever else is wrong, so that who asks
/// often learns nothing.
pub fn unwrap(wrapping: &DecryptingKey, wrapped: &[u8]) -> Result<PrivateMaterial, CryptoError> {
    let split = wrapped.split_at_checked(wrapping.size().modulus_bytes());
    let (encrypted, wrapped) = split.ok_or(CryptoError::WrappedKey)?;
    let ephemeral = wrapping.decrypt(encrypted);
    let ephemeral = ephemeral.map_err(|_| CryptoError::WrappedKey)?;
    let ephemeral = KeyMaterial::from_slice(ephemeral.expose());
    kwp::unwrap(&ephemeral.map_err(|_| CryptoError::WrappedKey)?, wrapped)
}
