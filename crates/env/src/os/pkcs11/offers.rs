//! What a module offers beyond what we need of every module, found out once, when it is opened.
//!
//! The list of mechanisms does not tell whether a mechanism works with our parameters, nor whether its keys can be
//! wrapped (SoftHSM 2.6.1 lists OAEP and has it with SHA-1 only, and wraps no Edwards keys). So whatever is cheap is
//! tried: all but the making of an RSA key, of which the list is believed.

use super::error::Fault;
use super::link::{Held, Link, OWNER};
use super::module::Listed;
use super::spki::RSA_EXPONENT;
use super::{objects, private};
use crate::hsm::{HsmHash, RsaSize, SignatureScheme, WrappedPair, check_offered};
use crate::{HsmError, HsmKeyKind};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::Session;

/// Trials of one kind: one more after the session was lost and opened anew, which can have another cause.
const TRIALS_MAX: usize = 2;

/// The base point of P-256 (SEC 2, section 2.4.2). Who agrees with it has the x of the own public key for a secret.
const BASE_POINT: [u8; 65] = [
    0x04, 0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6, 0xE5, 0x63, 0xA4, 0x40,
    0xF2, 0x77, 0x03, 0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4, 0xA1, 0x39, 0x45, 0xD8, 0x98, 0xC2,
    0x96, 0x4F, 0xE3, 0x42, 0xE2, 0xFE, 0x1A, 0x7F, 0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E,
    0x16, 0x2B, 0xCE, 0x33, 0x57, 0x6B, 0x31, 0x5E, 0xCE, 0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51,
    0xF5,
];

/// A modulus to encrypt to. Nobody has its factors.
const MODULUS: [u8; 256] = [
    0xAF, 0xE8, 0x3A, 0x01, 0xE5, 0x41, 0x7F, 0x9F, 0x5A, 0xF9, 0x09, 0x27, 0xBC, 0xE8, 0xD1, 0x87,
    0x0D, 0x61, 0x97, 0x61, 0xD8, 0xF2, 0x06, 0x21, 0xB1, 0xF2, 0x75, 0x26, 0x4C, 0xB1, 0x42, 0x2F,
    0x50, 0x16, 0xFA, 0x8A, 0x0F, 0xB4, 0x73, 0xC8, 0x5D, 0xBD, 0x64, 0xF1, 0x70, 0xDF, 0xB2, 0xCE,
    0x0F, 0xED, 0x67, 0xE1, 0x30, 0x5D, 0x45, 0x41, 0x31, 0x48, 0x70, 0x33, 0xCF, 0x53, 0x0A, 0xA8,
    0x3B, 0x7F, 0xC9, 0x8F, 0x68, 0xF3, 0x0F, 0xCD, 0x22, 0x72, 0x4A, 0x9A, 0x36, 0x72, 0x03, 0xA2,
    0xD4, 0x3E, 0x3E, 0x23, 0x15, 0x09, 0xC8, 0x9E, 0x80, 0x0C, 0x70, 0x03, 0x72, 0x03, 0x8E, 0x2E,
    0x82, 0x22, 0xF1, 0x08, 0xA8, 0xEF, 0x1D, 0x35, 0x7D, 0x87, 0xE0, 0x5C, 0x50, 0xE0, 0x36, 0x07,
    0xA8, 0xB8, 0x01, 0x07, 0x17, 0x82, 0xAF, 0x0F, 0x45, 0xAE, 0x18, 0xF9, 0xC1, 0xB2, 0xA9, 0xB3,
    0x61, 0x0B, 0xA1, 0x4C, 0x33, 0x56, 0x8A, 0x7F, 0xF5, 0x5C, 0x34, 0x66, 0xE8, 0x0E, 0x29, 0x0F,
    0xFB, 0x49, 0x35, 0x8F, 0xBD, 0xF9, 0xB6, 0xA2, 0xA2, 0x6C, 0x0A, 0x1B, 0x91, 0x8E, 0xB1, 0x5A,
    0x5B, 0xBF, 0x4D, 0xD3, 0x82, 0xBA, 0x38, 0xB8, 0x77, 0x00, 0x3B, 0x0B, 0x83, 0x0C, 0x86, 0x74,
    0x7E, 0xFA, 0x3F, 0x01, 0x6D, 0x84, 0x5E, 0x4E, 0x0B, 0x1B, 0xE8, 0xA4, 0x64, 0x42, 0xDD, 0x85,
    0x13, 0x33, 0x74, 0xBA, 0x17, 0x6D, 0x16, 0x84, 0x2A, 0x2A, 0x29, 0x52, 0x47, 0x92, 0xD9, 0xDB,
    0xFD, 0x45, 0x86, 0x94, 0x1B, 0xFB, 0xEA, 0x29, 0xA4, 0x77, 0x4E, 0x2D, 0x70, 0x02, 0x59, 0xDA,
    0x00, 0x76, 0x71, 0xEC, 0xDD, 0x8B, 0xD0, 0xD3, 0x62, 0x4F, 0x36, 0x20, 0xA5, 0xA4, 0x26, 0x56,
    0xC4, 0x8C, 0x04, 0x7E, 0xBB, 0x85, 0xA4, 0x43, 0x44, 0x83, 0xE7, 0x87, 0x54, 0xF7, 0x21, 0xFB,
];

