//! What is signed verifies, and nothing else does.

use crate::keys::{HASHES, material, schemes, signing_key};
use conclave_crypto::limits::SIGNED_MESSAGE_BYTES_MAX;
use conclave_crypto::sign::{
    EcdsaForm, Hash, Input, KeyKind, Scheme, SigningKey, VerifyingKey, der_to_raw, generate,
    generate_rsa, raw_to_der,
};
use conclave_crypto::{CryptoError, PrivateMaterial, PublicKey};
use proptest::prelude::*;
use ring::digest;

const MESSAGE: &[u8] = b"attack at dawn";

fn verifying(key: &SigningKey) -> VerifyingKey {
    VerifyingKey::new(key.kind(), key.public_key())
        .ok()
        .unwrap()
}

fn digest_of(hash: Hash, message: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, message).as_ref().to_vec()
}

fn hash_of(kind: KeyKind, scheme: Scheme) -> Option<Hash> {
    match scheme {
        Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash) => Some(hash),
        Scheme::Ecdsa(_) if kind == KeyKind::EcdsaP256 => Some(Hash::Sha256),
        Scheme::Ecdsa(_) => Some(Hash::Sha384),
        Scheme::Ed25519 | Scheme::MlDsa65 => None,
    }
}

#[test]
fn every_kind_signs_and_verifies_by_each_of_its_schemes() {
    for kind in KeyKind::ALL {
        let key = signing_key(kind);
        let public = PublicKey::from_spki(&key.public_key().spki()).unwrap();
        let verifying = VerifyingKey::new(kind, &public).ok().unwrap();
        for scheme in schemes(kind) {
            for message in [&[][..], MESSAGE, &vec![7; SIGNED_MESSAGE_BYTES_MAX]] {
                let input = Input::Message(message);
                let signature = key.sign(scheme, input).unwrap();
                assert_eq!(verifying.verify(scheme, input, &signature), Ok(()));
                let other = verifying.verify(scheme, Input::Message(b"other"), &signature);
                assert_eq!(other, Err(CryptoError::WrongSignature), "{scheme:?}");
            }
        }
    }
}

#[test]
fn messages_and_their_digests_are_signed_alike() {
    for kind in KeyKind::ALL {
        let key = signing_key(kind);
        let verifying = verifying(&key);
        for scheme in schemes(kind) {
            let message = Input::Message(MESSAGE);
            let Some(hash) = hash_of(kind, scheme) else {
                let digest = Input::Digest(&[7; 32]);
                let refused = CryptoError::NoDigest { kind: kind.name() };
                assert_eq!(key.sign(scheme, digest), Err(refused.clone()));
                assert_eq!(verifying.verify(scheme, digest, &[]), Err(refused));
                continue;
            };
            let bytes = digest_of(hash, MESSAGE);
            let digest = Input::Digest(&bytes);
            let of_digest = key.sign(scheme, digest).unwrap();
            assert_eq!(verifying.verify(scheme, message, &of_digest), Ok(()));
            let of_message = key.sign(scheme, message).unwrap();
            assert_eq!(verifying.verify(scheme, digest, &of_message), Ok(()));
            for len in (0..=65).filter(|len| *len != bytes.len()) {
                let (hash, expected, actual) = (hash.name(), bytes.len(), len);
                let refused = CryptoError::DigestLength {
                    hash,
                    expected,
                    actual,
                };
                let wrong = vec![7; len];
                assert_eq!(
                    key.sign(scheme, Input::Digest(&wrong)),
                    Err(refused.clone())
                );
                let verified = verifying.verify(scheme, Input::Digest(&wrong), &of_digest);
                assert_eq!(verified, Err(refused));
            }
        }
    }
}

