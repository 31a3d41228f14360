//! What is encrypted or encapsulated comes back, and nothing else does.

use crate::keys::{RSA_SIZES, rsa_material};
use conclave_crypto::oaep::{self, DecryptingKey, EncryptingKey};
use conclave_crypto::{CryptoError, OaepHash, PrivateMaterial, PublicKey, RsaSize, kem};
use proptest::prelude::*;

pub(crate) fn decrypting(size: RsaSize) -> DecryptingKey {
    DecryptingKey::new(size, &rsa_material(size)).ok().unwrap()
}

pub(crate) fn decapsulation(seed: &[u8]) -> kem::DecapsulationKey {
    kem::DecapsulationKey::new(&kem::generate(seed).ok().unwrap())
        .ok()
        .unwrap()
}

#[test]
fn every_length_of_plaintext_comes_back() {
    let hashes = [OaepHash::Sha256, OaepHash::Sha1];
    for (size, hash) in RSA_SIZES
        .into_iter()
        .flat_map(|size| hashes.map(|hash| (size, hash)))
    {
        let key = decrypting(size).with_hash(hash);
        let encrypting = EncryptingKey::new(key.public_key()).ok().unwrap();
        let encrypting = encrypting.with_hash(hash);
        let max = oaep::plaintext_bytes_max(size, hash);
        for len in [0, 1, 32, max - 1, max] {
            let plaintext = vec![7; len];
            let ciphertext = encrypting.encrypt(&plaintext).unwrap();
            assert_ne!(ciphertext, encrypting.encrypt(&plaintext).unwrap());
            assert_eq!(key.decrypt(&ciphertext).ok().unwrap().expose(), plaintext);
        }
        let what = "plaintext under RSA-OAEP";
        let refused = CryptoError::TooLarge {
            what,
            max,
            actual: max + 1,
        };
        assert_eq!(encrypting.encrypt(&vec![7; max + 1]), Err(refused));
    }
}

#[test]
fn changed_ciphertexts_do_not_open() {
    let key = decrypting(RsaSize::Bits2048);
    let encrypting = EncryptingKey::new(key.public_key()).ok().unwrap();
    let ciphertext = encrypting.encrypt(b"attack at dawn").unwrap();
    for at in 0..ciphertext.len() {
        let mut changed = ciphertext.clone();
        changed[at] ^= 1 << (at % 8);
        let refused = key.decrypt(&changed).err();
        assert_eq!(refused, Some(CryptoError::DoesNotOpen), "byte {at}");
    }
    for actual in [0, 1, 255, 257, 384] {
        let (kind, expected) = ("RSA-2048", 256);
        let refused = CryptoError::CiphertextLength {
            kind,
            expected,
            actual,
        };
        assert_eq!(key.decrypt(&vec![1; actual]).err(), Some(refused));
    }
    let other = oaep::generate(RsaSize::Bits2048).ok().unwrap();
    let other = DecryptingKey::new(RsaSize::Bits2048, &other).ok().unwrap();
    assert_eq!(
        other.decrypt(&ciphertext).err(),
        Some(CryptoError::DoesNotOpen)
    );
}

#[test]
fn each_hash_opens_its_own() {
    let key = decrypting(RsaSize::Bits2048);
    let encrypting = EncryptingKey::new(key.public_key()).ok().unwrap();
    let by_sha256 = encrypting.encrypt(b"attack").unwrap();
    let by_sha1 = encrypting.with_hash(OaepHash::Sha1);
    let by_sha1 = by_sha1.encrypt(b"attack").unwrap();
    assert_eq!(key.decrypt(&by_sha1).err(), Some(CryptoError::DoesNotOpen));
    let key = key.with_hash(OaepHash::Sha1);
    let refused = key.decrypt(&by_sha256).err();
    assert_eq!(refused, Some(CryptoError::DoesNotOpen));
    assert_eq!(key.decrypt(&by_sha1).ok().unwrap().expose(), b"attack");
}

