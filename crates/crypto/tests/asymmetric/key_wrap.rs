//! AES-KWP and RSA-AES wrapping: here, by OpenSSL's recipe, and by Python.

use crate::encryption::decrypting;
use crate::keys::{RSA_SIZES, rsa_material};
use crate::openssl::{succeed, text};
use crate::python::ask;
use conclave_crypto::limits::PRIVATE_MATERIAL_BYTES_MAX;
use conclave_crypto::oaep::EncryptingKey;
use conclave_crypto::{CryptoError, KeyMaterial, PrivateMaterial, RsaSize, kwp, rsa_aes};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

fn kek(byte: u8) -> KeyMaterial {
    KeyMaterial::from_fn(|out| out.fill(byte))
}

fn material(len: usize) -> PrivateMaterial {
    PrivateMaterial::from_slice(&vec![5; len]).ok().unwrap()
}

#[test]
fn every_length_comes_back_in_whole_blocks() {
    for len in (1..=65).chain([1217, PRIVATE_MATERIAL_BYTES_MAX]) {
        let wrapped = kwp::wrap(&kek(7), &material(len)).unwrap();
        assert_eq!(wrapped.len(), len.next_multiple_of(8) + 8);
        let back = kwp::unwrap(&kek(7), &wrapped).ok().unwrap();
        assert_eq!(back.expose(), material(len).expose());
        let refused = kwp::unwrap(&kek(8), &wrapped).err();
        assert_eq!(refused, Some(CryptoError::WrappedKey));
    }
}

#[test]
fn every_changed_bit_and_every_other_length_refuses() {
    let wrapped = kwp::wrap(&kek(7), &material(33)).unwrap();
    let refused = Some(CryptoError::WrappedKey);
    for at in 0..wrapped.len() * 8 {
        let mut changed = wrapped.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert_eq!(kwp::unwrap(&kek(7), &changed).err(), refused);
    }
    for cut in 0..wrapped.len() {
        assert_eq!(kwp::unwrap(&kek(7), &wrapped[..cut]).err(), refused);
    }
    for more in 1..17 {
        let longer = [wrapped.as_slice(), &vec![0; more]].concat();
        assert_eq!(kwp::unwrap(&kek(7), &longer).err(), refused);
    }
    let (what, max, actual) = (
        "wrapped key",
        kwp::WRAPPED_BYTES_MAX,
        kwp::WRAPPED_BYTES_MAX + 1,
    );
    let large = kwp::unwrap(&kek(7), &vec![0; actual]).err();
    assert_eq!(large, Some(CryptoError::TooLarge { what, max, actual }));
}

#[test]
fn keys_wrapped_under_rsa_come_back() {
    for size in RSA_SIZES {
        let wrapping = decrypting(size);
        let public = EncryptingKey::new(wrapping.public_key()).ok().unwrap();
        for len in [1, 32, 1217, PRIVATE_MATERIAL_BYTES_MAX] {
            let wrapped = rsa_aes::wrap(&public, &kek(7), &material(len)).unwrap();
            let back = rsa_aes::unwrap(&wrapping, &wrapped).ok().unwrap();
            assert_eq!(back.expose(), material(len).expose());
        }
    }
}

#[test]
fn what_is_wrong_under_rsa_is_not_told() {
    let wrapping = decrypting(RsaSize::Bits2048);
    let public = EncryptingKey::new(wrapping.public_key()).ok().unwrap();
    let refused = Some(CryptoError::WrappedKey);
    let wrapped = rsa_aes::wrap(&public, &kek(7), &material(32)).unwrap();
    for at in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[at] ^= 1 << (at % 8);
        assert_eq!(
            rsa_aes::unwrap(&wrapping, &changed).err(),
            refused,
            "byte {at}"
        );
    }
    for cut in [0, 1, 255, 256, 257, 264, 272, 280, wrapped.len() - 1] {
        assert_eq!(
            rsa_aes::unwrap(&wrapping, &wrapped[..cut]).err(),
            refused,
            "cut to {cut}"
        );
    }
    // An AES key of another length.
    for len in [0, 16, 24, 31, 33] {
        let encrypted = public.encrypt(&vec![7; len]).unwrap();
        let wrapped = [encrypted, kwp::wrap(&kek(7), &material(32)).unwrap()].concat();
        assert_eq!(rsa_aes::unwrap(&wrapping, &wrapped).err(), refused);
    }
}

