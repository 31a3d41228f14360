//! Project Wycheproof's tests of signature verification: forgeries and odd encodings.

use conclave_crypto::sign::{
    EcdsaForm, Hash, Input, KeyKind, Scheme, SigningKey, VerifyingKey, generate,
};
use conclave_crypto::{CryptoError, PublicKey};
use wycheproof::{
    TestResult, ecdsa, eddsa, mldsa_sign, mldsa_verify, rsa_pkcs1_verify, rsa_pss_verify,
};

/// What a set must have had, so that none passes by being skipped.
#[derive(Default)]
struct Count {
    verified: usize,
    refused: usize,
}

impl Count {
    /// "Acceptable" is what some implementations take: here it may be refused.
    fn add(&mut self, name: &str, expected: TestResult, verified: &Result<(), CryptoError>) {
        match (expected, verified) {
            (TestResult::Valid | TestResult::Acceptable, Ok(())) => self.verified += 1,
            (TestResult::Invalid | TestResult::Acceptable, Err(CryptoError::WrongSignature)) => {
                self.refused += 1;
            }
            _ => panic!("{name}: {expected:?}, but {verified:?}"),
        }
    }

    fn check(&self) {
        assert!(
            self.verified >= 7 && self.refused >= 20,
            "{} {}",
            self.verified,
            self.refused
        );
    }
}

fn key(kind: KeyKind, spki: &[u8]) -> Result<VerifyingKey, CryptoError> {
    VerifyingKey::new(kind, &PublicKey::from_spki(spki)?)
}

#[test]
fn ed25519() {
    let mut count = Count::default();
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        let key = key(KeyKind::Ed25519, &group.der).ok().unwrap();
        for test in group.tests {
            let verified = key.verify(Scheme::Ed25519, Input::Message(&test.msg), &test.sig);
            count.add(&format!("Ed25519 {}", test.tc_id), test.result, &verified);
        }
    }
    count.check();
}

#[test]
fn ecdsa() {
    use ecdsa::TestName;
    for (name, kind, form) in [
        (
            TestName::EcdsaSecp256r1Sha256,
            KeyKind::EcdsaP256,
            EcdsaForm::Der,
        ),
        (
            TestName::EcdsaSecp256r1Sha256P1363,
            KeyKind::EcdsaP256,
            EcdsaForm::Raw,
        ),
        (
            TestName::EcdsaSecp384r1Sha384,
            KeyKind::EcdsaP384,
            EcdsaForm::Der,
        ),
        (
            TestName::EcdsaSecp384r1Sha384P1363,
            KeyKind::EcdsaP384,
            EcdsaForm::Raw,
        ),
    ] {
        let mut count = Count::default();
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = key(kind, &group.der).ok().unwrap();
            for test in group.tests {
                let input = Input::Message(&test.msg);
                let verified = key.verify(Scheme::Ecdsa(form), input, &test.sig);
                count.add(&format!("{name:?} {}", test.tc_id), test.result, &verified);
            }
        }
        count.check();
    }
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName;
    for (name, kind, hash) in [
        (TestName::Rsa2048Sha256, KeyKind::Rsa2048, Hash::Sha256),
        (TestName::Rsa2048Sha384, KeyKind::Rsa2048, Hash::Sha384),
        (TestName::Rsa2048Sha512, KeyKind::Rsa2048, Hash::Sha512),
        (TestName::Rsa3072Sha256, KeyKind::Rsa3072, Hash::Sha256),
        (TestName::Rsa3072Sha512, KeyKind::Rsa3072, Hash::Sha512),
        (TestName::Rsa4096Sha256, KeyKind::Rsa4096, Hash::Sha256),
        (TestName::Rsa4096Sha512, KeyKind::Rsa4096, Hash::Sha512),
    ] {
        let mut count = Count::default();
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let key = match key(kind, &group.der) {
                Err(CryptoError::RsaParameters) => continue,
                key => key.ok().unwrap(),
            };
            for test in group.tests {
                let input = Input::Message(&test.msg);
                let verified = key.verify(Scheme::RsaPkcs1(hash), input, &test.sig);
                count.add(&format!("{name:?} {}", test.tc_id), test.result, &verified);
            }
        }
        count.check();
    }
}