type Named = (MechanismType, &'static str);

/// The kinds of keys that a module offers.
pub(super) struct Offers {
    /// Kinds that are not offered, and the mechanism that they lack.
    lacking: Vec<(HsmKeyKind, &'static str)>,
}

impl Offers {
    /// Reads the list, and tries what is on it.
    pub(super) fn find(link: &Link) -> Result<Self, HsmError> {
        let listed = link.listed()?;
        let mut lacking = Vec::new();
        for kind in HsmKeyKind::ALL {
            if let Some(mechanism) = unlisted(kind, &listed) {
                lacking.push((kind, mechanism));
            } else if let Err(error) = try_kind(link, kind)? {
                let (_, mechanism) = main_mechanism(kind);
                let error = error.to_string();
                tracing::warn!(
                    ?kind,
                    mechanism,
                    error,
                    "the HSM lists a mechanism that does not do what Conclave uses it for: such keys are not offered"
                );
                lacking.push((kind, mechanism));
            }
        }
        Ok(Self { lacking })
    }

    /// The mechanism that a kind lacks; `None` if the kind is offered.
    pub(super) fn lacking(&self, kind: HsmKeyKind) -> Option<&'static str> {
        let found = self.lacking.iter().find(|(lacking, _)| *lacking == kind);
        found.map(|(_, mechanism)| *mechanism)
    }

    /// Whether one of these kinds is offered.
    pub(super) fn check(&self, kinds: &[HsmKeyKind]) -> Result<(), HsmError> {
        check_offered(kinds, |kind| self.lacking(kind))
    }
}

/// The mechanism that makes keys of a kind.
fn generation(kind: HsmKeyKind) -> Named {
    match kind {
        HsmKeyKind::Kek => (MechanismType::AES_KEY_GEN, "CKM_AES_KEY_GEN"),
        HsmKeyKind::Mac | HsmKeyKind::MacSha384 | HsmKeyKind::MacSha512 => (
            MechanismType::GENERIC_SECRET_KEY_GEN,
            "CKM_GENERIC_SECRET_KEY_GEN",
        ),
        HsmKeyKind::Ed25519 => (
            MechanismType::ECC_EDWARDS_KEY_PAIR_GEN,
            "CKM_EC_EDWARDS_KEY_PAIR_GEN",
        ),
        HsmKeyKind::EcdsaP256 | HsmKeyKind::EcdsaP384 | HsmKeyKind::EcdhP256 => {
            (MechanismType::ECC_KEY_PAIR_GEN, "CKM_EC_KEY_PAIR_GEN")
        }
        HsmKeyKind::RsaSign(_) | HsmKeyKind::RsaDecrypt(_) => (
            MechanismType::RSA_PKCS_KEY_PAIR_GEN,
            "CKM_RSA_PKCS_KEY_PAIR_GEN",
        ),
    }
}

/// The mechanism that a kind is there for.
fn main_mechanism(kind: HsmKeyKind) -> Named {
    match kind {
        HsmKeyKind::Kek => (MechanismType::AES_KEY_WRAP_PAD, "CKM_AES_KEY_WRAP_PAD"),
        HsmKeyKind::Mac => (MechanismType::SHA256_HMAC, "CKM_SHA256_HMAC"),
        HsmKeyKind::MacSha384 => (MechanismType::SHA384_HMAC, "CKM_SHA384_HMAC"),
        HsmKeyKind::MacSha512 => (MechanismType::SHA512_HMAC, "CKM_SHA512_HMAC"),
        HsmKeyKind::Ed25519 => (MechanismType::EDDSA, "CKM_EDDSA"),
        HsmKeyKind::EcdsaP256 | HsmKeyKind::EcdsaP384 => (MechanismType::ECDSA, "CKM_ECDSA"),
        HsmKeyKind::EcdhP256 => (MechanismType::ECDH1_DERIVE, "CKM_ECDH1_DERIVE"),
        HsmKeyKind::RsaSign(_) => (MechanismType::RSA_PKCS, "CKM_RSA_PKCS"),
        HsmKeyKind::RsaDecrypt(_) => (MechanismType::RSA_PKCS_OAEP, "CKM_RSA_PKCS_OAEP"),
    }
}

/// The mechanism that a kind needs and the list has not.
fn unlisted(kind: HsmKeyKind, listed: &Listed) -> Option<&'static str> {
    let mut needed = vec![generation(kind), main_mechanism(kind)];
    if let HsmKeyKind::RsaSign(size) | HsmKeyKind::RsaDecrypt(size) = kind {
        if listed.rsa_bits_max < usize::from(size.bits()) {
            return Some(generation(kind).1);
        }
        if let HsmKeyKind::RsaSign(_) = kind {
            needed.push((MechanismType::RSA_PKCS_PSS, "CKM_RSA_PKCS_PSS"));
        }
    }
    let mut missing = needed.iter();
    let missing = missing.find(|(needed, _)| !listed.mechanisms.contains(needed));
    missing.map(|(_, mechanism)| *mechanism)
}

