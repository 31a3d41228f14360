//! The promises of [`Hsm`] about keys that come from outside, as far as a module takes them in.

use super::import;
use super::outside::{key_bits, wrap_for};
use super::pairs::{RSA_2048, assert_not_for_this, assert_refused, is_like, serves};
use crate::hsm::{HsmHash, OaepHash, RsaSize};
use crate::{Hsm, HsmError, HsmKey, HsmKeyKind};
use ring::hmac;
use ring::signature::RsaKeyPair;

/// Before and behind a scalar in PKCS#8, without the public key (RFC 5915).
const P256_PKCS8: [u8; 35] = [
    0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1, 6, 8, 0x2A, 0x86,
    0x48, 0xCE, 0x3D, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
];
const P384_PKCS8: [u8; 32] = [
    0x30, 0x4E, 2, 1, 0, 0x30, 0x10, 6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1, 6, 5, 0x2B, 0x81, 4,
    0, 0x22, 4, 0x37, 0x30, 0x35, 2, 1, 1, 4, 0x30,
];
/// Before a seed (RFC 8410).
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2E, 2, 1, 0, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 4, 0x22, 4, 0x20,
];

const ONCE: [u8; 32] = [0xA5; 32];

/// What wraps keys on their way, and what they are to be wrapped under.
#[derive(Clone, Copy)]
struct Way<'a> {
    hsm: &'a dyn Hsm,
    transport: HsmKey,
    public: &'a [u8],
    hash: OaepHash,
    under: HsmKey,
}

impl Way<'_> {
    fn wrap(&self, key: &[u8]) -> Vec<u8> {
        wrap_for(self.public, self.hash, &ONCE, key)
    }

    async fn bring(
        &self,
        wrapped: &[u8],
        kind: HsmKeyKind,
    ) -> Result<crate::hsm::Imported, HsmError> {
        let (transport, under) = (self.transport, self.under);
        self.hsm
            .import_wrapped(transport, under, wrapped, kind)
            .await
    }
}

pub(super) async fn keys_come_from_outside(one: &dyn Hsm, two: &dyn Hsm) {
    let (root, root_two) = (import(one).await, import(two).await);
    for kind in HsmKeyKind::RSA_UNWRAP {
        let HsmKeyKind::RsaUnwrap(size, hash) = kind else {
            unreachable!("they unwrap");
        };
        // Longer ones take a module many seconds to make.
        if size != RsaSize::Bits3072 || !one.offers(kind) {
            continue;
        }
        let pair = one.generate_pair_wrapped(root, kind).await.unwrap();
        let way = Way {
            hsm: one,
            transport: one.unwrap(root, &pair.private, kind).await.unwrap(),
            public: &pair.public,
            hash,
            under: root,
        };
        for hash in HsmHash::ALL {
            a_secret_is_the_same_here(way, (two, root_two), hash).await;
        }
        for (kind, key) in private_keys() {
            a_private_key_serves(way, (two, root_two), kind, &key).await;
        }
        what_is_no_such_key_is_refused(way).await;
        what_does_not_unwrap_is_refused(way).await;
        only_the_right_keys_bring_in(way).await;
        one.destroy(way.transport).await.unwrap();
        let gone = way.bring(&way.wrap(&[7; 32]), HsmKeyKind::Mac).await;
        assert_eq!(gone, Err(HsmError::KeyGone));
    }
}

async fn a_secret_is_the_same_here(way: Way<'_>, (two, root_two): (&dyn Hsm, HsmKey), of: HsmHash) {
    let kind = HsmKeyKind::of_mac(of);
    let key: Vec<u8> = (1..=u8::try_from(of.bytes()).unwrap()).collect();
    if !way.hsm.imports(kind) {
        let mechanism = way.bring(&way.wrap(&key), kind).await;
        assert!(matches!(mechanism, Err(HsmError::Unsupported { .. })));
        return;
    }
    let imported = way.bring(&way.wrap(&key), kind).await.unwrap();
    assert_eq!(imported.public, None);
    let algorithm = match of {
        HsmHash::Sha256 => hmac::HMAC_SHA256,
        HsmHash::Sha384 => hmac::HMAC_SHA384,
        HsmHash::Sha512 => hmac::HMAC_SHA512,
    };
    let expected = hmac::sign(&hmac::Key::new(algorithm, &key), b"message");
    for (hsm, root) in [(way.hsm, way.under), (two, root_two)] {
        let here = hsm.unwrap(root, &imported.wrapped, kind).await.unwrap();
        let mut code = vec![0; of.bytes()];
        hsm.hmac(here, of, b"message", &mut code).await.unwrap();
        assert_eq!(code, expected.as_ref());
        hsm.destroy(here).await.unwrap();
    }
    for length in [1, 8, 16, 24, 25, 31, 32, 33, 40, 47, 48, 49, 63, 64, 65] {
        if length != of.bytes() {
            let refused = way.bring(&way.wrap(&vec![7; length]), kind).await;
            assert_refused(&refused, &(kind, length));
        }
    }
}

