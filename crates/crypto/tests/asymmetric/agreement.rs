//! RFC 7748 and RFC 5903, and what is refused.

use conclave_crypto::agree::{AgreementKey, AgreementKind, generate};
use conclave_crypto::{CryptoError, PrivateMaterial, PublicKey, PublicKind};
use proptest::prelude::*;

/// RFC 7748, section 6.1: private keys, public keys, secret.
const X25519: [&str; 5] = [
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
];
/// RFC 5903, section 8.1.
const P256: [&str; 5] = [
    "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
    "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
    "04DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180\
     5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3",
    "04D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63\
     56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
    "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
];

pub(crate) fn key(kind: AgreementKind, seed: &[u8]) -> AgreementKey {
    let material = generate(kind, seed).ok().unwrap();
    AgreementKey::new(kind, &material).ok().unwrap()
}

#[test]
fn keys_and_secrets_are_those_of_the_standards() {
    for (kind, vector) in [
        (AgreementKind::X25519, X25519),
        (AgreementKind::EcdhP256, P256),
    ] {
        let [one, other, one_public, other_public, secret] =
            vector.map(|text| hex::decode(text).unwrap());
        let (one, other) = (key(kind, &one), key(kind, &other));
        assert_eq!(one.public_key().raw(), one_public);
        assert_eq!(other.public_key().raw(), other_public);
        let shared = one.agree(other.public_key()).ok().unwrap();
        assert_eq!(shared.expose().as_slice(), secret);
        let shared = other.agree(one.public_key()).ok().unwrap();
        assert_eq!(shared.expose().as_slice(), secret);
    }
}

#[test]
fn points_of_low_order_are_refused() {
    let own = key(AgreementKind::X25519, &[7; 32]);
    for low in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let peer = PublicKey::from_raw(PublicKind::X25519, &hex::decode(low).unwrap()).unwrap();
        let kind = "X25519";
        assert_eq!(
            own.agree(&peer).err(),
            Some(CryptoError::PublicValue { kind })
        );
    }
}

#[test]
fn other_kinds_and_lengths_are_refused() {
    let (x25519, p256) = (
        key(AgreementKind::X25519, &[7; 32]),
        key(AgreementKind::EcdhP256, &[7; 32]),
    );
    for (own, peer) in [(&x25519, &p256), (&p256, &x25519)] {
        let refused = own.agree(peer.public_key()).err();
        assert!(matches!(refused, Some(CryptoError::OtherKind { .. })));
    }
    for kind in AgreementKind::ALL {
        for actual in [0, 31, 33] {
            let refused = generate(kind, &vec![7; actual]).err();
            assert!(matches!(refused, Some(CryptoError::SeedLength { .. })));
        }
        for len in [1, 31, 33] {
            let stored = PrivateMaterial::from_slice(&vec![7; len]).ok().unwrap();
            let refused = AgreementKey::new(kind, &stored).err();
            assert_eq!(refused, Some(CryptoError::PrivateKey { kind: kind.name() }));
        }
    }
    for bad in [[0; 32], [0xff; 32]] {
        let refused = generate(AgreementKind::EcdhP256, &bad).err();
        assert_eq!(refused, Some(CryptoError::DrawAgain));
    }
}

proptest! {
    #[test]
    fn both_sides_agree_and_a_third_does_not(one: [u8; 32], other: [u8; 32], third: [u8; 32]) {
        for kind in AgreementKind::ALL {
            let keys = [one, other, third].map(|seed| {
                generate(kind, &seed).and_then(|material| AgreementKey::new(kind, &material))
            });
            let [Ok(one), Ok(other), Ok(third)] = keys else { continue };
            let ours = one.agree(other.public_key()).ok().unwrap();
            let theirs = other.agree(one.public_key()).ok().unwrap();
            prop_assert_eq!(ours.expose(), theirs.expose());
            let else_ = third.agree(other.public_key()).ok().unwrap();
            prop_assert_ne!(ours.expose(), else_.expose());
        }
    }
}