#[test]
fn labels_are_bound_to_ciphertexts() {
    let key = decrypting(RsaSize::Bits2048);
    let encrypting = EncryptingKey::new(key.public_key()).ok().unwrap();
    for (label, other) in [
        (&b""[..], &b"a"[..]),
        (b"order 17", b""),
        (b"order 17", b"order 18"),
    ] {
        let ciphertext = encrypting.encrypt_labelled(b"attack", label).unwrap();
        let opened = key.decrypt_labelled(&ciphertext, label).ok().unwrap();
        assert_eq!(opened.expose(), b"attack");
        let refused = key.decrypt_labelled(&ciphertext, other).err();
        assert_eq!(
            refused,
            Some(CryptoError::DoesNotOpen),
            "{label:?} for {other:?}"
        );
    }
}

#[test]
fn encapsulated_secrets_come_back() {
    let key = decapsulation(&[7; 64]);
    let public = PublicKey::from_spki(&key.public_key().spki()).unwrap();
    let encapsulation = kem::EncapsulationKey::new(&public).ok().unwrap();
    let (ciphertext, secret) = encapsulation.encapsulate().ok().unwrap();
    assert_eq!(ciphertext.len(), kem::CIPHERTEXT_BYTES);
    assert_eq!(
        key.decapsulate(&ciphertext).ok().unwrap().expose(),
        secret.expose()
    );
    let (again, another) = encapsulation.encapsulate().ok().unwrap();
    assert_ne!(again, ciphertext);
    assert_ne!(another.expose(), secret.expose());
    let other = decapsulation(&[8; 64]);
    assert_ne!(
        other.decapsulate(&ciphertext).ok().unwrap().expose(),
        secret.expose()
    );
    for at in 0..ciphertext.len() {
        let mut changed = ciphertext.clone();
        changed[at] ^= 1 << (at % 8);
        let got = key.decapsulate(&changed).ok().unwrap();
        assert_ne!(got.expose(), secret.expose(), "byte {at}");
    }
}

#[test]
fn other_lengths_and_kinds_are_refused() {
    let key = decapsulation(&[7; 64]);
    for actual in [0, 1087, 1089] {
        let (kind, expected) = ("ML-KEM-768", kem::CIPHERTEXT_BYTES);
        let refused = CryptoError::CiphertextLength {
            kind,
            expected,
            actual,
        };
        assert_eq!(key.decapsulate(&vec![1; actual]).err(), Some(refused));
    }
    for len in [1, 32, 63, 65, 2400] {
        let refused = kem::generate(&vec![7; len]).err();
        assert!(matches!(refused, Some(CryptoError::SeedLength { .. })));
        let stored = PrivateMaterial::from_slice(&vec![7; len]).ok().unwrap();
        let refused = kem::DecapsulationKey::new(&stored).err();
        assert!(matches!(refused, Some(CryptoError::PrivateKey { .. })));
    }
    let rsa = decrypting(RsaSize::Bits2048);
    let refused = kem::EncapsulationKey::new(rsa.public_key()).err();
    assert!(matches!(refused, Some(CryptoError::OtherKind { .. })));
    let refused = EncryptingKey::new(key.public_key()).err();
    assert!(matches!(refused, Some(CryptoError::OtherKind { .. })));
    let refused = DecryptingKey::new(RsaSize::Bits3072, &rsa_material(RsaSize::Bits2048)).err();
    assert!(matches!(refused, Some(CryptoError::PrivateKey { .. })));
    let kind = "ML-KEM-768";
    assert_eq!(key.public_key().jwk(), Err(CryptoError::NoJwk { kind }));
}

proptest! {
    #[test]
    fn any_seed_makes_the_same_key_twice(seed in proptest::collection::vec(any::<u8>(), 64)) {
        let (one, other) = (decapsulation(&seed), decapsulation(&seed));
        prop_assert_eq!(one.public_key(), other.public_key());
        let encapsulation = kem::EncapsulationKey::new(one.public_key()).ok().unwrap();
        let (ciphertext, secret) = encapsulation.encapsulate().ok().unwrap();
        let back = other.decapsulate(&ciphertext).ok().unwrap();
        prop_assert_eq!(back.expose(), secret.expose());
    }
}
