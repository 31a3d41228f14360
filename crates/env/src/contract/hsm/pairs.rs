//! The promises of [`Hsm`] about kinds of keys that a module may offer or not: longer HMACs, and private keys.
//!
//! Signatures are verified outside, by `ring`. RSA keys of 4096 bits take a module many seconds to make: none is made
//! here.

use super::outside::{Of, encrypt_oaep, input, key_bits, verifies};
use super::{ROOT, import};
use crate::hsm::{HsmHash, OaepHash, RsaSize, SignatureScheme};
use crate::{Hsm, HsmError, HsmKey, HsmKeyKind};
use aes_kw::{KeyInit, KwpAes256};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use std::collections::BTreeSet;
use std::sync::Arc;

const MESSAGE: &[u8] = b"what is signed";

/// RFC 4231, test case 2: the key is "Jefe", and zero bytes behind it, which HMAC adds anyway.
const RFC_4231_CASE_2: [(HsmHash, &str); 3] = [
    (
        HsmHash::Sha256,
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        HsmHash::Sha384,
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
    ),
    (
        HsmHash::Sha512,
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    ),
];

/// A private key that was made outside, for tests only, and a ciphertext for it, made by OpenSSL.
pub(super) const RSA_2048: &[u8] = include_bytes!("rsa_2048.pk8");
const RSA_2048_OAEP: &[u8] = include_bytes!("rsa_2048.oaep");
const RSA_2048_PLAINTEXT: &[u8] = b"a secret to be read";

/// The base point of P-256 (SEC 2, section 2.4.2).
const BASE_POINT: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
    4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// Two modules and a KEK that both have. To import one can take a module a second, so there are few.
#[derive(Clone, Copy)]
struct Modules<'a> {
    one: &'a dyn Hsm,
    root: HsmKey,
    /// Of `one`.
    stranger: HsmKey,
    two: &'a dyn Hsm,
    root_two: HsmKey,
}

pub(super) async fn kinds_keep_their_promises(one: &Arc<dyn Hsm>, two: &dyn Hsm) {
    for kind in [HsmKeyKind::Kek, HsmKeyKind::Mac] {
        assert!(one.offers(kind), "{kind:?} is needed");
    }
    let root = import(&**one).await;
    let modules = Modules {
        one: &**one,
        root,
        stranger: one.import_root("contract-other", &[1; 32]).await.unwrap(),
        two,
        root_two: import(two).await,
    };
    for kind in HsmKeyKind::ALL {
        if !one.offers(kind) {
            what_is_not_offered_is_unsupported(&**one, root, kind).await;
        } else if !kind.is_pair() {
            a_secret_kind_is_its_own(&**one, root, kind).await;
        } else if !is_slow(kind) {
            a_pair_serves_its_kind_and_no_other(modules, kind).await;
        }
    }
    for hash in HsmHash::ALL {
        if one.offers(HsmKeyKind::of_mac(hash)) {
            an_hmac_is_the_rfcs(&**one, root, hash).await;
        }
    }
    a_key_made_outside_is_understood(&**one, root).await;
    many_sign_at_once(one, root).await;
}

fn is_slow(kind: HsmKeyKind) -> bool {
    matches!(
        kind,
        HsmKeyKind::RsaSign(RsaSize::Bits4096)
            | HsmKeyKind::RsaDecrypt(RsaSize::Bits4096, _)
            | HsmKeyKind::RsaUnwrap(RsaSize::Bits4096, _)
    )
}

/// Whether the wrap of a kind can be one of another kind.
pub(super) fn is_like(one: HsmKeyKind, two: HsmKeyKind) -> bool {
    // The PKCS#8 of an Ed25519 key has 384 bits.
    if (one, two) == (HsmKeyKind::Ed25519, HsmKeyKind::MacSha384) {
        return true;
    }
    let form = |kind| match kind {
        HsmKeyKind::EcdhP256 => HsmKeyKind::EcdsaP256,
        HsmKeyKind::RsaDecrypt(size, _) | HsmKeyKind::RsaUnwrap(size, _) => {
            HsmKeyKind::RsaSign(size)
        }
        // Both are 256 bits.
        HsmKeyKind::Kek => HsmKeyKind::Mac,
        HsmKeyKind::Mac
        | HsmKeyKind::MacSha384
        | HsmKeyKind::MacSha512
        | HsmKeyKind::Ed25519
        | HsmKeyKind::EcdsaP256
        | HsmKeyKind::EcdsaP384
        | HsmKeyKind::RsaSign(_) => kind,
    };
    form(one) == form(two)
}

