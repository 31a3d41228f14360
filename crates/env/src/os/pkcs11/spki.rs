//! Public keys as `SubjectPublicKeyInfo` (RFC 5280), from what PKCS#11 says of them.
//!
//! A module's answer is parsed strictly: what is not exactly the key that was asked for is no key.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// `rsaEncryption` with its NULL, the content of an `AlgorithmIdentifier` (RFC 3279).
const RSA: [u8; 13] = [6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0];
/// `id-ecPublicKey` (RFC 5480), before a curve.
const EC: [u8; 9] = [6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1];
/// The public exponent of all our RSA keys: 65537.
pub(super) const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// A curve that we have keys on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    Ed25519,
}

impl Curve {
    /// Its object identifier, in DER: `CKA_EC_PARAMS`.
    pub(super) const fn oid(self) -> &'static [u8] {
        match self {
            Self::P256 => &[6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7],
            Self::P384 => &[6, 5, 0x2B, 0x81, 4, 0, 0x22],
            Self::Ed25519 => &[6, 3, 0x2B, 0x65, 0x70],
        }
    }

    /// Whether a module means this curve by a `CKA_EC_PARAMS`.
    pub(super) fn is(self, params: &[u8]) -> bool {
        // PKCS#11 3.0 also lets the curve be a PrintableString.
        params == self.oid() || self == Self::Ed25519 && params == b"\x13\x0Cedwards25519"
    }

    /// Length of a coordinate, and of a scalar, in bytes.
    pub(super) const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 | Self::Ed25519 => 32,
            Self::P384 => 48,
        }
    }

    const fn is_point(self, bytes: &[u8]) -> bool {
        match self {
            Self::Ed25519 => bytes.len() == self.coordinate_bytes(),
            Self::P256 | Self::P384 => {
                bytes.len() == 1 + 2 * self.coordinate_bytes() && bytes[0] == 4
            }
        }
    }
}

/// The point of a `CKA_EC_POINT`: a DER `OCTET STRING`, or with some modules what belongs in it.
pub(super) fn parse_point(curve: Curve, attribute: &[u8]) -> Option<&[u8]> {
    if curve.is_point(attribute) {
        return Some(attribute);
    }
    let (header, content) = attribute.split_at_checked(2)?;
    let is_exact = header[0] == OCTET_STRING && usize::from(header[1]) == content.len();
    // A content of 128 bytes and more would have a longer header; no point of ours has one.
    (is_exact && curve.is_point(content)).then_some(content)
}

/// The key of a point.
pub(super) fn of_point(curve: Curve, point: &[u8]) -> Vec<u8> {
    let algorithm = match curve {
        Curve::Ed25519 => curve.oid().to_vec(),
        Curve::P256 | Curve::P384 => [&EC, curve.oid()].concat(),
    };
    info(&algorithm, point)
}

/// The magnitude of a big-endian number, if it has exactly so many bits.
pub(super) fn parse_modulus(attribute: &[u8], bits: u16) -> Option<&[u8]> {
    let modulus = strip_zeros(attribute);
    let has_length = modulus.len() == usize::from(bits) / 8 && modulus[0] >= 0x80;
    has_length.then_some(modulus)
}

/// Whether a module's exponent is ours.
pub(super) fn is_rsa_exponent(attribute: &[u8]) -> bool {
    strip_zeros(attribute) == RSA_EXPONENT
}

/// The RSA key of a modulus.
pub(super) fn of_modulus(modulus: &[u8]) -> Vec<u8> {
    let key = [unsigned(modulus), unsigned(&RSA_EXPONENT)].concat();
    info(&RSA, &element(SEQUENCE, &key))
}

/// The modulus in a key that [`of_modulus`] wrote, of 2048 bits: before its exponent of five bytes, which ends it.
pub(super) fn modulus_of(info: &[u8]) -> Option<&[u8]> {
    let (before, _) = info.split_last_chunk::<5>()?;
    before.last_chunk::<256>().map(|modulus| &modulus[..])
}

fn strip_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn info(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let algorithm = element(SEQUENCE, algorithm);
    // No bit of the last byte is unused.
    let key = element(BIT_STRING, &[&[0], key].concat());
    element(SEQUENCE, &[algorithm, key].concat())
}

