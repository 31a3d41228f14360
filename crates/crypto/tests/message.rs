//! The message format from outside: what was sealed opens, and nothing else does.
#![allow(clippy::unwrap_used, reason = "a test that is wrong may panic")]

use conclave_core::{EncryptionContext, KeyId, VersionNumber};
use conclave_crypto::message::{open, prk_from_hsm, prk_hsm_message, prk_software, seal};
use conclave_crypto::{CryptoError, Header, KeyMaterial, MessagePrk, OVERHEAD_BYTES, Suite};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SUITE: Suite = Suite::Aes256GcmHkdf;

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    let pairs = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    EncryptionContext::new(pairs).unwrap()
}

fn prk(byte: u8) -> MessagePrk {
    prk_software(&KeyMaterial::from_fn(|out| out.fill(byte)), &[byte; 32])
}

fn sealed() -> Vec<u8> {
    let (id, version) = (KeyId([2; 16]), VersionNumber(3));
    seal(
        &prk(1),
        SUITE,
        id,
        version,
        &[1; 32],
        &context(&[("a", "b")]),
        b"aad",
        b"text",
    )
    .unwrap()
}

fn opens(prk: &MessagePrk, blob: &[u8], pairs: &[(&str, &str)], aad: &[u8]) -> bool {
    open(prk, blob, &context(pairs), aad).is_ok_and(|plaintext| plaintext.expose() == b"text")
}

#[test]
fn every_changed_bit_is_found() {
    let blob = sealed();
    assert!(opens(&prk(1), &blob, &[("a", "b")], b"aad"));
    for at in 0..blob.len() * 8 {
        let mut changed = blob.clone();
        changed[at / 8] ^= 1 << (at % 8);
        let refused = open(&prk(1), &changed, &context(&[("a", "b")]), b"aad");
        assert!(refused.is_err(), "bit {at}");
    }
}

#[test]
fn every_cut_and_every_extension_is_found() {
    let blob = sealed();
    for len in 0..blob.len() {
        let refused = open(&prk(1), &blob[..len], &context(&[("a", "b")]), b"aad")
            .err()
            .unwrap();
        if len < OVERHEAD_BYTES {
            let truncated = CryptoError::Truncated {
                have: len,
                need: OVERHEAD_BYTES,
            };
            assert_eq!(refused, truncated);
            assert_eq!(Header::parse(&blob[..len]).err(), Some(truncated));
        } else {
            assert_eq!(refused, CryptoError::DoesNotOpen);
        }
    }
    assert!(!opens(
        &prk(1),
        &[blob.as_slice(), &[0]].concat(),
        &[("a", "b")],
        b"aad"
    ));
}

#[test]
fn another_key_context_or_aad_does_not_open() {
    let blob = sealed();
    assert!(!opens(&prk(2), &blob, &[("a", "b")], b"aad"));
    for pairs in [
        &[][..],
        &[("a", "c")],
        &[("ab", "")],
        &[("b", "a")],
        &[("a", "b"), ("c", "")],
    ] {
        assert!(!opens(&prk(1), &blob, pairs, b"aad"), "{pairs:?}");
    }
    for aad in [&b""[..], b"aae", b"aad\0", b"aa"] {
        assert!(!opens(&prk(1), &blob, &[("a", "b")], aad), "{aad:?}");
    }
}

#[test]
fn a_foreign_blob_is_named_as_such() {
    assert_eq!(
        Header::parse(b"{\"json\": 1}"),
        Err(CryptoError::UnknownFormat(b'{'))
    );
    let mut blob = sealed();
    blob[1] = 4;
    assert_eq!(Header::parse(&blob), Err(CryptoError::UnknownSuite(4)));
    blob[1] = 0;
    assert_eq!(Header::parse(&blob), Err(CryptoError::UnknownSuite(0)));
    let mut blob = sealed();
    blob[18..22].fill(0);
    assert_eq!(Header::parse(&blob), Err(CryptoError::NoVersion));
}

#[test]
fn a_plaintext_twice_makes_two_blobs_that_share_nothing_but_key_and_version() {
    let seal = |salt| {
        let prk = prk_software(&KeyMaterial::from_fn(|out| out.fill(9)), &salt);
        let (id, version) = (KeyId([2; 16]), VersionNumber(3));
        seal(
            &prk,
            SUITE,
            id,
            version,
            &salt,
            &context(&[]),
            b"",
            b"the same plaintext",
        )
        .unwrap()
    };
    let (one, other) = (seal([1; 32]), seal([2; 32]));
    assert_eq!(one[..22], other[..22]);
    assert_ne!(one[54..86], other[54..86], "commitments");
    assert_ne!(one[86..], other[86..], "ciphertexts");
}

#[test]
fn the_hsm_message_is_the_label_and_the_salt() {
    assert_eq!(
        prk_hsm_message(&[0x41; 32]),
        [b"conclave/1/hsm-prk".as_slice(), &[0x41; 32]].concat()
    );
}

prop_compose! {
    fn any_context()(pairs in btree_map("[a-zé]{1,9}", "[a-z ü]{0,9}", 0..6)) -> EncryptionContext {
        EncryptionContext::new(pairs).unwrap()
    }
}

proptest! {
    #[test]
    fn what_was_sealed_opens(
        key: [u8; 32], salt: [u8; 32], id: [u8; 16], version in 1u32..,
        suite in prop::sample::select(&[SUITE, Suite::Aes256GcmHsm, Suite::ChaCha20Poly1305Hkdf]),
        context in any_context(),
        aad in vec(any::<u8>(), 0..200), plaintext in vec(any::<u8>(), 0..2_000),
    ) {
        let (id, version) = (KeyId(id), VersionNumber(version));
        let prk = prk_from_hsm(key);
        let blob = seal(&prk, suite, id, version, &salt, &context, &aad, &plaintext).unwrap();
        prop_assert_eq!(blob.len(), plaintext.len() + OVERHEAD_BYTES);
        let header = Header::parse(&blob).unwrap();
        prop_assert_eq!((header.suite, header.key_id, header.version), (suite, id, version));
        prop_assert_eq!(header.salt(), &salt);
        let opened = open(&prk, &blob, &context, &aad).ok().unwrap();
        prop_assert_eq!(opened.expose(), plaintext);
    }

    #[test]
    fn contexts_that_differ_do_not_open_for_each_other(
        one in any_context(), other in any_context(),
    ) {
        prop_assume!(one != other);
        let (id, version) = (KeyId([2; 16]), VersionNumber(3));
        let blob = seal(&prk(1), SUITE, id, version, &[1; 32], &one, b"", b"text").unwrap();
        prop_assert_eq!(open(&prk(1), &blob, &other, b"").err(), Some(CryptoError::DoesNotOpen));
    }

    #[test]
    fn nothing_random_opens_or_panics(
        blob in vec(any::<u8>(), 0..300), suite in 1_u8..4, valid_start: bool,
    ) {
        let mut blob = blob;
        if valid_start {
            let start = [1, suite];
            blob.iter_mut().zip(start).for_each(|(to, from)| *to = from);
        }
        let context = EncryptionContext::new(BTreeMap::new()).unwrap();
        prop_assert!(open(&prk(1), &blob, &context, b"").is_err());
    }
}