fn schemes() -> Vec<SignatureScheme> {
    let mut schemes = vec![SignatureScheme::Ed25519, SignatureScheme::Ecdsa];
    schemes.extend(HsmHash::ALL.map(SignatureScheme::RsaPkcs1));
    schemes.extend(HsmHash::ALL.map(SignatureScheme::RsaPss));
    schemes
}

pub(super) fn assert_refused<T: std::fmt::Debug>(
    result: &Result<T, HsmError>,
    what: &dyn std::fmt::Debug,
) {
    let is_refused = matches!(result, Err(HsmError::Refused { .. }));
    assert!(is_refused, "{what:?}: {result:?}");
}

fn assert_unsupported<T: std::fmt::Debug>(result: &Result<T, HsmError>, kind: HsmKeyKind) {
    let Err(HsmError::Unsupported { mechanism }) = result else {
        panic!("{kind:?}: {result:?}");
    };
    assert!(mechanism.starts_with("CKM_"), "{mechanism}");
}

/// A key of the wrong kind, or a use for which no kind is offered.
pub(super) fn assert_not_for_this<T: std::fmt::Debug>(
    result: &Result<T, HsmError>,
    kind: HsmKeyKind,
) {
    let is_denied = matches!(
        result,
        Err(HsmError::Failed { .. } | HsmError::Unsupported { .. })
    );
    assert!(is_denied, "{kind:?}: {result:?}");
}

async fn what_is_not_offered_is_unsupported(hsm: &dyn Hsm, root: HsmKey, kind: HsmKeyKind) {
    let wrapped = hsm.wrap_secret(root, &[7; 32]).await.unwrap();
    assert_unsupported(&hsm.generate_wrapped(root, kind).await, kind);
    assert_unsupported(&hsm.generate_pair_wrapped(root, kind).await, kind);
    assert_unsupported(&hsm.unwrap(root, &wrapped, kind).await, kind);
    let is_last_of = |kinds: &[HsmKeyKind]| !kinds.iter().any(|kind| hsm.offers(*kind));
    for scheme in schemes() {
        if scheme.kinds().contains(&kind) && is_last_of(scheme.kinds()) {
            assert_unsupported(&hsm.sign(root, scheme, &[7; 32]).await, kind);
        }
    }
    for hash in HsmHash::ALL {
        if HsmKeyKind::of_mac(hash) == kind {
            let mut out = vec![0; hash.bytes()];
            assert_unsupported(&hsm.hmac(root, hash, MESSAGE, &mut out).await, kind);
        }
    }
    if kind == HsmKeyKind::EcdhP256 {
        let point = hex::decode(BASE_POINT).unwrap();
        let shared = hsm.derive_ecdh(root, &point, &mut [0; 32]).await;
        assert_unsupported(&shared, kind);
    }
    if HsmKeyKind::RSA_DECRYPT.contains(&kind) && is_last_of(&HsmKeyKind::RSA_DECRYPT) {
        let mut out = [0; 256];
        let read = hsm.decrypt_oaep(root, &[], RSA_2048_OAEP, &mut out).await;
        assert_unsupported(&read, kind);
    }
    if HsmKeyKind::RSA_UNWRAP.contains(&kind) && is_last_of(&HsmKeyKind::RSA_UNWRAP) {
        assert!(!hsm.imports(HsmKeyKind::Mac));
        let imported = hsm.import_wrapped(root, root, &[7; 424], HsmKeyKind::Mac);
        assert_unsupported(&imported.await, kind);
    }
}

