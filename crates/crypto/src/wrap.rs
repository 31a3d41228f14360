//! Wrapped key material, bound to its place, so that two blobs swapped on a disk are found.
//!
//! SOFTWARE material is wrapped here. What an HSM wraps takes no associated data, and is bound by
//! an HMAC under the integrity key instead.

use crate::encoding::fields;
use crate::error::CryptoError;
use crate::limits::PRIVATE_MATERIAL_BYTES_MAX;
use crate::secret::{IntegrityKey, KeyMaterial, PrivateMaterial, SecretBytes, SoftwareKek};
use conclave_core::{ClusterId, Generation, KekNumber, KeyId, VersionNumber};
use ring::{aead, hmac};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes of wrapped SOFTWARE material: format, nonce, 32 bytes of ciphertext, tag.
pub const WRAPPED_BYTES: usize = WRAP_OVERHEAD_BYTES + 32;
/// Bytes that wrapping adds: format, nonce, tag.
pub const WRAP_OVERHEAD_BYTES: usize = 1 + aead::NONCE_LEN + 16;
/// Bytes of wrapped SOFTWARE material whose length is that of its kind, at most.
pub const PRIVATE_WRAPPED_BYTES_MAX: usize = WRAP_OVERHEAD_BYTES + PRIVATE_MATERIAL_BYTES_MAX;

const FORMAT: u8 = 1;
const VERSION_LABEL: &[u8] = b"conclave/1/bind-version";
const KEK_LABEL: &[u8] = b"conclave/1/bind-kek";
const WRAP_LABEL: &[u8] = b"conclave/1/wrap-material";
const TAG_LABEL: &[u8] = b"conclave/1/bind-tag";

/// The place of a wrapped key version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Of which key.
    pub key: KeyId,
    /// Which version of it.
    pub version: VersionNumber,
    /// The key's algorithm.
    pub algorithm: &'a str,
    /// The key's protection.
    pub protection: &'a str,
    /// What the material is for.
    pub purpose: &'a str,
}

impl Binding<'_> {
    /// Every part behind its length, behind a label.
    pub fn encode(&self) -> Vec<u8> {
        fields(&[
            VERSION_LABEL,
            self.cluster.as_bytes(),
            self.key.as_bytes(),
            &self.version.0.to_be_bytes(),
            self.algorithm.as_bytes(),
            self.protection.as_bytes(),
            self.purpose.as_bytes(),
        ])
    }
}

/// The place of a wrapped KEK or service key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KekBinding<'a> {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// What it is: `hsm-kek`, `software-kek`, `audit-signing`…
    pub kind: &'a str,
    /// Which of its kind.
    pub number: KekNumber,
    /// The generation of the root key that wraps it.
    pub generation: Generation,
}

impl KekBinding<'_> {
    /// Every part behind its length, behind a label.
    pub fn encode(&self) -> Vec<u8> {
        fields(&[
            KEK_LABEL,
            self.cluster.as_bytes(),
            self.kind.as_bytes(),
            &self.number.0.to_be_bytes(),
            &self.generation.0.to_be_bytes(),
        ])
    }
}

/// Wraps SOFTWARE material. The nonce must be 12 fresh random bytes; one KEK wraps at most 2^32
/// versions, far more than a cluster may have between two rotations of it.
///
/// # Panics
/// Never.
pub fn wrap_material(
    kek: &SoftwareKek,
    nonce: [u8; aead::NONCE_LEN],
    binding: &Binding<'_>,
    material: &KeyMaterial,
) -> Vec<u8> {
    seal(kek, nonce, binding, material.expose())
}

/// Wraps SOFTWARE material of any length, in the same layout; else as [`wrap_material`].
///
/// # Panics
/// Never.
pub fn wrap_private(
    kek: &SoftwareKek,
    nonce: [u8; aead::NONCE_LEN],
    binding: &Binding<'_>,
    material: &PrivateMaterial,
) -> Vec<u8> {
    seal(kek, nonce, binding, material.expose())
}

/// Unwraps SOFTWARE material.
///
/// # Errors
/// [`CryptoError::UnknownFormat`]; [`CryptoError::TamperedWrap`] if it was changed, has another
/// length, or belongs to another place or KEK.
pub fn unwrap_material(
    kek: &SoftwareKek,
    binding: &Binding<'_>,
    wrapped: &[u8],
) -> Result<KeyMaterial, CryptoError> {
    let material = open(kek, binding, wrapped)?;
    KeyMaterial::from_slice(material.expose()).map_err(|_| CryptoError::TamperedWrap)
}

