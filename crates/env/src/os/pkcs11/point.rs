//! Points of the NIST curves from their x coordinate, which is all that an agreement tells of one. Nothing secret.

use super::spki::Curve;
use x509_parser::num_bigint::BigUint;

/// Of a curve y² = x³ - 3x + b over a prime (SEC 2, sections 2.4.2 and 2.5.1).
struct Parameters {
    prime: &'static str,
    b: &'static str,
    /// The base point.
    x: &'static str,
    y: &'static str,
}

const P256: Parameters = Parameters {
    prime: "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    b: "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    x: "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    y: "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
};

const P384: Parameters = Parameters {
    prime: "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
    b: "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
    x: "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
    y: "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
};

fn parameters(curve: Curve) -> Option<Parameters> {
    match curve {
        Curve::P256 => Some(P256),
        Curve::P384 => Some(P384),
        Curve::Ed25519 => None,
    }
}

fn number(hexadecimal: &str) -> BigUint {
    BigUint::parse_bytes(hexadecimal.as_bytes(), 16).expect("the parameters are numbers")
}

/// 04 ‖ x ‖ y, each as long as the curve has it.
fn encode(curve: Curve, x: &BigUint, y: &BigUint) -> Vec<u8> {
    let mut point = vec![4];
    for coordinate in [x, y] {
        let bytes = coordinate.to_bytes_be();
        point.resize(
            point.len() + curve.coordinate_bytes().saturating_sub(bytes.len()),
            0,
        );
        point.extend(bytes);
    }
    point
}

/// The base point. Who agrees with it has the x of the own public key for a secret.
pub(super) fn base(curve: Curve) -> Option<Vec<u8>> {
    let it = parameters(curve)?;
    Some(encode(curve, &number(it.x), &number(it.y)))
}

/// The two points that have this x; none if it is of no point.
pub(super) fn with_x(curve: Curve, x: &[u8]) -> Option<[Vec<u8>; 2]> {
    let it = parameters(curve)?;
    let (prime, x) = (number(it.prime), BigUint::from_bytes_be(x));
    if x >= prime {
        return None;
    }
    let three = BigUint::from(3_u8);
    // x³ - 3x + b, without ever being negative.
    let square = (&x * &x * &x + number(it.b) + &three * (&prime - &x)) % &prime;
    // Both primes are 3 modulo 4, so that a root is a power.
    let y = square.modpow(&((&prime + BigUint::from(1_u8)) >> 2_u8), &prime);
    if &y * &y % &prime != square {
        return None;
    }
    let other = (&prime - &y) % &prime;
    Some([encode(curve, &x, &y), encode(curve, &x, &other)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_point_is_one_of_the_two_that_have_its_x() {
        for curve in [Curve::P256, Curve::P384] {
            let base = base(curve).expect("it has one");
            let bytes = curve.coordinate_bytes();
            assert_eq!(base.len(), 1 + 2 * bytes);
            let points = with_x(curve, &base[1..=bytes]).expect("a point");
            assert!(points.contains(&base), "{curve:?}");
            assert_ne!(points[0], points[1]);
        }
    }

    #[test]
    fn half_of_all_numbers_are_of_no_point() {
        for curve in [Curve::P256, Curve::P384] {
            let mut x = vec![0; curve.coordinate_bytes()];
            let found = (0..200).filter(|byte| {
                *x.last_mut().expect("not empty") = *byte;
                with_x(curve, &x).is_some()
            });
            assert!((60..140).contains(&found.count()), "{curve:?}");
            assert_eq!(with_x(curve, &[0xFF; 48]), None, "no element of the field");
        }
        assert_eq!(base(Curve::Ed25519), None);
        assert_eq!(with_x(Curve::Ed25519, &[7; 32]), None);
    }
}