async fn a_secret_kind_is_its_own(hsm: &dyn Hsm, root: HsmKey, kind: HsmKeyKind) {
    let wrapped = hsm.generate_wrapped(root, kind).await.unwrap();
    let bytes = kind.secret_bytes().unwrap();
    assert_eq!(wrapped.len(), bytes + 8, "{kind:?}: RFC 5649");
    assert_not_for_this(&hsm.generate_pair_wrapped(root, kind).await, kind);
    refused_as_all_others(hsm, root, &wrapped, kind).await;
    let key = hsm.unwrap(root, &wrapped, kind).await.unwrap();
    useless_for_all_others(hsm, key, kind).await;
    hsm.destroy(key).await.unwrap();
}

/// A wrap is not taken for one of a kind that it can be told from.
async fn refused_as_all_others(hsm: &dyn Hsm, root: HsmKey, wrapped: &[u8], kind: HsmKeyKind) {
    for other in HsmKeyKind::ALL {
        if hsm.offers(other) && !is_like(kind, other) {
            let taken = hsm.unwrap(root, wrapped, other).await;
            assert_refused(&taken, &(kind, other));
        }
    }
}

/// A key does nothing that its kind does not say, and is none the worse for having been asked.
async fn useless_for_all_others(hsm: &dyn Hsm, key: HsmKey, kind: HsmKeyKind) {
    for scheme in schemes() {
        if !scheme.kinds().contains(&kind) {
            for length in [32, 48, 64] {
                let signed = hsm.sign(key, scheme, &vec![7; length]).await;
                assert_not_for_this(&signed, kind);
            }
        }
    }
    for hash in HsmHash::ALL {
        if HsmKeyKind::of_mac(hash) != kind {
            let mut out = vec![0; hash.bytes()];
            assert_not_for_this(&hsm.hmac(key, hash, MESSAGE, &mut out).await, kind);
            assert!(out.iter().all(|byte| *byte == 0), "nothing is given out");
        }
    }
    if kind != HsmKeyKind::EcdhP256 {
        let (point, mut out) = (hex::decode(BASE_POINT).unwrap(), [0; 32]);
        assert_not_for_this(&hsm.derive_ecdh(key, &point, &mut out).await, kind);
        assert_eq!(out, [0; 32]);
    }
    if !HsmKeyKind::RSA_DECRYPT.contains(&kind) {
        let mut out = [0; 256];
        let read = hsm.decrypt_oaep(key, &[], RSA_2048_OAEP, &mut out).await;
        assert_not_for_this(&read, kind);
        assert_eq!(out, [0; 256]);
    }
    if !HsmKeyKind::RSA_UNWRAP.contains(&kind) {
        let imported = hsm.import_wrapped(key, key, &[7; 424], HsmKeyKind::Mac);
        assert_not_for_this(&imported.await, kind);
    }
    if kind != HsmKeyKind::Kek {
        let wrapped = hsm.generate_wrapped(key, HsmKeyKind::Mac).await;
        assert_not_for_this(&wrapped, kind);
        assert_not_for_this(&hsm.wrap_secret(key, &[7; 32]).await, kind);
        let unwrapped = hsm.unwrap(key, &[7; 40], HsmKeyKind::Mac).await;
        assert_not_for_this(&unwrapped, kind);
        let read = hsm.unwrap_secret(key, &[7; 40], &mut [0; 32]).await;
        assert_not_for_this(&read, kind);
    }
    hsm.check(key).await.unwrap();
}

async fn an_hmac_is_the_rfcs(hsm: &dyn Hsm, root: HsmKey, hash: HsmHash) {
    let kind = HsmKeyKind::of_mac(hash);
    let mut secret = vec![0; hash.bytes()];
    secret[..4].copy_from_slice(b"Jefe");
    let wrapped = hsm.wrap_secret(root, &secret).await.unwrap();
    let key = hsm.unwrap(root, &wrapped, kind).await.unwrap();
    let mut out = vec![0; hash.bytes()];
    let message = b"what do ya want for nothing?";
    hsm.hmac(key, hash, message, &mut out).await.unwrap();
    assert!(RFC_4231_CASE_2.contains(&(hash, &hex::encode(&out))));
    for wrong in [hash.bytes() - 1, hash.bytes() + 1] {
        let result = hsm.hmac(key, hash, message, &mut vec![0; wrong]).await;
        assert!(matches!(result, Err(HsmError::Failed { .. })), "{result:?}");
    }
    hsm.destroy(key).await.unwrap();
}