#[test]
fn schemes_of_other_kinds_and_large_messages_are_refused() {
    for kind in KeyKind::ALL {
        let key = signing_key(kind);
        let verifying = verifying(&key);
        let own = schemes(kind);
        for scheme in KeyKind::ALL.into_iter().flat_map(schemes) {
            let input = Input::Message(MESSAGE);
            if own.contains(&scheme) {
                let large = vec![7; SIGNED_MESSAGE_BYTES_MAX + 1];
                let refused = key.sign(scheme, Input::Message(&large));
                assert!(matches!(refused, Err(CryptoError::TooLarge { .. })));
                let refused = verifying.verify(scheme, Input::Message(&large), &[]);
                assert!(matches!(refused, Err(CryptoError::TooLarge { .. })));
                continue;
            }
            let (kind, scheme_name) = (kind.name(), scheme.name());
            let refused = CryptoError::OtherScheme {
                kind,
                scheme: scheme_name,
            };
            assert_eq!(key.sign(scheme, input), Err(refused.clone()));
            assert_eq!(verifying.verify(scheme, input, &[]), Err(refused));
        }
        for other in KeyKind::ALL.into_iter().filter(|other| *other != kind) {
            let refused = VerifyingKey::new(other, key.public_key()).err();
            assert!(matches!(refused, Some(CryptoError::OtherKind { .. })));
        }
    }
}

#[test]
fn every_changed_bit_of_a_signature_refuses() {
    for kind in [
        KeyKind::Ed25519,
        KeyKind::EcdsaP256,
        KeyKind::EcdsaP384,
        KeyKind::Rsa2048,
    ] {
        let key = signing_key(kind);
        for scheme in schemes(kind) {
            check_changed(&key, scheme, 0..8);
        }
    }
}

/// One bit in eight, because a signature has 26,472.
#[test]
fn changed_bits_of_an_ml_dsa_signature_refuse() {
    check_changed(&signing_key(KeyKind::MlDsa65), Scheme::MlDsa65, 3..4);
}

fn check_changed(key: &SigningKey, scheme: Scheme, bits: std::ops::Range<u32>) {
    let verifying = verifying(key);
    let input = Input::Message(MESSAGE);
    let signature = key.sign(scheme, input).unwrap();
    let wrong = Err(CryptoError::WrongSignature);
    for at in 0..signature.len() {
        for bit in bits.clone() {
            let mut changed = signature.clone();
            changed[at] ^= 1 << bit;
            assert_eq!(
                verifying.verify(scheme, input, &changed),
                wrong,
                "{scheme:?}, byte {at}"
            );
        }
    }
    for cut in (0..signature.len()).step_by(7).chain([signature.len() - 1]) {
        assert_eq!(verifying.verify(scheme, input, &signature[..cut]), wrong);
    }
    let longer = [signature.as_slice(), &[0]].concat();
    assert_eq!(verifying.verify(scheme, input, &longer), wrong);
}

#[test]
fn every_changed_bit_of_the_message_refuses() {
    for kind in KeyKind::ALL {
        let key = signing_key(kind);
        let verifying = verifying(&key);
        for scheme in schemes(kind) {
            let signature = key.sign(scheme, Input::Message(MESSAGE)).unwrap();
            for at in 0..MESSAGE.len() * 8 {
                let mut changed = MESSAGE.to_vec();
                changed[at / 8] ^= 1 << (at % 8);
                let verified = verifying.verify(scheme, Input::Message(&changed), &signature);
                assert_eq!(verified, Err(CryptoError::WrongSignature));
            }
        }
    }
}

#[test]
fn every_changed_byte_of_the_public_key_refuses() {
    for kind in [
        KeyKind::Ed25519,
        KeyKind::EcdsaP256,
        KeyKind::Rsa2048,
        KeyKind::MlDsa65,
    ] {
        let key = signing_key(kind);
        let scheme = schemes(kind)[0];
        let input = Input::Message(MESSAGE);
        let signature = key.sign(scheme, input).unwrap();
        for at in 0..key.public_key().raw().len() {
            let mut raw = key.public_key().raw().to_vec();
            raw[at] ^= 1 << (at % 8);
            let Ok(public) = PublicKey::from_raw(kind.public_kind(), &raw) else {
                continue;
            };
            // An RSA modulus can be refused by the library's own parser as well.
            let Ok(other) = VerifyingKey::new(kind, &public) else {
                continue;
            };
            let verified = other.verify(scheme, input, &signature);
            assert_eq!(
                verified,
                Err(CryptoError::WrongSignature),
                "{kind:?}, byte {at}"
            );
        }
    }
}

