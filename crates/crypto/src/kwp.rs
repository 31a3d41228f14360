//! AES key wrap with padding (RFC 5649, NIST SP 800-38F: KWP) under a key of 256 bits: how keys go
//! from one system to another. It binds a key to no place, unlike [`crate::wrap`], which is for
//! what stays here.

use crate::error::CryptoError;
use crate::limits::PRIVATE_MATERIAL_BYTES_MAX;
use crate::secret::{KeyMaterial, PrivateMaterial, SecretBytes};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};

/// Bytes of a block, of which the first names the length.
const BLOCK: usize = 8;
/// Bytes of a wrapped key, at most.
pub const WRAPPED_BYTES_MAX: usize = BLOCK + PRIVATE_MATERIAL_BYTES_MAX.next_multiple_of(BLOCK);

/// The material in whole blocks, and one more. The same material under the same key wraps to the
/// same bytes.
///
/// # Errors
/// [`CryptoError::Library`].
pub fn wrap(kek: &KeyMaterial, material: &PrivateMaterial) -> Result<Vec<u8>, CryptoError> {
    let operation = "wrap a key";
    let failed = || CryptoError::Library { operation };
    let material = material.expose();
    let mut wrapped = vec![0; material.len().next_multiple_of(BLOCK).saturating_add(BLOCK)];
    let written = aes(kek)
        .ok_or_else(failed)?
        .wrap_with_padding(material, &mut wrapped)
        .map_err(|_| failed())?
        .len();
    wrapped.truncate(written);
    Ok(wrapped)
}

/// The inverse of [`wrap`].
///
/// # Errors
/// [`CryptoError::TooLarge`]; [`CryptoError::WrappedKey`], whatever else is wrong.
pub fn unwrap(kek: &KeyMaterial, wrapped: &[u8]) -> Result<PrivateMaterial, CryptoError> {
    let (max, actual) = (WRAPPED_BYTES_MAX, wrapped.len());
    if actual > max {
        let what = "wrapped key";
        return Err(CryptoError::TooLarge { what, max, actual });
    }
    let mut material = SecretBytes::from_vec(vec![0; actual]);
    let len = aes(kek)
        .ok_or(CryptoError::WrappedKey)?
        .unwrap_with_padding(wrapped, material.expose_mut())
        .map_err(|_| CryptoError::WrappedKey)?
        .len();
    material.truncate(len);
    PrivateMaterial::new(material).map_err(|_| CryptoError::WrappedKey)
}

fn aes(kek: &KeyMaterial) -> Option<AesKek> {
    AesKek::new(&AES_256, kek.expose()).ok()
}