async fn a_pair_serves_its_kind_and_no_other(modules: Modules<'_>, kind: HsmKeyKind) {
    let Modules { one, root, two, .. } = modules;
    assert_not_for_this(&one.generate_wrapped(root, kind).await, kind);
    let pair = one.generate_pair_wrapped(root, kind).await.unwrap();
    let key = one.unwrap(root, &pair.private, kind).await.unwrap();
    serves((one, root), key, &pair.public, kind).await;
    useless_for_all_others(one, key, kind).await;
    refused_as_all_others(one, root, &pair.private, kind).await;
    refused_when_damaged(one, root, &pair.private, kind).await;
    let strange = one.unwrap(modules.stranger, &pair.private, kind).await;
    assert_refused(&strange, &kind);
    if two.offers(kind) {
        let root = modules.root_two;
        let key = two.unwrap(root, &pair.private, kind).await.unwrap();
        serves((two, root), key, &pair.public, kind).await;
        two.destroy(key).await.unwrap();
    }
    // All of that has harmed nobody.
    serves((one, root), key, &pair.public, kind).await;
    one.destroy(key).await.unwrap();
    assert_eq!(one.check(key).await, Err(HsmError::KeyGone));
    for scheme in schemes() {
        if scheme.kinds().contains(&kind) {
            let signed = one.sign(key, scheme, &input((kind, scheme), MESSAGE)).await;
            assert_eq!(signed, Err(HsmError::KeyGone));
        }
    }
}

async fn refused_when_damaged(hsm: &dyn Hsm, root: HsmKey, wrapped: &[u8], kind: HsmKeyKind) {
    // Each byte of a short wrap, some of a long one.
    let mut inputs: Vec<Vec<u8>> = (0..wrapped.len())
        .step_by(wrapped.len().div_ceil(100))
        .map(|at| {
            let mut damaged = wrapped.to_vec();
            damaged[at] ^= 1;
            damaged
        })
        .collect();
    inputs.push(Vec::new());
    inputs.push(wrapped[..wrapped.len() - 8].to_vec());
    inputs.push([wrapped, &[0; 8]].concat());
    inputs.push(vec![0; wrapped.len()]);
    inputs.push(vec![0; 1 << 20]);
    for input in &inputs {
        assert_refused(&hsm.unwrap(root, input, kind).await, &kind);
    }
}

/// Uses a private key, and looks with the public key whether it was that one.
pub(super) async fn serves(
    (hsm, root): (&dyn Hsm, HsmKey),
    key: HsmKey,
    public: &[u8],
    kind: HsmKeyKind,
) {
    for scheme in schemes() {
        if scheme.kinds().contains(&kind) {
            signs(hsm, key, public, (kind, scheme)).await;
        }
    }
    if kind == HsmKeyKind::EcdhP256 {
        agrees((hsm, root), key, public).await;
    }
    if HsmKeyKind::RSA_DECRYPT.contains(&kind) {
        let read = hsm.decrypt_oaep(key, &[], &[7; 256], &mut [0; 256]).await;
        assert_refused(&read, &kind);
    }
}

async fn signs(hsm: &dyn Hsm, key: HsmKey, public: &[u8], of: Of) {
    let input = input(of, MESSAGE);
    let signature = hsm.sign(key, of.1, &input).await.unwrap();
    assert!(verifies(public, of, MESSAGE, &signature), "{of:?}");
    assert!(!verifies(public, of, b"another", &signature), "{of:?}");
    if of.1 != SignatureScheme::Ed25519 {
        for wrong in [0, input.len() - 1, input.len() + 1] {
            let signed = hsm.sign(key, of.1, &vec![7; wrong]).await;
            assert_not_for_this(&signed, of.0);
        }
    }
}

