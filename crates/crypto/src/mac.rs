//! Message authentication codes under a key version: HMAC (RFC 2104) over the bytes as they are, so that whoever holds
//! the same key can verify them with anything.

use crate::error::CryptoError;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::secret::KeyMaterial;
use ring::hmac;

/// The hash that an HMAC is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacHash {
    /// SHA-256: codes of 32 bytes.
    Sha256,
    /// SHA-384: codes of 48 bytes.
    Sha384,
    /// SHA-512: codes of 64 bytes.
    Sha512,
}

impl MacHash {
    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn key(self, material: &KeyMaterial) -> hmac::Key {
        hmac::Key::new(self.algorithm(), material.expose())
    }
}

/// The code of a message.
///
/// # Errors
/// [`CryptoError::TooLarge`].
pub fn generate(
    hash: MacHash,
    material: &KeyMaterial,
    message: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    check_size(message)?;
    Ok(hmac::sign(&hash.key(material), message).as_ref().to_vec())
}

/// Whether `mac` is the code of a message, found out in constant time. One that was cut short is not.
///
/// # Errors
/// [`CryptoError::TooLarge`] or [`CryptoError::WrongMac`].
pub fn verify(
    hash: MacHash,
    material: &KeyMaterial,
    message: &[u8],
    mac: &[u8],
) -> Result<(), CryptoError> {
    check_size(message)?;
    hmac::verify(&hash.key(material), message, mac).map_err(|_| CryptoError::WrongMac)
}

/// Whether two codes are equal, found out in constant time: for one that an HSM made.
///
/// # Errors
/// [`CryptoError::WrongMac`].
pub fn compare(made: &[u8], given: &[u8]) -> Result<(), CryptoError> {
    if bool::from(subtle::ConstantTimeEq::ct_eq(made, given)) {
        Ok(())
    } else {
        Err(CryptoError::WrongMac)
    }
}

fn check_size(message: &[u8]) -> Result<(), CryptoError> {
    let (max, actual) = (PLAINTEXT_BYTES_MAX, message.len());
    if actual > max {
        let what = "message";
        return Err(CryptoError::TooLarge { what, max, actual });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's `hmac`; the key is 32 bytes 0x0b. (Keys of RFC 4231's have other lengths.)
    const VECTORS: [(MacHash, &str); 3] = [
        (
            MacHash::Sha256,
            "c3f2649c34ea24e4d62a2c7e868bbea0233c9d4c2cc300794db76aa18d6822d8",
        ),
        (
            MacHash::Sha384,
            "a6efa990ab0ab7e3fd959ae7db6d1161fa8729024fc85f7fabd965143f774f95b7b0d53c13033caf15a2a33529224221",
        ),
        (
            MacHash::Sha512,
            "d50d2201131ae52f8c66d8ef3d06c19d02617453590a95f73682f16b725797f890b299d3a1a221326739d724028f4ca71766ea1b73bfbb6a496a8d982be67929",
        ),
    ];
    const MESSAGE: &[u8] = b"what do ya want for nothing?";

    fn material(fill: u8) -> KeyMaterial {
        KeyMaterial::from_fn(|out| out.fill(fill))
    }

    #[test]
    fn codes_are_those_of_another_implementation() {
        for (hash, expected) in VECTORS {
            let made = generate(hash, &material(0x0b), MESSAGE).unwrap();
            assert_eq!(hex::encode(&made), expected, "{hash:?}");
            assert_eq!(verify(hash, &material(0x0b), MESSAGE, &made), Ok(()));
        }
    }

    #[test]
    fn nothing_else_verifies() {
        for (hash, mac) in VECTORS {
            let mac = hex::decode(mac).unwrap();
            let wrong = Err(CryptoError::WrongMac);
            assert_eq!(verify(hash, &material(0x0c), MESSAGE, &mac), wrong);
            assert_eq!(verify(hash, &material(0x0b), b"another", &mac), wrong);
            for cut in 0..mac.len() {
                assert_eq!(verify(hash, &material(0x0b), MESSAGE, &mac[..cut]), wrong);
                let mut changed = mac.clone();
                changed[cut] ^= 1;
                assert_eq!(verify(hash, &material(0x0b), MESSAGE, &changed), wrong);
            }
            let longer = [mac.as_slice(), &[0]].concat();
            assert_eq!(verify(hash, &material(0x0b), MESSAGE, &longer), wrong);
        }
        let made = [7; 32];
        assert_eq!(compare(&made, &[7; 32]), Ok(()));
        assert_eq!(compare(&made, &[7; 31]), Err(CryptoError::WrongMac));
        assert_eq!(compare(&made, &[8; 32]), Err(CryptoError::WrongMac));
    }

    #[test]
    fn messages_are_bounded() {
        let large = vec![0; PLAINTEXT_BYTES_MAX + 1];
        let made = generate(MacHash::Sha256, &material(1), &large);
        assert!(matches!(made, Err(CryptoError::TooLarge { .. })));
    }
}