#[test]
fn rsa_pss() {
    use rsa_pss_verify::TestName;
    for (name, kind, hash) in [
        (
            TestName::RsaPss2048Sha256Mgf1SaltLen32,
            KeyKind::Rsa2048,
            Hash::Sha256,
        ),
        (
            TestName::RsaPss2048Sha384Mgf1SaltLen48,
            KeyKind::Rsa2048,
            Hash::Sha384,
        ),
        (
            TestName::RsaPss3072Sha256Mgf1SaltLen32,
            KeyKind::Rsa3072,
            Hash::Sha256,
        ),
        (
            TestName::RsaPss4096Sha256Mgf1SaltLen32,
            KeyKind::Rsa4096,
            Hash::Sha256,
        ),
        (
            TestName::RsaPss4096Sha384Mgf1SaltLen48,
            KeyKind::Rsa4096,
            Hash::Sha384,
        ),
        (
            TestName::RsaPss4096Sha512Mgf1SaltLen64,
            KeyKind::Rsa4096,
            Hash::Sha512,
        ),
    ] {
        let mut count = Count::default();
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = key(kind, &group.der).ok().unwrap();
            for test in group.tests {
                let input = Input::Message(&test.msg);
                let verified = key.verify(Scheme::RsaPss(hash), input, &test.sig);
                count.add(&format!("{name:?} {}", test.tc_id), test.result, &verified);
            }
        }
        count.check();
    }
}

#[test]
fn salts_of_another_length_than_the_hash_are_refused() {
    let name = rsa_pss_verify::TestName::RsaPss4096Sha512Mgf1SaltLen32;
    for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
        let key = key(KeyKind::Rsa4096, &group.der).ok().unwrap();
        for test in group.tests {
            let scheme = Scheme::RsaPss(Hash::Sha512);
            let verified = key.verify(scheme, Input::Message(&test.msg), &test.sig);
            assert_eq!(verified, Err(CryptoError::WrongSignature));
        }
    }
}

#[test]
fn ml_dsa_65() {
    let mut count = Count::default();
    let set = mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa65Verify).unwrap();
    for group in set.test_groups {
        // Some have public keys of other lengths.
        let Ok(key) = key(KeyKind::MlDsa65, &group.der) else {
            assert!(
                group
                    .tests
                    .iter()
                    .all(|test| test.result == TestResult::Invalid)
            );
            continue;
        };
        for test in group.tests {
            // Only the empty context is offered.
            if test.ctx.is_some_and(|context| !context.is_empty()) {
                continue;
            }
            let verified = key.verify(Scheme::MlDsa65, Input::Message(&test.msg), &test.sig);
            count.add(&format!("ML-DSA-65 {}", test.tc_id), test.result, &verified);
        }
    }
    count.check();
}

/// The public key of each seed, and that the signature published verifies under it.
#[test]
fn ml_dsa_65_of_seeds() {
    let mut keys = 0;
    let mut signatures = 0;
    let set = mldsa_sign::TestSet::load(mldsa_sign::TestName::MlDsa65SignSeed).unwrap();
    for group in set.test_groups {
        let (Some(seed), Some(public)) = (group.privseed, group.pubkey) else {
            continue;
        };
        let Ok(material) = generate(KeyKind::MlDsa65, &seed) else {
            assert!(
                group
                    .tests
                    .iter()
                    .all(|test| test.result == TestResult::Invalid)
            );
            continue;
        };
        let key = SigningKey::new(KeyKind::MlDsa65, &material).ok().unwrap();
        assert_eq!(key.public_key().raw(), public.as_slice());
        keys += 1;
        let verifying = VerifyingKey::new(KeyKind::MlDsa65, key.public_key())
            .ok()
            .unwrap();
        for test in group.tests {
            let (Some(message), None | Some(_)) = (test.msg, &test.ctx) else {
                continue;
            };
            let plain = test.ctx.is_none_or(|context| context.is_empty());
            if plain && test.result == TestResult::Valid {
                let verified =
                    verifying.verify(Scheme::MlDsa65, Input::Message(&message), &test.sig);
                assert_eq!(verified, Ok(()), "{}", test.tc_id);
                signatures += 1;
            }
        }
    }
    assert!(keys >= 10 && signatures >= 10, "{keys} {signatures}");
}