async fn agrees((hsm, root): (&dyn Hsm, HsmKey), key: HsmKey, public: &[u8]) {
    let (kind, mut shared) = (HsmKeyKind::EcdhP256, [0; 32]);
    let own = key_bits(public, kind);
    let base = hex::decode(BASE_POINT).unwrap();
    hsm.derive_ecdh(key, &base, &mut shared).await.unwrap();
    assert_eq!(shared, own[1..33], "the product with the base point");
    let peer = hsm.generate_pair_wrapped(root, kind).await.unwrap();
    let peer_key = hsm.unwrap(root, &peer.private, kind).await.unwrap();
    let peer_public = key_bits(&peer.public, kind);
    assert_ne!(own, peer_public);
    let mut other = [0; 32];
    hsm.derive_ecdh(key, &peer_public, &mut shared)
        .await
        .unwrap();
    hsm.derive_ecdh(peer_key, &own, &mut other).await.unwrap();
    assert_eq!(shared, other, "both have the same secret");
    hsm.destroy(peer_key).await.unwrap();
    let mut wrong = vec![
        Vec::new(),
        vec![0],
        vec![0; 65],
        [&[4], &[0; 64][..]].concat(),
        [&[4], &[0xFF; 64][..]].concat(),
        base[..64].to_vec(),
        [&base[..], &[0]].concat(),
        [&[4, 65], &base[..]].concat(),
        // Compressed, and in the hybrid form.
        [&[3], &base[1..33]].concat(),
        [&[7], &base[1..]].concat(),
    ];
    for at in [1, 32, 33, 64] {
        let mut off_curve = base.clone();
        off_curve[at] ^= 1;
        wrong.push(off_curve);
    }
    let mut nothing = [0; 32];
    for point in wrong {
        let derived = hsm.derive_ecdh(key, &point, &mut nothing).await;
        assert_refused(&derived, &point);
        assert_eq!(nothing, [0; 32]);
    }
}

/// The wrap of a key that was made outside, exactly as RFC 5649 has it.
async fn a_key_made_outside_is_understood(hsm: &dyn Hsm, root: HsmKey) {
    let mut wrapped = vec![0; RSA_2048.len().next_multiple_of(8) + 8];
    let outside = KwpAes256::new(&ROOT.into());
    outside.wrap_key(RSA_2048, &mut wrapped).unwrap();
    let signs = HsmKeyKind::RsaSign(RsaSize::Bits2048);
    if hsm.offers(signs) {
        let key = hsm.unwrap(root, &wrapped, signs).await.unwrap();
        let known = signature::RsaKeyPair::from_pkcs8(RSA_2048).unwrap();
        let scheme = SignatureScheme::RsaPkcs1(HsmHash::Sha384);
        let of = (signs, scheme);
        let signature = hsm.sign(key, scheme, &input(of, MESSAGE)).await.unwrap();
        let public = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA384, known.public());
        public.verify(MESSAGE, &signature).unwrap();
        hsm.destroy(key).await.unwrap();
    }
    let known = signature::RsaKeyPair::from_pkcs8(RSA_2048).unwrap();
    let modulus = RsaPublicKeyComponents::<Vec<u8>>::from(known.public()).n;
    for hash in [OaepHash::Sha256, OaepHash::Sha1] {
        let decrypts = HsmKeyKind::RsaDecrypt(RsaSize::Bits2048, hash);
        if hsm.offers(decrypts) {
            let key = hsm.unwrap(root, &wrapped, decrypts).await.unwrap();
            let made_here = encrypt_oaep(&modulus, hash, &[], RSA_2048_PLAINTEXT);
            decrypts_what_is_its_own(hsm, key, &made_here).await;
            let labelled = encrypt_oaep(&modulus, hash, b"label", RSA_2048_PLAINTEXT);
            labels_are_looked_at(hsm, key, &labelled, &made_here).await;
            if hash == OaepHash::Sha256 {
                decrypts_what_is_its_own(hsm, key, RSA_2048_OAEP).await;
            } else {
                let mut out = [0; 256];
                let read = hsm.decrypt_oaep(key, &[], RSA_2048_OAEP, &mut out).await;
                assert_refused(&read, &"another hash");
            }
            useless_for_all_others(hsm, key, decrypts).await;
            hsm.destroy(key).await.unwrap();
        }
    }
}