#[test]
fn scalars_out_of_range_are_to_be_drawn_again() {
    let p256 = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let p384 = "ffffffffffffffffffffffffffffffffffffffffffffffff\
                c7634d81f4372ddf581a0db248b0a77aecec196accc52973";
    for (kind, order) in [(KeyKind::EcdsaP256, p256), (KeyKind::EcdsaP384, p384)] {
        let order = hex::decode(order).unwrap();
        for bad in [vec![0; order.len()], vec![0xff; order.len()], order.clone()] {
            assert_eq!(generate(kind, &bad).err(), Some(CryptoError::DrawAgain));
        }
        let mut largest = order.clone();
        *largest.last_mut().unwrap() -= 1;
        assert!(generate(kind, &largest).is_ok());
        let mut one = vec![0; order.len()];
        *one.last_mut().unwrap() = 1;
        assert!(generate(kind, &one).is_ok());
    }
}

#[test]
fn seeds_of_other_lengths_and_ways_of_generation_are_refused() {
    for kind in KeyKind::ALL {
        let refused = CryptoError::Generation { kind: kind.name() };
        let Some(expected) = kind.seed_bytes() else {
            assert_eq!(generate(kind, &[7; 32]).err(), Some(refused));
            continue;
        };
        assert_eq!(generate_rsa(kind).err(), Some(refused));
        for actual in [0, expected - 1, expected + 1] {
            let kind_name = kind.name();
            let refused = CryptoError::SeedLength {
                kind: kind_name,
                expected,
                actual,
            };
            assert_eq!(generate(kind, &vec![7; actual]).err(), Some(refused));
        }
    }
}

#[test]
fn rsa_keys_are_generated_in_the_stored_encoding() {
    let material = generate_rsa(KeyKind::Rsa2048).ok().unwrap();
    let key = SigningKey::new(KeyKind::Rsa2048, &material).ok().unwrap();
    let other = signing_key(KeyKind::Rsa2048);
    assert_ne!(key.public_key(), other.public_key());
    check_changed(&key, Scheme::RsaPss(Hash::Sha256), 0..1);
}

#[test]
fn damaged_private_keys_and_those_of_other_kinds_are_refused() {
    let rsa = [KeyKind::Rsa2048, KeyKind::Rsa3072, KeyKind::Rsa4096];
    for kind in rsa {
        for stored in KeyKind::ALL.into_iter().filter(|stored| *stored != kind) {
            let refused = SigningKey::new(kind, &material(stored)).err();
            assert_eq!(refused, Some(CryptoError::PrivateKey { kind: kind.name() }));
        }
    }
    for kind in [
        KeyKind::Ed25519,
        KeyKind::EcdsaP256,
        KeyKind::EcdsaP384,
        KeyKind::MlDsa65,
    ] {
        let seed = kind.seed_bytes().unwrap();
        for len in [1, seed - 1, seed + 1, 1217] {
            let stored = PrivateMaterial::from_slice(&vec![7; len]).ok().unwrap();
            let refused = SigningKey::new(kind, &stored).err();
            assert_eq!(refused, Some(CryptoError::PrivateKey { kind: kind.name() }));
        }
    }
    let good = material(KeyKind::Rsa2048);
    for at in (0..good.expose().len()).step_by(11) {
        let mut changed = good.expose().to_vec();
        changed[at] ^= 1;
        let changed = PrivateMaterial::from_slice(&changed).ok().unwrap();
        assert!(
            SigningKey::new(KeyKind::Rsa2048, &changed).is_err(),
            "byte {at}"
        );
        let cut = PrivateMaterial::from_slice(&good.expose()[..=at])
            .ok()
            .unwrap();
        assert!(
            SigningKey::new(KeyKind::Rsa2048, &cut).is_err(),
            "cut behind {at}"
        );
    }
    let longer = [good.expose(), &[0]].concat();
    let longer = PrivateMaterial::from_slice(&longer).ok().unwrap();
    assert!(SigningKey::new(KeyKind::Rsa2048, &longer).is_err());
}

