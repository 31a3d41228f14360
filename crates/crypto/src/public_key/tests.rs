use super::*;
use crate::context::sha256;
use crate::sign::{KeyKind, SigningKey, generate};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// RFC 8037, appendix A.
const ED25519: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// RFC 7638, section 3.1.
const RSA_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSo\
    c_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2\
    QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZ\
    u0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn of_seed(kind: KeyKind, byte: u8) -> PublicKey {
    let seed = vec![byte; kind.seed_bytes().unwrap()];
    let material = generate(kind, &seed).ok().unwrap();
    let key = SigningKey::new(kind, &material).ok().unwrap();
    key.public_key().clone()
}

fn ed25519() -> PublicKey {
    PublicKey::from_raw(PublicKind::Ed25519, &hex::decode(ED25519).unwrap()).unwrap()
}

fn rsa() -> PublicKey {
    let n = URL_SAFE_NO_PAD.decode(RSA_N).unwrap();
    PublicKey::from_raw(PublicKind::Rsa(RsaSize::Bits2048), &n).unwrap()
}

fn thumbprint(key: &PublicKey) -> String {
    URL_SAFE_NO_PAD.encode(sha256(key.jwk().unwrap().as_bytes()))
}

#[test]
fn json_web_keys_and_their_thumbprints_are_those_of_the_standards() {
    assert_eq!(
        ed25519().jwk().unwrap(),
        r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
    );
    let expected = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(thumbprint(&ed25519()), expected, "RFC 8037, appendix A.3");
    let expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    assert_eq!(thumbprint(&rsa()), expected, "RFC 7638, section 3.1");
}

#[test]
fn every_encoding_comes_back() {
    let mut keys = vec![ed25519(), rsa()];
    keys.extend([KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::MlDsa65].map(|k| of_seed(k, 7)));
    for key in keys {
        let spki = key.spki();
        assert_eq!(PublicKey::from_spki(&spki).as_ref(), Ok(&key));
        assert_eq!(
            PublicKey::from_raw(key.kind(), key.raw()).as_ref(),
            Ok(&key)
        );
        let pem = key.pem();
        let lines: Vec<_> = pem.lines().collect();
        assert!(lines.iter().all(|line| line.len() <= 64));
        let body = lines[1..lines.len() - 1].concat();
        assert_eq!(STANDARD.decode(body).unwrap(), spki);
    }
}

#[test]
fn every_changed_frame_and_every_other_length_is_refused() {
    let mut keys = vec![ed25519(), rsa()];
    keys.extend([KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::MlDsa65].map(|k| of_seed(k, 7)));
    for key in keys {
        let spki = key.spki();
        let raw = key.raw();
        let start = spki.windows(raw.len()).position(|at| at == raw).unwrap();
        for at in (0..start).chain(start + raw.len()..spki.len()) {
            for bit in 0..8 {
                let mut changed = spki.clone();
                changed[at] ^= 1 << bit;
                if let Ok(other) = PublicKey::from_spki(&changed) {
                    // One bit parts the names of Ed25519 and X25519 from others', no more.
                    assert_ne!(other.kind(), key.kind(), "byte {at}");
                }
            }
        }
        for cut in 0..spki.len() {
            assert!(PublicKey::from_spki(&spki[..cut]).is_err(), "cut to {cut}");
        }
        let longer = [spki.as_slice(), &[0]].concat();
        assert!(PublicKey::from_spki(&longer).is_err());
        assert!(PublicKey::from_raw(key.kind(), &[]).is_err());
        assert!(PublicKey::from_raw(key.kind(), &key.raw()[1..]).is_err());
    }
}

#[test]
fn points_off_the_curve_are_refused() {
    for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP384] {
        let key = of_seed(kind, 7);
        for at in 1..key.raw().len() {
            let mut raw = key.raw().to_vec();
            raw[at] ^= 1;
            let refused = PublicKey::from_raw(key.kind(), &raw);
            let kind = key.kind().name();
            assert_eq!(refused, Err(CryptoError::PublicValue { kind }), "byte {at}");
        }
        let mut hybrid = key.raw().to_vec();
        hybrid[0] = 6 | (hybrid[hybrid.len() - 1] & 1);
        assert!(PublicKey::from_raw(key.kind(), &hybrid).is_err());
    }
}

#[test]
fn points_of_ed25519_are_on_the_curve_canonical_and_of_high_order() {
    let refused = |raw: &str| {
        let raw = hex::decode(raw).unwrap();
        let kind = "Ed25519";
        assert_eq!(
            PublicKey::from_raw(PublicKind::Ed25519, &raw),
            Err(CryptoError::PublicValue { kind }),
        );
    };
    // No x belongs to y = 2.
    refused("0200000000000000000000000000000000000000000000000000000000000000");
    // The neutral element, y = 1; as y = p + 1; and with the sign bit of x = 0.
    refused("0100000000000000000000000000000000000000000000000000000000000000");
    refused("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    refused("0100000000000000000000000000000000000000000000000000000000000080");
    // Order 2, 4 and 8.
    refused("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    refused("0000000000000000000000000000000000000000000000000000000000000000");
    refused("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
    // y = p + 3, which is y = 3 in another guise.
    refused("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
}

#[test]
fn rsa_keys_of_other_sizes_exponents_and_even_moduli_are_refused() {
    let key = rsa();
    let mut short = key.raw().to_vec();
    short[0] &= 0x7f;
    let mut even = key.raw().to_vec();
    even[255] &= 0xfe;
    for raw in [short, even] {
        let refused = PublicKey::from_raw(key.kind(), &raw);
        assert_eq!(refused, Err(CryptoError::RsaParameters));
    }
    // Modulus and exponent in DER by hand: 1024 bits, 2056 bits, 8192 bits; exponent 3.
    for (bytes, exponent) in [
        (128, &[2, 3, 1, 0, 1][..]),
        (257, &[2, 3, 1, 0, 1]),
        (1024, &[2, 3, 1, 0, 1]),
        (256, &[2, 1, 3]),
    ] {
        let modulus = [&[0], vec![0xff; bytes].as_slice()].concat();
        let key = der(0x30, &[der(2, &modulus), exponent.to_vec()].concat());
        let bits = der(3, &[&[0], key.as_slice()].concat());
        let spki = der(0x30, &[RSA_ALGORITHM, bits.as_slice()].concat());
        let refused = PublicKey::from_spki(&spki);
        assert_eq!(refused, Err(CryptoError::RsaParameters), "{bytes} bytes");
    }
}

fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(contents.len()).unwrap().to_be_bytes();
    let head = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head.as_slice(), contents].concat()
}

#[test]
fn other_keys_are_refused() {
    // P-521 and secp256k1 by their algorithms, X448, and no key at all.
    for spki in [
        "302a300506032b656f032100",
        "3056301006072a8648ce3d020106052b8104000a03420004",
        "30819b301006072a8648ce3d020106052b810400230381860004",
        "",
        "30",
    ] {
        let spki = hex::decode(spki).unwrap();
        assert_eq!(PublicKey::from_spki(&spki), Err(CryptoError::PublicKey));
    }
}