async fn decrypts_what_is_its_own(hsm: &dyn Hsm, key: HsmKey, ciphertext: &[u8]) {
    let length = RSA_2048_PLAINTEXT.len();
    let mut out = [0; 190];
    let read = hsm.decrypt_oaep(key, &[], ciphertext, &mut out).await;
    assert_eq!(read, Ok(length));
    assert_eq!(&out[..length], RSA_2048_PLAINTEXT);
    let mut short = [0; 18];
    let read = hsm.decrypt_oaep(key, &[], ciphertext, &mut short).await;
    assert_refused(&read, &"a short buffer");
    assert_eq!(short, [0; 18]);
    let mut damaged = ciphertext.to_vec();
    damaged[100] ^= 1;
    let longer = [ciphertext, &[0]].concat();
    for wrong in [&damaged, &longer, &damaged[..255], &[0xFF; 256], &[]] {
        let mut out = [0; 190];
        let read = hsm.decrypt_oaep(key, &[], wrong, &mut out).await;
        assert_refused(&read, &wrong.len());
        assert_eq!(out, [0; 190]);
    }
}

/// A module that cannot do it says so.
async fn labels_are_looked_at(hsm: &dyn Hsm, key: HsmKey, labelled: &[u8], plain: &[u8]) {
    let mut out = [0; 190];
    for (ciphertext, label) in [
        (plain, &b"label"[..]),
        (labelled, b"other"),
        (labelled, b""),
    ] {
        let read = hsm.decrypt_oaep(key, label, ciphertext, &mut out).await;
        if hsm.takes_labels() || label.is_empty() {
            assert_refused(&read, &"another label");
        } else {
            assert!(
                matches!(read, Err(HsmError::Unsupported { .. })),
                "{read:?}"
            );
        }
        assert_eq!(out, [0; 190]);
    }
    if hsm.takes_labels() {
        let read = hsm.decrypt_oaep(key, b"label", labelled, &mut out).await;
        assert_eq!(read, Ok(RSA_2048_PLAINTEXT.len()));
    }
}

async fn many_sign_at_once(hsm: &Arc<dyn Hsm>, root: HsmKey) {
    let kinds = [HsmKeyKind::Ed25519, HsmKeyKind::EcdsaP256];
    let Some(kind) = kinds.into_iter().find(|kind| hsm.offers(*kind)) else {
        return;
    };
    let scheme = if kind == HsmKeyKind::Ed25519 {
        SignatureScheme::Ed25519
    } else {
        SignatureScheme::Ecdsa
    };
    let pair = hsm.generate_pair_wrapped(root, kind).await.unwrap();
    let key = hsm.unwrap(root, &pair.private, kind).await.unwrap();
    let pair = Arc::new(pair);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20_u8 {
        let (hsm, pair) = (Arc::clone(hsm), Arc::clone(&pair));
        tasks.spawn(async move {
            let input = input((kind, scheme), &[number]);
            let signature = hsm.sign(key, scheme, &input).await.unwrap();
            assert!(verifies(
                &pair.public,
                (kind, scheme),
                &[number],
                &signature
            ));
            signature
        });
    }
    let signatures: BTreeSet<Vec<u8>> = tasks.join_all().await.into_iter().collect();
    assert_eq!(signatures.len(), 20, "no answer went to another caller");
    hsm.clear().await.unwrap();
    let gone = hsm.sign(key, scheme, &input((kind, scheme), MESSAGE)).await;
    assert_eq!(gone, Err(HsmError::KeyGone));
    let root = import(&**hsm).await;
    let key = hsm.unwrap(root, &pair.private, kind).await.unwrap();
    serves((&**hsm, root), key, &pair.public, kind).await;
}
