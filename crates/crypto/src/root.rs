//! The root key's check value, and the mixing of randomness for long-lived keys.

use crate::encoding::fields;
use crate::error::CryptoError;
use crate::hkdf;
use crate::secret::{RootKey, Secret};
use conclave_core::{ClusterId, Generation, SetId};
use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const CHECK_KEY_LABEL: &[u8] = b"conclave/1/root-check";
const CHECK_LABEL: &[u8] = b"conclave/1/root-check-value";
const MIX_LABEL: &[u8] = b"conclave/1/mix-entropy";

/// What may be known to all and tells a rebuilt root key from any other: an HMAC under a key
/// derived from it (HKDF, info `conclave/1/root-check`).
///
/// # Panics
/// Never.
pub fn check_value(
    root: &RootKey,
    cluster: ClusterId,
    set_id: SetId,
    generation: Generation,
) -> [u8; 32] {
    let key = derive::<32>(&[], root.expose(), CHECK_KEY_LABEL);
    let message = fields(&[
        CHECK_LABEL,
        cluster.as_bytes(),
        set_id.as_bytes(),
        &generation.0.to_be_bytes(),
    ]);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), &message);
    tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

/// Checks a rebuilt root key before it enters an HSM, in constant time.
///
/// # Errors
/// [`CryptoError::WrongRoot`] if it is another one.
pub fn verify_check_value(
    root: &RootKey,
    cluster: ClusterId,
    set_id: SetId,
    generation: Generation,
    expected: &[u8],
) -> Result<(), CryptoError> {
    if check_value(root, cluster, set_id, generation)
        .as_slice()
        .ct_eq(expected)
        .into()
    {
        Ok(())
    } else {
        Err(CryptoError::WrongRoot)
    }
}

/// Random bytes of the HSM and of the operating system as one secret, unpredictable if either of
/// them is. `label` says what for; `N` is at most 8160.
pub fn mix_entropy<const N: usize>(hsm: &Secret<32>, os: &Secret<32>, label: &[u8]) -> Secret<N> {
    const { assert!(N <= hkdf::EXPAND_BYTES_MAX, "HKDF gives at most 8160 bytes") };
    let mut both = Zeroizing::new([0; 64]);
    let (first, second) = both.split_at_mut(32);
    first.copy_from_slice(hsm.expose());
    second.copy_from_slice(os.expose());
    derive(MIX_LABEL, both.as_slice(), label)
}

fn derive<const N: usize>(salt: &[u8], input: &[u8], info: &[u8]) -> Secret<N> {
    let prk = Secret::<32>::from_fn(|out| hkdf::extract(salt, input, out));
    Secret::from_fn(|out| hkdf::expand(prk.expose(), &[info], out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId([1; 16]);
    const SET: SetId = SetId([2; 16]);
    const GENERATION: Generation = Generation(3);

    fn root(byte: u8) -> RootKey {
        RootKey::from_fn(|out| out.fill(byte))
    }

    #[test]
    fn another_root_key_or_place_does_not_check() {
        let value = check_value(&root(7), CLUSTER, SET, GENERATION);
        let verify = |root: &RootKey, cluster, set, generation| {
            verify_check_value(root, cluster, set, generation, &value)
        };
        assert_eq!(verify(&root(7), CLUSTER, SET, GENERATION), Ok(()));
        let wrong = Err(CryptoError::WrongRoot);
        assert_eq!(verify(&root(8), CLUSTER, SET, GENERATION), wrong);
        assert_eq!(verify(&root(7), ClusterId([2; 16]), SET, GENERATION), wrong);
        assert_eq!(verify(&root(7), CLUSTER, SetId([1; 16]), GENERATION), wrong);
        assert_eq!(verify(&root(7), CLUSTER, SET, Generation(4)), wrong);
        let short = verify_check_value(&root(7), CLUSTER, SET, GENERATION, &value[..31]);
        assert_eq!(short, wrong);
        assert_eq!(
            verify_check_value(&root(7), CLUSTER, SET, GENERATION, &[]),
            wrong
        );
    }

    // Replicated: may never change. (Made with Python's `cryptography`, not with this code.)
    #[test]
    fn golden_check_value() {
        let value = check_value(&root(7), CLUSTER, SET, GENERATION);
        assert_eq!(hex::encode(value), GOLDEN);
    }
    const GOLDEN: &str = "86bb4132c73a97f37d0b9eba76e9c19a65910430a8e7d9258bf70f7928ef18e0";

    #[test]
    fn the_mix_depends_on_each_source_and_on_the_label() {
        let secret = |byte: u8| Secret::<32>::from_fn(|out| out.fill(byte));
        let mix =
            |hsm, os, label: &[u8]| *mix_entropy::<48>(&secret(hsm), &secret(os), label).expose();
        let one = mix(1, 2, b"root");
        assert_eq!(one, mix(1, 2, b"root"));
        assert_ne!(one, mix(9, 2, b"root"));
        assert_ne!(one, mix(1, 9, b"root"));
        assert_ne!(one, mix(2, 1, b"root"));
        assert_ne!(one, mix(1, 2, b"kek"));
    }
}
