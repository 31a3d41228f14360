use super::*;

const ID: KeyId = KeyId([7; 16]);
const VERSION: VersionNumber = VersionNumber(1);
const SUITE: Suite = Suite::Aes256GcmHkdf;

fn prk(byte: u8) -> MessagePrk {
    MessagePrk::from_fn(|out| out.fill(byte))
}

/// AES-GCM without a commitment, under one key and nonce: what an attacker who knows both can do.
struct Gcm {
    derived: Derived,
}

impl Gcm {
    /// Ciphertext and tag apart.
    fn seal(&self, aad: &[u8], plaintext: &[u8]) -> (Vec<u8>, u128) {
        let mut body = plaintext.to_vec();
        let aad = aead::Aad::from(aad);
        let tag =
            self.derived
                .key()
                .seal_in_place_separate_tag(self.derived.nonce(), aad, &mut body);
        (
            body,
            u128::from_be_bytes(tag.unwrap().as_ref().try_into().unwrap()),
        )
    }

    fn opens(&self, aad: &[u8], body: &[u8]) -> bool {
        let mut body = body.to_vec();
        let aad = aead::Aad::from(aad);
        self.derived
            .key()
            .open_in_place(self.derived.nonce(), aad, &mut body)
            .is_ok()
    }

    /// The tag of a ciphertext of one block.
    fn tag(&self, aad: &[u8], block: u128) -> u128 {
        let (key_stream, _) = self.seal(aad, &[0; 16]);
        let key_stream = u128::from_be_bytes(key_stream.try_into().unwrap());
        let (sealed, tag) = self.seal(aad, &(key_stream ^ block).to_be_bytes());
        assert_eq!(sealed, block.to_be_bytes());
        tag
    }

    /// GHASH's key H: the tags of nothing, and of a zero block of associated data (128 bits, hence
    /// 2^7 in the length block), differ by that block times H.
    fn hash_key(&self) -> u128 {
        let lengths = 128_u128 << 64;
        multiply(
            self.seal(&[0; 16], b"").1 ^ self.seal(b"", b"").1,
            invert(lengths),
        )
    }
}

/// In GCM's field (NIST SP 800-38D, section 6.3).
fn multiply(x: u128, y: u128) -> u128 {
    let (mut product, mut shifted) = (0, y);
    for bit in (0..128).rev() {
        if x >> bit & 1 == 1 {
            product ^= shifted;
        }
        shifted = (shifted >> 1) ^ if shifted & 1 == 1 { 0xe1 << 120 } else { 0 };
    }
    product
}

/// x^(2^128 - 2).
fn invert(x: u128) -> u128 {
    let (mut inverse, mut square) = (1 << 127, x);
    for _ in 1..128 {
        square = multiply(square, square);
        inverse = multiply(inverse, square);
    }
    inverse
}

/// A blob whose ciphertext and tag are right under two keys, and whose commitment is that of `one`.
/// Its one block solves a linear equation: the tags under both keys are equal.
fn blob_with_two_faces(one: &Gcm, other: &Gcm) -> (Vec<u8>, Vec<u8>) {
    let commitment = *one.derived.commitment();
    let mut blob = Vec::new();
    Header {
        suite: SUITE,
        key_id: ID,
        version: VERSION,
        salt: [3; 32],
        commitment,
    }
    .write(&mut blob);
    let aad = bound_data(&blob, &context::digest(&EncryptionContext::default()), b"");
    let (h, k) = (one.hash_key(), other.hash_key());
    let difference = one.tag(&aad, 0) ^ other.tag(&aad, 0);
    let block = multiply(difference, invert(multiply(h, h) ^ multiply(k, k)));
    blob.extend_from_slice(&block.to_be_bytes());
    blob.extend_from_slice(&one.tag(&aad, block).to_be_bytes());
    (blob, aad)
}

#[test]
fn a_ciphertext_made_to_open_under_two_keys_opens_under_the_committed_one_only() {
    let [one, other] = [1, 2].map(|byte| Gcm {
        derived: Derived::new(&prk(byte), SUITE, ID, VERSION),
    });
    let (blob, aad) = blob_with_two_faces(&one, &other);
    for gcm in [&one, &other] {
        assert!(
            gcm.opens(&aad, &blob[HEADER_BYTES..]),
            "the attack itself must be sound"
        );
    }
    let context = EncryptionContext::default();
    assert!(open(&prk(1), &blob, &context, b"").is_ok());
    assert_eq!(
        open(&prk(2), &blob, &context, b"").err(),
        Some(CryptoError::DoesNotOpen)
    );
}

#[test]
fn commitments_depend_on_all_that_the_key_is_derived_for() {
    let of = |byte, suite, id, version| {
        *Derived::new(&prk(byte), suite, KeyId([id; 16]), VersionNumber(version)).commitment()
    };
    let all = [
        of(1, SUITE, 1, 1),
        of(2, SUITE, 1, 1),
        of(1, Suite::Aes256GcmHsm, 1, 1),
        of(1, SUITE, 2, 1),
        of(1, SUITE, 1, 2),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn version_0_and_what_is_too_large_are_refused() {
    let context = EncryptionContext::default();
    let seal = |version, aad: &[u8], plaintext: &[u8]| {
        let version = VersionNumber(version);
        seal(
            &prk(1),
            SUITE,
            ID,
            version,
            &[3; 32],
            &context,
            aad,
            plaintext,
        )
    };
    assert_eq!(seal(0, b"", b""), Err(CryptoError::NoVersion));
    let large = vec![0; PLAINTEXT_BYTES_MAX + 1];
    assert!(matches!(
        seal(1, b"", &large),
        Err(CryptoError::TooLarge { .. })
    ));
    assert!(matches!(
        seal(1, &large, b""),
        Err(CryptoError::TooLarge { .. })
    ));
}