/// Whether a kind works; the outer error is that the module is lost for good.
fn try_kind(link: &Link, kind: HsmKeyKind) -> Result<Result<(), HsmError>, HsmError> {
    let mut tried = Ok(());
    for _ in 0..TRIALS_MAX {
        link.open()?;
        tried = link.call(OWNER, "do what it lists", [], |session, []| {
            prove(session, kind)
        });
        if !matches!(tried, Err(HsmError::Lost { .. })) {
            break;
        }
    }
    link.open()?;
    Ok(tried)
}

fn prove(session: &Session, kind: HsmKeyKind) -> Result<(), Fault> {
    match kind {
        HsmKeyKind::Kek | HsmKeyKind::Mac | HsmKeyKind::RsaSign(_) => Ok(()),
        HsmKeyKind::MacSha384 => prove_mac(session, HsmHash::Sha384),
        HsmKeyKind::MacSha512 => prove_mac(session, HsmHash::Sha512),
        HsmKeyKind::Ed25519 => prove_signature(session, kind, SignatureScheme::Ed25519, &[7; 32]),
        HsmKeyKind::EcdsaP256 => prove_signature(session, kind, SignatureScheme::Ecdsa, &[7; 32]),
        HsmKeyKind::EcdsaP384 => prove_signature(session, kind, SignatureScheme::Ecdsa, &[7; 48]),
        HsmKeyKind::EcdhP256 => prove_agreement(session),
        HsmKeyKind::RsaDecrypt(_) => prove_oaep(session),
    }
}

fn prove_mac(session: &Session, hash: HsmHash) -> Result<(), Fault> {
    let kind = HsmKeyKind::of_mac(hash);
    objects::with_kek(session, |kek| {
        let wrapped = objects::generate_wrapped(session, kek, kind)?;
        let object = objects::unwrap(session, kek.object, &wrapped, kind)?;
        objects::with_temporary(session, object, || {
            objects::hmac(session, Held { object, kind }, hash, b"message").map(|_| ())
        })
    })
}

/// Makes a pair, wraps and unwraps it, and does something with it.
fn with_pair(
    session: &Session,
    kind: HsmKeyKind,
    run: impl FnOnce(Held, &WrappedPair) -> Result<(), Fault>,
) -> Result<(), Fault> {
    objects::with_kek(session, |kek| {
        let pair = private::generate_wrapped(session, kek, kind)?;
        let object = private::unwrap(session, kek.object, &pair.private, kind)?;
        objects::with_temporary(session, object, || run(Held { object, kind }, &pair))
    })
}

