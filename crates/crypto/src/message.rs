//! The message format (`docs/format/message.md`): one derived key per message, key-committing.
//!
//! Nothing is encrypted under a key version itself. Software or an HSM makes a pseudorandom key
//! from the version and a random salt; here it is expanded to message key, nonce and commitment.

use crate::context;
use crate::encoding::put_field;
use crate::error::CryptoError;
use crate::hkdf;
use crate::limits::{AAD_BYTES_MAX, PLAINTEXT_BYTES_MAX};
use crate::secret::{KeyMaterial, MessagePrk, Secret, SecretBytes};
use conclave_core::{EncryptionContext, KeyId, VersionNumber};
use ring::aead;
use subtle::ConstantTimeEq;

/// The first byte of every message.
pub const FORMAT: u8 = 1;
/// Bytes before the ciphertext: format, suite, key id, version, salt, commitment.
pub const HEADER_BYTES: usize = 1 + 1 + 16 + 4 + 32 + 32;
/// Bytes that a message has more than its plaintext: header and tag.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

const TAG_BYTES: usize = 16;
const HSM_PRK_LABEL: &[u8] = b"conclave/1/hsm-prk";
const EXPAND_LABEL: &[u8] = b"conclave/1/encrypt";
const DERIVED_BYTES: usize = 32 + aead::NONCE_LEN + 32;

/// How the pseudorandom key is made, and under which cipher it encrypts; the rest is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// By HKDF-Extract in software; AES-256-GCM.
    Aes256GcmHkdf = 1,
    /// By HMAC inside an HSM; AES-256-GCM.
    Aes256GcmHsm = 2,
    /// By HKDF-Extract in software; ChaCha20-Poly1305 (RFC 8439).
    ChaCha20Poly1305Hkdf = 3,
}

impl Suite {
    /// As it stands in a message.
    pub fn to_byte(self) -> u8 {
        self as u8
    }

    /// # Errors
    /// [`CryptoError::UnknownSuite`] for any other byte than 1, 2 and 3.
    pub fn from_byte(byte: u8) -> Result<Self, CryptoError> {
        match byte {
            1 => Ok(Self::Aes256GcmHkdf),
            2 => Ok(Self::Aes256GcmHsm),
            3 => Ok(Self::ChaCha20Poly1305Hkdf),
            other => Err(CryptoError::UnknownSuite(other)),
        }
    }

    /// Both ciphers have keys of 32 bytes, nonces of 12 and tags of 16.
    fn cipher(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes256GcmHkdf | Self::Aes256GcmHsm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305Hkdf => &aead::CHACHA20_POLY1305,
        }
    }
}

/// What a message says of itself. Not authenticated before [`open`] has opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How its pseudorandom key is made.
    pub suite: Suite,
    /// The key that it was encrypted with.
    pub key_id: KeyId,
    /// And which version of it.
    pub version: VersionNumber,
    salt: [u8; 32],
    commitment: [u8; 32],
}

impl Header {
    /// Reads the beginning of a message.
    ///
    /// # Errors
    /// [`CryptoError::Truncated`], [`CryptoError::UnknownFormat`], [`CryptoError::UnknownSuite`] or
    /// [`CryptoError::NoVersion`].
    pub fn parse(blob: &[u8]) -> Result<Self, CryptoError> {
        Self::split(blob).map(|(header, _, _)| header)
    }

    /// The random bytes that make the message key unique.
    pub fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// The header, its bytes, and ciphertext and tag behind it.
    fn split(blob: &[u8]) -> Result<(Self, &[u8; HEADER_BYTES], &[u8]), CryptoError> {
        let short = CryptoError::Truncated {
            have: blob.len(),
            need: OVERHEAD_BYTES,
        };
        match blob.first() {
            None => return Err(short),
            Some(&FORMAT) => {}
            Some(&other) => return Err(CryptoError::UnknownFormat(other)),
        }
        if blob.len() < OVERHEAD_BYTES {
            return Err(short);
        }
        let (bytes, body) = blob.split_first_chunk::<HEADER_BYTES>().ok_or(short)?;
        Self::from_bytes(bytes).map(|header| (header, bytes, body))
    }

    fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, CryptoError> {
        let mut rest = bytes.as_slice();
        let [_, suite] = take(&mut rest);
        let header = Self {
            suite: Suite::from_byte(suite)?,
            key_id: KeyId(take(&mut rest)),
            version: VersionNumber(u32::from_be_bytes(take(&mut rest))),
            salt: take(&mut rest),
            commitment: take(&mut rest),
        };
        if header.version.0 == 0 {
            return Err(CryptoError::NoVersion);
        }
        Ok(header)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[FORMAT, self.suite.to_byte()]);
        out.extend_from_slice(self.key_id.as_bytes());
        out.extend_from_slice(&self.version.0.to_be_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.commitment);
    }
}

/// Suites 1 and 3: the pseudorandom key of the message with `salt`.
pub fn prk_software(material: &KeyMaterial, salt: &[u8; 32]) -> MessagePrk {
    MessagePrk::from_fn(|out| hkdf::extract(salt, material.expose(), out))
}

/// Suite 2: what the HSM is to authenticate by HMAC-SHA-256 under the version's key.
pub fn prk_hsm_message(salt: &[u8; 32]) -> Vec<u8> {
    [HSM_PRK_LABEL, salt].concat()
}

/// Suite 2: the pseudorandom key, which is what the HSM answered. To leave no copy on the stack,
/// have it written into [`MessagePrk::from_fn`] or a [`Secret`] instead.
pub fn prk_from_hsm(out: [u8; 32]) -> MessagePrk {
    let out = zeroize::Zeroizing::new(out);
    MessagePrk::from_fn(|prk| prk.copy_from_slice(out.as_slice()))
}

/// What messages under one version and context have in common.
pub struct Sealing {
    suite: Suite,
    key_id: KeyId,
    version: VersionNumber,
    context: [u8; 32],
}

impl Sealing {
    /// For messages under a version, bound to a context.
    ///
    /// # Errors
    /// [`CryptoError::NoVersion`] for version 0.
    pub fn new(
        suite: Suite,
        key_id: KeyId,
        version: VersionNumber,
        context: &EncryptionContext,
    ) -> Result<Self, CryptoError> {
        if version.0 == 0 {
            return Err(CryptoError::NoVersion);
        }
        Ok(Self {
            suite,
            key_id,
            version,
            context: context::digest(context),
        })
    }

    /// Encrypts one message. The salt must be 32 fresh random bytes, those that `prk` was made with.
    ///
    /// # Errors
    /// [`CryptoError::TooLarge`].
    ///
    /// # Panics
    /// Never: `ring` refuses only what is larger than our limits.
    pub fn seal(
        &self,
        prk: &MessagePrk,
        salt: &[u8; 32],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        check_size("plaintext", plaintext.len(), PLAINTEXT_BYTES_MAX)?;
        check_size("additional data", aad.len(), AAD_BYTES_MAX)?;
        let derived = Derived::new(prk, self.suite, self.key_id, self.version);
        let header = Header {
            suite: self.suite,
            key_id: self.key_id,
            version: self.version,
            salt: *salt,
            commitment: *derived.commitment(),
        };
        // Large enough at once: growing would leave plaintext behind in freed memory.
        let mut blob = Vec::with_capacity(plaintext.len().saturating_add(OVERHEAD_BYTES));
        header.write(&mut blob);
        let aad = bound_data(&blob, &self.context, aad);
        blob.extend_from_slice(plaintext);
        let body = blob
            .get_mut(HEADER_BYTES..)
            .expect("the header was written");
        let tag = derived
            .key()
            .seal_in_place_separate_tag(derived.nonce(), aead::Aad::from(aad), body)
            .expect("the plaintext is below the cipher's limit");
        blob.extend_from_slice(tag.as_ref());
        Ok(blob)
    }
}