/// The recipe of AWS KMS's and Google Cloud KMS's manuals, with OpenSSL.
#[test]
fn the_recipe_of_the_manuals_unwraps_here() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (key, aes, public) = (path("key"), path("aes"), path("public"));
    let (one, other) = (path("key-wrapped"), path("aes-wrapped"));
    let wrapping = decrypting(RsaSize::Bits4096);
    std::fs::write(&key, rsa_material(RsaSize::Bits2048).expose()).unwrap();
    std::fs::write(&aes, kek(7).expose()).unwrap();
    std::fs::write(&public, wrapping.public_key().pem()).unwrap();
    let hex = hex::encode(kek(7).expose());
    succeed(&[
        "enc",
        "-id-aes256-wrap-pad",
        "-K",
        &hex,
        "-iv",
        "A65959A6",
        "-in",
        text(&key),
        "-out",
        text(&one),
    ]);
    succeed(&[
        "pkeyutl",
        "-encrypt",
        "-pubin",
        "-inkey",
        text(&public),
        "-in",
        text(&aes),
        "-out",
        text(&other),
        "-pkeyopt",
        "rsa_padding_mode:oaep",
        "-pkeyopt",
        "rsa_oaep_md:sha256",
        "-pkeyopt",
        "rsa_mgf1_md:sha256",
    ]);
    let wrapped = [std::fs::read(other).unwrap(), std::fs::read(one).unwrap()].concat();
    let unwrapped = rsa_aes::unwrap(&wrapping, &wrapped).ok().unwrap();
    assert_eq!(unwrapped.expose(), rsa_material(RsaSize::Bits2048).expose());
}

/// Python answers with RFC 5649's own vectors (whose key has 192 bits, which is not offered here),
/// and agrees about keys of 256 bits.
#[test]
fn python_wraps_and_unwraps_the_same() {
    let wrapping = decrypting(RsaSize::Bits3072);
    let public = EncryptingKey::new(wrapping.public_key()).ok().unwrap();
    for len in [1, 32, 1217] {
        let material = material(len);
        let question = json!({
            "about": "key-wrap",
            "kek": hex::encode(kek(7).expose()),
            "material": hex::encode(material.expose()),
            "wrapping": hex::encode(rsa_material(RsaSize::Bits3072).expose()),
            "wrapped": hex::encode(rsa_aes::wrap(&public, &kek(9), &material).unwrap()),
        });
        let answer = ask(&question).expect("every release of 'cryptography' has these");
        assert_eq!(
            answer["rfc_5649"],
            json!([
                "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
                "afbeb0f07dfbf5419200f2ccb50bb24f",
            ])
        );
        assert_eq!(
            answer["kwp"],
            hex::encode(kwp::wrap(&kek(7), &material).unwrap())
        );
        assert_eq!(answer["unwrapped"], hex::encode(material.expose()));
        let wrapped = hex::decode(answer["wrapped"].as_str().unwrap()).unwrap();
        let unwrapped = rsa_aes::unwrap(&wrapping, &wrapped).ok().unwrap();
        assert_eq!(unwrapped.expose(), material.expose());
    }
}

proptest! {
    #[test]
    fn any_material_comes_back(key: [u8; 32], bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
        let kek = KeyMaterial::from_fn(|out| *out = key);
        let material = PrivateMaterial::from_slice(&bytes).ok().unwrap();
        let wrapped = kwp::wrap(&kek, &material).unwrap();
        let back = kwp::unwrap(&kek, &wrapped).ok().unwrap();
        prop_assert_eq!(back.expose(), &bytes);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(kwp::unwrap(&kek(7), &bytes).is_err());
    }
}