fn prove_signature(
    session: &Session,
    kind: HsmKeyKind,
    scheme: SignatureScheme,
    input: &[u8],
) -> Result<(), Fault> {
    with_pair(session, kind, |key, _| {
        private::sign(session, key, scheme, input).map(|_| ())
    })
}

/// That it computes the secret, and that it refuses a point off the curve, which would betray the key bit by bit.
fn prove_agreement(session: &Session) -> Result<(), Fault> {
    let wrong = |what: &str| HsmError::Failed {
        operation: private::DERIVE,
        detail: what.to_owned(),
    };
    with_pair(session, HsmKeyKind::EcdhP256, |key, pair| {
        let shared = private::derive(session, key, &BASE_POINT)?;
        let own = pair.public.last_chunk::<64>();
        let (x, _) = own.expect("it ends with a point").split_at(32);
        if shared[..] != *x {
            return Err(wrong("the secret is another").into());
        }
        let mut off_curve = BASE_POINT;
        off_curve[64] ^= 1;
        match private::derive(session, key, &off_curve) {
            Ok(_) => Err(wrong("it takes a point that is not on the curve").into()),
            Err(_) => Ok(()),
        }
    })
}

/// That OAEP takes SHA-256: encryption stands for decryption, whose key would have to be made first.
fn prove_oaep(session: &Session) -> Result<(), Fault> {
    let public = [
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::RSA),
        Attribute::Token(false),
        Attribute::Encrypt(true),
        Attribute::Modulus(MODULUS.to_vec()),
        Attribute::PublicExponent(RSA_EXPONENT.to_vec()),
    ];
    let public = session.create_object(&public)?;
    objects::with_temporary(session, public, || {
        let ciphertext =
            session.encrypt(&private::oaep(HsmHash::Sha256, &[]), public, b"secret")?;
        let expected = RsaSize::Bits2048.bytes();
        Ok(crate::hsm::check_length(
            "encrypt",
            ciphertext.len(),
            expected,
        )?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(rsa_bits_max: usize) -> Listed {
        let all = HsmKeyKind::ALL.iter();
        let all = all.flat_map(|kind| [generation(*kind).0, main_mechanism(*kind).0]);
        let mut mechanisms: Vec<_> = all.collect();
        mechanisms.push(MechanismType::RSA_PKCS_PSS);
        Listed {
            mechanisms,
            rsa_bits_max,
        }
    }

    #[test]
    fn what_is_listed_is_not_missed() {
        for kind in HsmKeyKind::ALL {
            assert_eq!(unlisted(kind, &listed(4096)), None, "{kind:?}");
        }
    }

    #[test]
    fn what_is_not_listed_is_named() {
        for kind in HsmKeyKind::ALL {
            for (mechanism, name) in [generation(kind), main_mechanism(kind)] {
                let mut short = listed(4096);
                short.mechanisms.retain(|listed| *listed != mechanism);
                assert_eq!(unlisted(kind, &short), Some(name), "{kind:?}");
            }
        }
        let mut short = listed(4096);
        let pss = MechanismType::RSA_PKCS_PSS;
        short.mechanisms.retain(|listed| *listed != pss);
        let signs = HsmKeyKind::RsaSign(RsaSize::Bits2048);
        let decrypts = HsmKeyKind::RsaDecrypt(RsaSize::Bits2048);
        assert_eq!(unlisted(signs, &short), Some("CKM_RSA_PKCS_PSS"));
        assert_eq!(unlisted(decrypts, &short), None);
    }

    #[test]
    fn a_module_has_its_longest_rsa_key() {
        for (size, missing) in [
            (RsaSize::Bits2048, None),
            (RsaSize::Bits3072, None),
            (RsaSize::Bits4096, Some("CKM_RSA_PKCS_KEY_PAIR_GEN")),
        ] {
            for kind in [HsmKeyKind::RsaSign(size), HsmKeyKind::RsaDecrypt(size)] {
                assert_eq!(unlisted(kind, &listed(3072)), missing, "{kind:?}");
            }
        }
    }
}