/// A key of each kind, as others hand it over.
fn private_keys() -> Vec<(HsmKeyKind, Vec<u8>)> {
    let of = |prefix: &[u8], bytes: usize| [prefix, &vec![0x1C; bytes]].concat();
    let (p256, p384) = (of(&P256_PKCS8, 32), of(&P384_PKCS8, 48));
    let rsa = RsaSize::Bits2048;
    vec![
        (HsmKeyKind::EcdsaP256, p256.clone()),
        (HsmKeyKind::EcdhP256, p256),
        (HsmKeyKind::EcdsaP384, p384),
        (HsmKeyKind::Ed25519, of(&ED25519_PKCS8, 32)),
        (HsmKeyKind::RsaSign(rsa), RSA_2048.to_vec()),
        (
            HsmKeyKind::RsaDecrypt(rsa, OaepHash::Sha1),
            RSA_2048.to_vec(),
        ),
        (
            HsmKeyKind::RsaDecrypt(rsa, OaepHash::Sha256),
            RSA_2048.to_vec(),
        ),
    ]
}

async fn a_private_key_serves(
    way: Way<'_>,
    (two, root_two): (&dyn Hsm, HsmKey),
    kind: HsmKeyKind,
    key: &[u8],
) {
    let wrapped = way.wrap(key);
    if !way.hsm.imports(kind) {
        let refused = way.bring(&wrapped, kind).await;
        assert!(matches!(refused, Err(HsmError::Unsupported { .. })));
        return;
    }
    let imported = way.bring(&wrapped, kind).await.unwrap();
    let public = imported.public.unwrap();
    if key == RSA_2048 {
        let known = RsaKeyPair::from_pkcs8(RSA_2048).unwrap();
        assert_eq!(key_bits(&public, kind), known.public().as_ref());
    }
    for (hsm, root) in [(way.hsm, way.under), (two, root_two)] {
        if hsm.offers(kind) {
            let here = hsm.unwrap(root, &imported.wrapped, kind).await.unwrap();
            serves((hsm, root), here, &public, kind).await;
            hsm.destroy(here).await.unwrap();
        }
    }
    let again = way.bring(&wrapped, kind).await.unwrap();
    assert_eq!(again.public, Some(public), "the same key once more");
}

async fn what_is_no_such_key_is_refused(way: Way<'_>) {
    let secrets = HsmHash::ALL.map(|hash| (HsmKeyKind::of_mac(hash), vec![7; hash.bytes()]));
    let keys = [private_keys(), secrets.to_vec()].concat();
    for (kind, key) in keys {
        let wrapped = way.wrap(&key);
        for other in HsmKeyKind::ALL {
            if way.hsm.imports(other) && !is_like(kind, other) {
                assert_refused(&way.bring(&wrapped, other).await, &(kind, other));
            }
        }
    }
    // No scalar. (One above the order a module may take as what is left of it.)
    let wrapped = way.wrap(&[&P256_PKCS8[..], &[0; 32]].concat());
    if way.hsm.imports(HsmKeyKind::EcdsaP256) {
        let refused = way.bring(&wrapped, HsmKeyKind::EcdsaP256).await;
        assert_refused(&refused, &"zero");
    }
}

async fn what_does_not_unwrap_is_refused(way: Way<'_>) {
    let kind = HsmKeyKind::Mac;
    let good = way.wrap(&[7; 32]);
    let mut inputs: Vec<Vec<u8>> = [0, 100, 383, 384, 391, 392, good.len() - 1]
        .into_iter()
        .map(|at| {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            damaged
        })
        .collect();
    let other = match way.hash {
        OaepHash::Sha1 => OaepHash::Sha256,
        OaepHash::Sha256 => OaepHash::Sha1,
    };
    inputs.push(wrap_for(way.public, other, &ONCE, &[7; 32]));
    for length in [0, 1, 16, 24, 31, 33, 64] {
        inputs.push(wrap_for(way.public, way.hash, &vec![7; length], &[7; 32]));
    }
    inputs.extend([
        Vec::new(),
        vec![7; 40],
        good[..384].to_vec(),
        good[..416].to_vec(),
        good[1..].to_vec(),
        [&good[..], &[0; 8]].concat(),
        [&[0], &good[..]].concat(),
        vec![0xFF; good.len()],
        vec![0; 1 << 16],
    ]);
    for (number, input) in inputs.iter().enumerate() {
        assert_refused(&way.bring(input, kind).await, &number);
    }
    way.hsm.check(way.transport).await.unwrap();
    way.bring(&good, kind).await.unwrap();
}

async fn only_the_right_keys_bring_in(way: Way<'_>) {
    let (hsm, kind) = (way.hsm, HsmKeyKind::Mac);
    let wrapped = way.wrap(&[7; 32]);
    for (transport, under) in [(way.under, way.under), (way.transport, way.transport)] {
        let refused = hsm.import_wrapped(transport, under, &wrapped, kind).await;
        assert_not_for_this(&refused, kind);
    }
    for kind in [
        HsmKeyKind::Kek,
        HsmKeyKind::RsaUnwrap(RsaSize::Bits3072, way.hash),
    ] {
        assert!(!hsm.imports(kind));
        assert_not_for_this(&way.bring(&wrapped, kind).await, kind);
    }
}
