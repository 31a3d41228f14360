//! What a module offers beyond what we need of every module, found out once, when it is opened.
//!
//! The list of mechanisms does not tell whether a mechanism works with our parameters, nor whether its keys can be
//! wrapped (SoftHSM 2.6.1 lists OAEP and has it with SHA-1 only, and wraps no Edwards keys). So whatever is cheap is
//! tried: all but the making of an RSA key, of which the list is believed.

use super::error::Fault;
use super::link::{Held, Link, OWNER};
use super::module::Listed;
use super::{import, labels, objects, private};
use crate::hsm::{HsmHash, OaepHash, RsaSize, SignatureScheme, WrappedPair, check_offered};
use crate::{HsmError, HsmKeyKind};
use cryptoki::mechanism::MechanismType;
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

type Named = (MechanismType, &'static str);

/// The kinds of keys that a module offers.
pub(super) struct Offers {
    /// Kinds that are not offered, and the mechanism that they lack.
    lacking: Vec<(HsmKeyKind, &'static str)>,
    /// Kinds that can come from outside.
    importing: Vec<HsmKeyKind>,
    takes_labels: bool,
}

impl Offers {
    /// Reads the list, and tries what is on it.
    pub(super) fn find(link: &Link) -> Result<Self, HsmError> {
        let listed = link.listed()?;
        let mut lacking = Vec::new();
        for kind in HsmKeyKind::ALL {
            if let Some(mechanism) = unlisted(kind, &listed) {
                lacking.push((kind, mechanism));
            } else if let Err(error) = try_on(link, |session| prove(session, kind))? {
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
        let importing = Vec::new();
        let mut offers = Self {
            lacking,
            importing,
            takes_labels: false,
        };
        if offers.check(&HsmKeyKind::RSA_UNWRAP).is_ok() {
            offers.importing = offers.find_importing(link)?;
        }
        for hash in [OaepHash::Sha256, OaepHash::Sha1] {
            let kind = HsmKeyKind::RsaDecrypt(RsaSize::Bits2048, hash);
            if offers.lacking(kind).is_none() {
                let proved = try_on(link, |session| labels::prove(session, kind, hash))?;
                offers.takes_labels = proved.is_ok();
                break;
            }
        }
        Ok(offers)
    }

    /// Whether labels of RSA-OAEP are looked at.
    pub(super) fn takes_labels(&self) -> bool {
        self.takes_labels
    }

    pub(super) fn check_label(&self, label: &[u8]) -> Result<(), HsmError> {
        let mechanism = "CKM_RSA_PKCS_OAEP with a label";
        if label.is_empty() || self.takes_labels {
            Ok(())
        } else {
            Err(HsmError::Unsupported { mechanism })
        }
    }

    fn find_importing(&self, link: &Link) -> Result<Vec<HsmKeyKind>, HsmError> {
        let mut importing = Vec::new();
        let kinds = HsmKeyKind::ALL.into_iter();
        for kind in kinds.filter(|kind| kind.may_be_imported() && self.lacking(*kind).is_none()) {
            match try_on(link, |session| prove_import(session, kind))? {
                Ok(()) => importing.push(kind),
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(?kind, error, "the HSM takes in no such keys from outside");
                }
            }
        }
        Ok(importing)
    }

    /// Whether keys of a kind can come from outside.
    pub(super) fn imports(&self, kind: HsmKeyKind) -> bool {
        self.importing.contains(&kind)
    }

    /// The same, or why not.
    pub(super) fn check_import(&self, kind: HsmKeyKind) -> Result<(), HsmError> {
        self.check(&HsmKeyKind::RSA_UNWRAP)?;
        if !kind.may_be_imported() {
            return Err(HsmError::wrong_kind(import::IMPORT));
        }
        self.check(&[kind])?;
        let (_, mechanism) = main_mechanism(kind);
        let unsupported = HsmError::Unsupported { mechanism };
        if self.imports(kind) {
            Ok(())
        } else {
            Err(unsupported)
        }
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
        HsmKeyKind::RsaSign(_) | HsmKeyKind::RsaDecrypt(..) | HsmKeyKind::RsaUnwrap(..) => (
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
        HsmKeyKind::RsaDecrypt(..) | HsmKeyKind::RsaUnwrap(..) => {
            (MechanismType::RSA_PKCS_OAEP, "CKM_RSA_PKCS_OAEP")
        }
    }
}

/// The mechanism that a kind needs and the list has not.
fn unlisted(kind: HsmKeyKind, listed: &Listed) -> Option<&'static str> {
    let mut needed = vec![generation(kind), main_mechanism(kind)];
    if let HsmKeyKind::RsaSign(size)
    | HsmKeyKind::RsaDecrypt(size, _)
    | HsmKeyKind::RsaUnwrap(size, _) = kind
    {
        if listed.rsa_bits_max < usize::from(size.bits()) {
            return Some(generation(kind).1);
        }
        if let HsmKeyKind::RsaSign(_) = kind {
            needed.push((MechanismType::RSA_PKCS_PSS, "CKM_RSA_PKCS_PSS"));
        }
    }
    if matches!(kind, HsmKeyKind::RsaUnwrap(..)) && !listed.unwraps_by_oaep {
        return Some(main_mechanism(kind).1);
    }
    let mut missing = needed.iter();
    let missing = missing.find(|(needed, _)| !listed.mechanisms.contains(needed));
    missing.map(|(_, mechanism)| *mechanism)
}

/// Whether something works; the outer error is that the module is lost for good.
fn try_on(
    link: &Link,
    prove: impl Fn(&Session) -> Result<(), Fault>,
) -> Result<Result<(), HsmError>, HsmError> {
    let mut tried = Ok(());
    for _ in 0..TRIALS_MAX {
        link.open()?;
        tried = link.call(OWNER, "do what it lists", [], |session, []| prove(session));
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
        HsmKeyKind::RsaDecrypt(_, hash) | HsmKeyKind::RsaUnwrap(_, hash) => {
            prove_oaep(session, hash)
        }
    }
}

/// That a key which comes wrapped is tried and wrapped again; the making of an RSA key to try it with would take seconds.
fn prove_import(session: &Session, kind: HsmKeyKind) -> Result<(), Fault> {
    if let HsmKeyKind::RsaSign(_) | HsmKeyKind::RsaDecrypt(..) = kind {
        return Ok(());
    }
    objects::with_kek(session, |kek| {
        let wrapped = if kind.is_pair() {
            private::generate_wrapped(session, kek, kind)?.private
        } else {
            objects::generate_wrapped(session, kek, kind)?
        };
        import::take_in(session, (kek.object, kek.object), &wrapped, kind).map(|_| ())
    })
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
pub(super) fn with_pair(
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

/// That OAEP takes the hash: encryption stands for decryption, whose key would have to be made first.
fn prove_oaep(session: &Session, hash: OaepHash) -> Result<(), Fault> {
    labels::encrypt(session, &labels::MODULUS, hash, &[]).map(|_| ())
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
            unwraps_by_oaep: true,
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
        let decrypts = HsmKeyKind::RsaDecrypt(RsaSize::Bits2048, OaepHash::Sha1);
        assert_eq!(unlisted(signs, &short), Some("CKM_RSA_PKCS_PSS"));
        assert_eq!(unlisted(decrypts, &short), None);
    }

    #[test]
    fn oaep_that_only_encrypts_brings_nothing_in() {
        let only = Listed {
            unwraps_by_oaep: false,
            ..listed(4096)
        };
        let (size, hash) = (RsaSize::Bits3072, OaepHash::Sha256);
        let unwraps = unlisted(HsmKeyKind::RsaUnwrap(size, hash), &only);
        assert_eq!(unwraps, Some("CKM_RSA_PKCS_OAEP"));
        assert_eq!(unlisted(HsmKeyKind::RsaDecrypt(size, hash), &only), None);
    }

    #[test]
    fn a_module_has_its_longest_rsa_key() {
        for (size, missing) in [
            (RsaSize::Bits2048, None),
            (RsaSize::Bits3072, None),
            (RsaSize::Bits4096, Some("CKM_RSA_PKCS_KEY_PAIR_GEN")),
        ] {
            let hash = OaepHash::Sha256;
            for kind in [
                HsmKeyKind::RsaSign(size),
                HsmKeyKind::RsaDecrypt(size, hash),
                HsmKeyKind::RsaUnwrap(size, hash),
            ] {
                assert_eq!(unlisted(kind, &listed(3072)), missing, "{kind:?}");
            }
        }
    }
}