/// Unwraps SOFTWARE material of any length.
///
/// # Errors
/// Those of [`unwrap_material`].
pub fn unwrap_private(
    kek: &SoftwareKek,
    binding: &Binding<'_>,
    wrapped: &[u8],
) -> Result<PrivateMaterial, CryptoError> {
    let (max, actual) = (PRIVATE_WRAPPED_BYTES_MAX, wrapped.len());
    if actual > max {
        let what = "wrapped private key";
        return Err(CryptoError::TooLarge { what, max, actual });
    }
    let material = open(kek, binding, wrapped)?;
    PrivateMaterial::new(material).map_err(|_| CryptoError::TamperedWrap)
}

/// Binds what an HSM wrapped to `binding`, an encoded [`Binding`] or [`KekBinding`].
///
/// # Panics
/// Never.
pub fn bind_tag(integrity: &IntegrityKey, binding: &[u8], wrapped: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, integrity.expose());
    let tag = hmac::sign(&key, &fields(&[TAG_LABEL, &[FORMAT], binding, wrapped]));
    tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

/// Checks, in constant time, that `wrapped` belongs to `binding`.
///
/// # Errors
/// [`CryptoError::TamperedWrap`] if it does not.
pub fn verify_tag(
    integrity: &IntegrityKey,
    binding: &[u8],
    wrapped: &[u8],
    tag: &[u8],
) -> Result<(), CryptoError> {
    if bind_tag(integrity, binding, wrapped)
        .as_slice()
        .ct_eq(tag)
        .into()
    {
        Ok(())
    } else {
        Err(CryptoError::TamperedWrap)
    }
}

fn seal(
    kek: &SoftwareKek,
    nonce: [u8; aead::NONCE_LEN],
    binding: &Binding<'_>,
    material: &[u8],
) -> Vec<u8> {
    let mut body = Zeroizing::new(material.to_vec());
    let tag = sealing_key(kek)
        .seal_in_place_separate_tag(
            aead::Nonce::assume_unique_for_key(nonce),
            aead::Aad::from(associated_data(binding)),
            body.as_mut_slice(),
        )
        .expect("material is far below AES-GCM's limit");
    [&[FORMAT], nonce.as_slice(), body.as_slice(), tag.as_ref()].concat()
}

fn open(
    kek: &SoftwareKek,
    binding: &Binding<'_>,
    wrapped: &[u8],
) -> Result<SecretBytes, CryptoError> {
    let (format, rest) = wrapped.split_first().ok_or(CryptoError::TamperedWrap)?;
    if *format != FORMAT {
        return Err(CryptoError::UnknownFormat(*format));
    }
    let (nonce, body) = rest.split_first_chunk().ok_or(CryptoError::TamperedWrap)?;
    let mut body = SecretBytes::from_vec(body.to_vec());
    let opened = sealing_key(kek)
        .open_in_place(
            aead::Nonce::assume_unique_for_key(*nonce),
            aead::Aad::from(associated_data(binding)),
            body.expose_mut(),
        )
        .map_err(|_| CryptoError::TamperedWrap)?;
    let len = opened.len();
    body.truncate(len);
    Ok(body)
}

fn sealing_key(kek: &SoftwareKek) -> aead::LessSafeKey {
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, kek.expose());
    aead::LessSafeKey::new(key.expect("32 bytes are an AES-256 key"))
}