/// Encrypts a single message, as [`Sealing::seal`] does.
///
/// # Errors
/// [`CryptoError::TooLarge`], and [`CryptoError::NoVersion`] for version 0.
#[expect(
    clippy::too_many_arguments,
    reason = "all of them are bound into the message"
)]
pub fn seal(
    prk: &MessagePrk,
    suite: Suite,
    key_id: KeyId,
    version: VersionNumber,
    salt: &[u8; 32],
    context: &EncryptionContext,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    Sealing::new(suite, key_id, version, context)?.seal(prk, salt, aad, plaintext)
}

/// Decrypts. Compares the commitment first, in constant time: the message opens under no other key.
///
/// # Errors
/// What [`Header::parse`] answers; [`CryptoError::TooLarge`]; [`CryptoError::DoesNotOpen`].
pub fn open(
    prk: &MessagePrk,
    blob: &[u8],
    context: &EncryptionContext,
    aad: &[u8],
) -> Result<SecretBytes, CryptoError> {
    check_size(
        "ciphertext",
        blob.len(),
        PLAINTEXT_BYTES_MAX.saturating_add(OVERHEAD_BYTES),
    )?;
    check_size("additional data", aad.len(), AAD_BYTES_MAX)?;
    let (header, header_bytes, body) = Header::split(blob)?;
    let derived = Derived::new(prk, header.suite, header.key_id, header.version);
    if !bool::from(derived.commitment().ct_eq(&header.commitment)) {
        return Err(CryptoError::DoesNotOpen);
    }
    let aad = bound_data(header_bytes, &context::digest(context), aad);
    let mut plaintext = SecretBytes::from_vec(body.to_vec());
    let len = derived
        .key()
        .open_in_place(
            derived.nonce(),
            aead::Aad::from(aad),
            plaintext.expose_mut(),
        )
        .map_err(|_| CryptoError::DoesNotOpen)?
        .len();
    plaintext.truncate(len);
    Ok(plaintext)
}

/// Message key, nonce and commitment.
struct Derived {
    suite: Suite,
    bytes: Secret<DERIVED_BYTES>,
}

impl Derived {
    fn new(prk: &MessagePrk, suite: Suite, key_id: KeyId, version: VersionNumber) -> Self {
        let (named, version) = ([suite.to_byte()], version.0.to_be_bytes());
        let info = [EXPAND_LABEL, &named, key_id.as_bytes(), &version];
        let bytes = Secret::from_fn(|out| hkdf::expand(prk.expose(), &info, out));
        Self { suite, bytes }
    }

    fn parts(&self) -> (&[u8; 32], &[u8; aead::NONCE_LEN], &[u8; 32]) {
        let bytes = self.bytes.expose();
        let key = bytes.first_chunk().expect("76 bytes begin with 32");
        let commitment = bytes.last_chunk().expect("76 bytes end with 32");
        let nonce = bytes.get(32..44).and_then(|nonce| nonce.try_into().ok());
        (key, nonce.expect("76 bytes hold 12 between"), commitment)
    }

    fn key(&self) -> aead::LessSafeKey {
        let key = aead::UnboundKey::new(self.suite.cipher(), self.parts().0);
        aead::LessSafeKey::new(key.expect("32 bytes are a key of either cipher"))
    }

    fn nonce(&self) -> aead::Nonce {
        aead::Nonce::assume_unique_for_key(*self.parts().1)
    }

    fn commitment(&self) -> &[u8; 32] {
        self.parts().2
    }
}

fn bound_data(header: &[u8], context: &[u8; 32], aad: &[u8]) -> Vec<u8> {
    let fixed = HEADER_BYTES + 32 + 3 * 8;
    let mut out = Vec::with_capacity(aad.len().saturating_add(fixed));
    put_field(&mut out, header);
    put_field(&mut out, context);
    put_field(&mut out, aad);
    out
}

fn check_size(what: &'static str, actual: usize, max: usize) -> Result<(), CryptoError> {
    if actual > max {
        Err(CryptoError::TooLarge { what, max, actual })
    } else {
        Ok(())
    }
}

/// The next `N` bytes of the header; its length is a constant, and so is what is taken of it.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (taken, behind) = rest
        .split_first_chunk::<N>()
        .expect("the header has 86 bytes");
    *rest = behind;
    *taken
}

#[cfg(test)]
mod tests;