#[test]
fn forms_of_ecdsa_signatures_are_strict() {
    let kind = KeyKind::EcdsaP256;
    let refused = |der: &str| {
        let der = hex::decode(der).unwrap();
        assert!(matches!(
            der_to_raw(kind, &der),
            Err(CryptoError::SignatureForm { .. })
        ));
    };
    assert!(der_to_raw(kind, &hex::decode("3006020101020101").unwrap()).is_ok());
    refused("");
    refused("30");
    refused("3000");
    refused("3003020101");
    // Zero, negative, more bytes than needed, too many bytes.
    refused("3006020100020101");
    refused("3006020181020101");
    refused("300702020001020101");
    refused(&format!("302602210{}020101", "1".repeat(65)));
    // Something after it, after its numbers, and lengths that lie or are long.
    refused("300602010102010100");
    refused("3009020101020101020101");
    refused("3007020101020101");
    refused("308106020101020101");
    refused("30800201010201010000");
    refused("3106020101020101");
    refused("3006030101020101");
    for raw in [
        vec![0; 64],
        vec![1; 63],
        vec![1; 65],
        [vec![1; 32], vec![0; 32]].concat(),
    ] {
        let refused = raw_to_der(kind, &raw);
        assert!(matches!(refused, Err(CryptoError::SignatureForm { .. })));
    }
    let refused = der_to_raw(KeyKind::Ed25519, &[]);
    assert!(matches!(refused, Err(CryptoError::OtherScheme { .. })));
}

#[test]
fn a_key_signs_in_many_threads() {
    let key = signing_key(KeyKind::Rsa2048);
    let verifying = verifying(&key);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (key, verifying) = (&key, &verifying);
            scope.spawn(move || {
                for hash in HASHES {
                    let message = [thread; 9];
                    let input = Input::Message(&message);
                    let signature = key.sign(Scheme::RsaPss(hash), input).unwrap();
                    assert_eq!(
                        verifying.verify(Scheme::RsaPss(hash), input, &signature),
                        Ok(())
                    );
                }
            });
        }
    });
}

proptest! {
    #[test]
    fn any_message_under_any_seed(
        seed: [u8; 32], message in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        for kind in [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::MlDsa65] {
            let Ok(material) = generate(kind, &seed) else { continue };
            let again = generate(kind, &seed).ok().unwrap();
            prop_assert_eq!(material.expose(), again.expose());
            let key = SigningKey::new(kind, &material).ok().unwrap();
            let input = Input::Message(&message);
            for scheme in schemes(kind) {
                let signature = key.sign(scheme, input).unwrap();
                prop_assert_eq!(verifying(&key).verify(scheme, input, &signature), Ok(()));
            }
        }
    }

    #[test]
    fn forms_convert_both_ways(r: [u8; 32], s: [u8; 32], lead in 0..32usize) {
        let mut raw = [r, s].concat();
        raw[..lead].fill(0);
        raw[31] |= 1;
        raw[63] |= 1;
        let der = raw_to_der(KeyKind::EcdsaP256, &raw).unwrap();
        prop_assert_eq!(der_to_raw(KeyKind::EcdsaP256, &der), Ok(raw));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = PublicKey::from_spki(&bytes);
        for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP384] {
            if let Ok(raw) = der_to_raw(kind, &bytes) {
                prop_assert_eq!(raw_to_der(kind, &raw), Ok(bytes.clone()));
            }
            let _ = raw_to_der(kind, &bytes);
        }
        for kind in [KeyKind::Ed25519, KeyKind::Rsa2048, KeyKind::MlDsa65] {
            let key = verifying(&signing_key(kind));
            for scheme in schemes(kind) {
                let verified = key.verify(scheme, Input::Message(MESSAGE), &bytes);
                prop_assert_eq!(verified, Err(CryptoError::WrongSignature));
            }
        }
        let der = Scheme::Ecdsa(EcdsaForm::Der);
        let key = verifying(&signing_key(KeyKind::EcdsaP256));
        prop_assert!(key.verify(der, Input::Message(MESSAGE), &bytes).is_err());
    }
}