fn associated_data(binding: &Binding<'_>) -> Vec<u8> {
    fields(&[WRAP_LABEL, &[FORMAT], &binding.encode()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BINDING: Binding<'static> = Binding {
        cluster: ClusterId([1; 16]),
        key: KeyId([2; 16]),
        version: VersionNumber(3),
        algorithm: "AES-256-GCM",
        protection: "SOFTWARE",
        purpose: "encrypt",
    };
    const KEK_BINDING: KekBinding<'static> = KekBinding {
        cluster: ClusterId([1; 16]),
        kind: "hsm-kek",
        number: KekNumber(2),
        generation: Generation(3),
    };

    fn kek(byte: u8) -> SoftwareKek {
        SoftwareKek::from_fn(|out| out.fill(byte))
    }

    fn wrapped() -> Vec<u8> {
        wrap_material(
            &kek(9),
            [4; 12],
            &BINDING,
            &KeyMaterial::from_fn(|out| out.fill(5)),
        )
    }

    fn other_bindings() -> Vec<Binding<'static>> {
        vec![
            Binding {
                cluster: ClusterId([9; 16]),
                ..BINDING
            },
            Binding {
                key: KeyId([9; 16]),
                ..BINDING
            },
            Binding {
                version: VersionNumber(4),
                ..BINDING
            },
            Binding {
                algorithm: "AES-128-GCM",
                ..BINDING
            },
            Binding {
                protection: "HSM",
                ..BINDING
            },
            Binding {
                purpose: "sign",
                ..BINDING
            },
            Binding {
                algorithm: "AES-256-GCMS",
                protection: "OFTWARE",
                ..BINDING
            },
            Binding {
                cluster: ClusterId([2; 16]),
                key: KeyId([1; 16]),
                ..BINDING
            },
        ]
    }

    #[test]
    fn unwraps_in_its_place_only() {
        let blob = wrapped();
        assert_eq!(blob.len(), WRAPPED_BYTES);
        let material = unwrap_material(&kek(9), &BINDING, &blob).ok().unwrap();
        assert_eq!(material.expose(), &[5; 32]);
        for other in other_bindings() {
            let refused = unwrap_material(&kek(9), &other, &blob).err();
            assert_eq!(refused, Some(CryptoError::TamperedWrap), "{other:?}");
        }
        assert_eq!(
            unwrap_material(&kek(8), &BINDING, &blob).err(),
            Some(CryptoError::TamperedWrap)
        );
    }

    #[test]
    fn every_changed_byte_and_every_other_length_is_found() {
        let blob = wrapped();
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 0x80;
            assert!(
                unwrap_material(&kek(9), &BINDING, &changed).is_err(),
                "byte {at}"
            );
            assert!(
                unwrap_material(&kek(9), &BINDING, &blob[..at]).is_err(),
                "cut to {at}"
            );
        }
        let longer = [blob.as_slice(), &[0]].concat();
        assert!(unwrap_material(&kek(9), &BINDING, &longer).is_err());
    }

    #[test]
    fn material_of_any_length_unwraps_in_its_place_only() {
        for len in [1, 31, 32, 33, 1217, PRIVATE_MATERIAL_BYTES_MAX] {
            let bytes = vec![5; len];
            let material = PrivateMaterial::from_slice(&bytes).ok().unwrap();
            let blob = wrap_private(&kek(9), [4; 12], &BINDING, &material);
            assert_eq!(blob.len(), WRAP_OVERHEAD_BYTES + len);
            let back = unwrap_private(&kek(9), &BINDING, &blob).ok().unwrap();
            assert_eq!(back.expose(), bytes);
            let tampered = Some(CryptoError::TamperedWrap);
            assert_eq!(unwrap_private(&kek(8), &BINDING, &blob).err(), tampered);
            for other in other_bindings() {
                assert_eq!(unwrap_private(&kek(9), &other, &blob).err(), tampered);
            }
            for at in [0, 1, 12, 13, blob.len() - 17, blob.len() - 1] {
                let mut changed = blob.clone();
                changed[at] ^= 1;
                assert!(unwrap_private(&kek(9), &BINDING, &changed).is_err());
                assert!(unwrap_private(&kek(9), &BINDING, &blob[..at]).is_err());
            }
        }
    }

    #[test]
    fn other_lengths_are_refused_though_they_authenticate() {
        let empty = seal(&kek(9), [4; 12], &BINDING, &[]);
        let tampered = Some(CryptoError::TamperedWrap);
        assert_eq!(unwrap_private(&kek(9), &BINDING, &empty).err(), tampered);
        let long = seal(&kek(9), [4; 12], &BINDING, &[5; 33]);
        assert_eq!(unwrap_material(&kek(9), &BINDING, &long).err(), tampered);
        let large = seal(
            &kek(9),
            [4; 12],
            &BINDING,
            &[5; PRIVATE_MATERIAL_BYTES_MAX + 1],
        );
        let refused = unwrap_private(&kek(9), &BINDING, &large).err();
        assert!(matches!(refused, Some(CryptoError::TooLarge { .. })));
    }

    #[test]
    fn material_of_32_bytes_wraps_to_the_same_bytes_either_way() {
        let material = PrivateMaterial::from_slice(&[5; 32]).ok().unwrap();
        assert_eq!(
            wrap_private(&kek(9), [4; 12], &BINDING, &material),
            wrapped()
        );
    }

    #[test]
    fn a_tag_binds_blob_and_place() {
        let integrity = IntegrityKey::from_fn(|out| out.fill(7));
        let place = BINDING.encode();
        let tag = bind_tag(&integrity, &place, b"blob");
        assert_eq!(verify_tag(&integrity, &place, b"blob", &tag), Ok(()));
        for other in other_bindings() {
            assert!(verify_tag(&integrity, &other.encode(), b"blob", &tag).is_err());
        }
        let other_key = IntegrityKey::from_fn(|out| out.fill(8));
        assert!(verify_tag(&other_key, &place, b"blob", &tag).is_err());
        assert!(verify_tag(&integrity, &place, b"blot", &tag).is_err());
        assert!(verify_tag(&integrity, &place, b"blob", &tag[..31]).is_err());
        assert!(verify_tag(&integrity, &place, b"blob", &[]).is_err());
        for at in 0..tag.len() {
            let mut changed = tag;
            changed[at] ^= 1;
            assert!(verify_tag(&integrity, &place, b"blob", &changed).is_err());
        }
    }

    #[test]
    fn places_of_keks_differ_in_every_part() {
        let encoded = KEK_BINDING.encode();
        let others = [
            KekBinding {
                cluster: ClusterId([2; 16]),
                ..KEK_BINDING
            },
            KekBinding {
                kind: "software-kek",
                ..KEK_BINDING
            },
            KekBinding {
                number: KekNumber(3),
                ..KEK_BINDING
            },
            KekBinding {
                generation: Generation(2),
                ..KEK_BINDING
            },
            KekBinding {
                number: KekNumber(3),
                generation: Generation(2),
                ..KEK_BINDING
            },
        ];
        assert!(others.iter().all(|other| other.encode() != encoded));
        assert_ne!(encoded, BINDING.encode());
    }

    // Made with Python's `cryptography`.
    #[test]
    fn golden_bytes_of_another_length() {
        let bytes: Vec<u8> = (0..48).collect();
        let material = PrivateMaterial::from_slice(&bytes).ok().unwrap();
        let place = Binding {
            algorithm: "ECDSA-P384",
            purpose: "sign",
            ..BINDING
        };
        let blob = wrap_private(&kek(9), [4; 12], &place, &material);
        assert_eq!(hex::encode(blob), GOLDEN_PRIVATE_WRAP);
    }
    const GOLDEN_PRIVATE_WRAP: &str = "01040404040404040404040404e7b8ba7aeab06d288e4d683918552299dfbb6bf4\
         1c9c904f674fb6aebc6ec94849b53d5c2dbacfadfdae7c8c05517b26b780f9cb43a00ba794\
         79127d8e950d75";

    // What older nodes wrote must be read: these bytes may never change. (Made with Python's
    // `cryptography`, not with this code.)
    #[test]
    fn golden_bytes() {
        let integrity = IntegrityKey::from_fn(|out| out.fill(7));
        assert_eq!(hex::encode(wrapped()), GOLDEN_WRAP);
        let tag = bind_tag(&integrity, &BINDING.encode(), b"blob");
        assert_eq!(hex::encode(tag), GOLDEN_TAG);
        let tag = bind_tag(&integrity, &KEK_BINDING.encode(), b"blob");
        assert_eq!(hex::encode(tag), GOLDEN_KEK_TAG);
    }
    const GOLDEN_WRAP: &str = "01040404040404040404040404e2bcbd7cebb06e2a83416737115d2993caaf7c\
         e20d8c835d7a53a9b0a576d252d34c31b8fb82db639aed57ce75d9d508";
    const GOLDEN_TAG: &str = "e68ab70b84c06df4cd7d0e9549305884cf09a641f5b23cf6dce19fcea538d28d";
    const GOLDEN_KEK_TAG: &str = "f1824411c760c9333f9fa8f6eb8955fc186d949293f8d74fdabfe4bea2d43d8d";

    proptest! {
        #[test]
        fn any_material_comes_back(
            material: [u8; 32], key: [u8; 32], nonce: [u8; 12], id: [u8; 16], version: u32,
            purpose in ".{0,40}",
        ) {
            let place = Binding {
                key: KeyId(id), version: VersionNumber(version), purpose: &purpose, ..BINDING
            };
            let kek = SoftwareKek::from_fn(|out| *out = key);
            let blob = wrap_material(&kek, nonce, &place, &KeyMaterial::from_fn(|m| *m = material));
            let back = unwrap_material(&kek, &place, &blob).ok().unwrap();
            prop_assert_eq!(back.expose(), &material);
        }
    }
}