/// An `INTEGER` that is not negative; `magnitude` does not begin with a zero.
fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    if magnitude[0] < 0x80 {
        element(INTEGER, magnitude)
    } else {
        element(INTEGER, &[&[0], magnitude].concat())
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("no key of ours has 64 KiB");
    let [high, low] = length.to_be_bytes();
    let length: &[u8] = match (high, low) {
        (0, 0..0x80) => &[low],
        (0, _) => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use x509_parser::prelude::FromDer;
    use x509_parser::public_key::PublicKey;
    use x509_parser::x509::SubjectPublicKeyInfo;

    #[test]
    fn an_ed25519_key_is_the_rfcs() {
        // RFC 8410, section 10.1.
        let point = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        let expected = format!("302a300506032b6570032100{point}");
        let point = hex::decode(point).unwrap();
        assert_eq!(hex::encode(of_point(Curve::Ed25519, &point)), expected);
    }

    #[test]
    fn a_p256_key_has_the_usual_beginning() {
        let point = [&[4], &[7; 64][..]].concat();
        let expected = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        assert_eq!(
            hex::encode(of_point(Curve::P256, &point)),
            format!("{expected}{}", hex::encode(point))
        );
    }

    #[test]
    fn a_point_is_raw_or_in_an_octet_string_and_nothing_else() {
        for (curve, point) in [
            (Curve::Ed25519, vec![9; 32]),
            (Curve::P256, [&[4], &[9; 64][..]].concat()),
            (Curve::P384, [&[4], &[9; 96][..]].concat()),
        ] {
            let length = u8::try_from(point.len()).unwrap();
            let wrapped = [&[OCTET_STRING, length], &point[..]].concat();
            assert_eq!(parse_point(curve, &point), Some(&point[..]));
            assert_eq!(parse_point(curve, &wrapped), Some(&point[..]));
            for wrong in [
                Vec::new(),
                vec![4],
                point[1..].to_vec(),
                [&point[..], &[0]].concat(),
                [&wrapped[..], &[0]].concat(),
                [&[BIT_STRING, length], &point[..]].concat(),
                [&[OCTET_STRING, length - 1], &point[..]].concat(),
                [&[OCTET_STRING, 0x81, length], &point[..]].concat(),
            ] {
                assert_eq!(parse_point(curve, &wrong), None, "{curve:?}: {wrong:?}");
            }
        }
        // Compressed.
        assert_eq!(
            parse_point(Curve::P256, &[&[2], &[9; 64][..]].concat()),
            None
        );
        assert_eq!(
            parse_point(Curve::P256, &[&[4, 33, 2], &[9; 32][..]].concat()),
            None
        );
    }

    #[test]
    fn curves_are_known_by_either_name() {
        assert!(Curve::Ed25519.is(b"\x13\x0Cedwards25519"));
        for curve in [Curve::P256, Curve::P384, Curve::Ed25519] {
            assert!(curve.is(curve.oid()));
        }
        assert!(!Curve::P256.is(Curve::P384.oid()));
        assert!(!Curve::P256.is(b"\x13\x0Cedwards25519"));
        assert!(!Curve::P256.is(b""));
    }

    #[test]
    fn a_modulus_is_found_again() {
        let modulus = [&[0x80], &[1; 255][..]].concat();
        assert_eq!(modulus_of(&of_modulus(&modulus)), Some(&modulus[..]));
        assert_eq!(modulus_of(&[0; 260]), None);
    }

    #[test]
    fn a_modulus_has_its_bits() {
        let modulus = [&[0x80], &[1; 255][..]].concat();
        let padded = [&[0], &modulus[..]].concat();
        assert_eq!(parse_modulus(&modulus, 2048), Some(&modulus[..]));
        assert_eq!(parse_modulus(&padded, 2048), Some(&modulus[..]));
        assert_eq!(parse_modulus(&modulus, 3072), None);
        assert_eq!(
            parse_modulus(&[&[0x7F], &[1; 255][..]].concat(), 2048),
            None
        );
        assert_eq!(parse_modulus(&[0; 256], 2048), None);
        assert_eq!(parse_modulus(&[], 2048), None);
        assert!(is_rsa_exponent(&[0, 1, 0, 1]));
        assert!(!is_rsa_exponent(&[3]));
        assert!(!is_rsa_exponent(&[]));
    }

    proptest! {
        #[test]
        fn another_parser_reads_an_rsa_key(
            bits in prop::sample::select(&[2048_u16, 3072, 4096]),
            fill in any::<u8>(),
        ) {
            let modulus = [&[0x80], &vec![fill; usize::from(bits) / 8 - 1][..]].concat();
            let der = of_modulus(&modulus);
            let (rest, info) = SubjectPublicKeyInfo::from_der(&der).unwrap();
            prop_assert!(rest.is_empty());
            let PublicKey::RSA(key) = info.parsed().unwrap() else {
                panic!("it is an RSA key");
            };
            prop_assert_eq!(strip_zeros(key.modulus), &modulus[..]);
            prop_assert_eq!(key.exponent, &RSA_EXPONENT[..]);
        }

        #[test]
        fn another_parser_reads_any_length(content in prop::collection::vec(any::<u8>(), 0..700)) {
            let der = element(OCTET_STRING, &content);
            let (rest, parsed) = <&[u8]>::from_der(&der).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(parsed, &content[..]);
        }
    }
}
