//! What is done with private keys in one session. Each function leaves no temporary object behind.

use super::error::Fault;
use super::link::Held;
use super::objects::{read_secret, template, with_temporary};
use super::spki::{self, Curve};
use crate::hsm::{HsmHash, OaepHash, SignatureScheme, WrappedPair, check_length};
use crate::{HsmError, HsmKeyKind};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use zeroize::Zeroizing;

pub(super) const GENERATE: &str = "generate a pair of keys";
pub(super) const SIGN: &str = "sign";
pub(super) const DECRYPT: &str = "decrypt";
pub(super) const DERIVE: &str = "agree on a secret";

/// Length of an uncompressed point on P-256, in bytes.
const POINT_BYTES: usize = 65;
const SHARED_BYTES: usize = 32;

/// What a private key is made of.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Curve(Curve),
    /// Of so many bits.
    Rsa(u16),
}

/// The form of a private key; `None` for secret keys.
pub(super) fn form(kind: HsmKeyKind) -> Option<Form> {
    match kind {
        HsmKeyKind::Kek | HsmKeyKind::Mac | HsmKeyKind::MacSha384 | HsmKeyKind::MacSha512 => None,
        HsmKeyKind::Ed25519 => Some(Form::Curve(Curve::Ed25519)),
        HsmKeyKind::EcdsaP256 | HsmKeyKind::EcdhP256 => Some(Form::Curve(Curve::P256)),
        HsmKeyKind::EcdsaP384 => Some(Form::Curve(Curve::P384)),
        HsmKeyKind::RsaSign(size)
        | HsmKeyKind::RsaDecrypt(size, _)
        | HsmKeyKind::RsaUnwrap(size, _) => Some(Form::Rsa(size.bits())),
    }
}

impl Form {
    pub(super) fn key_type(self) -> KeyType {
        match self {
            Self::Curve(Curve::Ed25519) => KeyType::EC_EDWARDS,
            Self::Curve(Curve::P256 | Curve::P384) => KeyType::EC,
            Self::Rsa(_) => KeyType::RSA,
        }
    }

    fn generation(self) -> Mechanism<'static> {
        match self {
            Self::Curve(Curve::Ed25519) => Mechanism::EccEdwardsKeyPairGen,
            Self::Curve(Curve::P256 | Curve::P384) => Mechanism::EccKeyPairGen,
            Self::Rsa(_) => Mechanism::RsaPkcsKeyPairGen,
        }
    }

    /// What the public key's template says of it.
    fn parameters(self) -> Vec<Attribute> {
        match self {
            Self::Curve(curve) => vec![Attribute::EcParams(curve.oid().to_vec())],
            Self::Rsa(bits) => vec![
                Attribute::ModulusBits(ulong(usize::from(bits))),
                Attribute::PublicExponent(spki::RSA_EXPONENT.to_vec()),
            ],
        }
    }

    /// At most so long is a wrap: PKCS#8 with all that may be in it, which for RSA is nine halves of the modulus.
    pub(super) const fn wrapped_bytes_max(self) -> usize {
        match self {
            Self::Curve(_) => 256,
            Self::Rsa(bits) => bits as usize / 8 * 5,
        }
    }
}

/// The longest wrap of a private key of this kind, in bytes.
pub(super) fn wrapped_bytes_max(kind: HsmKeyKind) -> Option<usize> {
    form(kind).map(Form::wrapped_bytes_max)
}

pub(super) fn ulong(length: usize) -> Ulong {
    u64::try_from(length).expect("a length fits 64 bits").into()
}

/// The one use of a private key; all others are denied by name, because modules' defaults allow them.
fn usage(kind: HsmKeyKind) -> [Attribute; 5] {
    let (decrypts, unwraps, derives) = match kind {
        HsmKeyKind::RsaDecrypt(..) => (true, false, false),
        HsmKeyKind::RsaUnwrap(..) => (false, true, false),
        HsmKeyKind::EcdhP256 => (false, false, true),
        HsmKeyKind::Kek
        | HsmKeyKind::Mac
        | HsmKeyKind::MacSha384
        | HsmKeyKind::MacSha512
        | HsmKeyKind::Ed25519
        | HsmKeyKind::EcdsaP256
        | HsmKeyKind::EcdsaP384
        | HsmKeyKind::RsaSign(_) => (false, false, false),
    };
    [
        Attribute::Sign(!decrypts && !unwraps && !derives),
        Attribute::SignRecover(false),
        Attribute::Decrypt(decrypts),
        Attribute::Unwrap(unwraps),
        Attribute::Derive(derives),
    ]
}

fn private_template(kind: HsmKeyKind, form: Form, is_extractable: bool) -> Vec<Attribute> {
    let class = ObjectClass::PRIVATE_KEY;
    let mut template = template(class, form.key_type(), true, is_extractable);
    template.extend(usage(kind));
    template
}

pub(super) fn generate_wrapped(
    session: &Session,
    under: Held,
    kind: HsmKeyKind,
) -> Result<WrappedPair, Fault> {
    let under = under.of(HsmKeyKind::Kek, GENERATE)?;
    let form = form(kind).ok_or_else(|| HsmError::wrong_kind(GENERATE))?;
    let mut public = vec![Attribute::Token(false), Attribute::Private(false)];
    public.extend(form.parameters());
    let mut private = private_template(kind, form, true);
    // The class follows from the mechanism, and some modules want it nowhere else.
    private.retain(|attribute| !matches!(attribute, Attribute::Class(_) | Attribute::KeyType(_)));
    let (public, private) = session.generate_key_pair(&form.generation(), &public, &private)?;
    with_temporary(session, public, || {
        with_temporary(session, private, || {
            Ok(WrappedPair {
                private: session.wrap_key(&Mechanism::AesKeyWrapPad, under, private)?,
                public: read_public(session, public, form)?,
            })
        })
    })
}

fn read_public(session: &Session, public: ObjectHandle, form: Form) -> Result<Vec<u8>, Fault> {
    let info = match form {
        Form::Curve(curve) => {
            let point = read(session, public, AttributeType::EcPoint)?;
            spki::parse_point(curve, &point).map(|point| spki::of_point(curve, point))
        }
        Form::Rsa(bits) => {
            let modulus = read(session, public, AttributeType::Modulus)?;
            let exponent = read(session, public, AttributeType::PublicExponent)?;
            spki::parse_modulus(&modulus, bits)
                .filter(|_| spki::is_rsa_exponent(&exponent))
                .map(spki::of_modulus)
        }
    };
    let unusual = || HsmError::Failed {
        operation: GENERATE,
        detail: "the public key has not the form that was asked for".to_owned(),
    };
    Ok(info.ok_or_else(unusual)?)
}

/// The bytes of a public attribute; none if the module has none.
pub(super) fn read(
    session: &Session,
    object: ObjectHandle,
    attribute: AttributeType,
) -> Result<Vec<u8>, Fault> {
    match session.get_attributes(object, &[attribute])?.pop() {
        Some(
            Attribute::EcPoint(bytes)
            | Attribute::EcParams(bytes)
            | Attribute::Modulus(bytes)
            | Attribute::PublicExponent(bytes),
        ) => Ok(bytes),
        _ => Ok(Vec::new()),
    }
}

/// Unwraps a private key to be used.
pub(super) fn unwrap(
    session: &Session,
    under: ObjectHandle,
    wrapped: &[u8],
    kind: HsmKeyKind,
) -> Result<ObjectHandle, Fault> {
    let operation = "unwrap a key";
    let form = form(kind).ok_or_else(|| HsmError::wrong_kind(operation))?;
    let template = private_template(kind, form, false);
    let key = session.unwrap_key(&Mechanism::AesKeyWrapPad, under, wrapped, &template)?;
    let is_of_form = is_of_form(session, key, form);
    if let Ok(true) = is_of_form {
        return Ok(key);
    }
    session.destroy_object(key)?;
    is_of_form?;
    Err(HsmError::Refused { operation }.into())
}

/// What a template says of the type, the module has compared; not so the curve and the length.
pub(super) fn is_of_form(session: &Session, key: ObjectHandle, form: Form) -> Result<bool, Fault> {
    match form {
        Form::Curve(curve) => {
            read(session, key, AttributeType::EcParams).map(|params| curve.is(&params))
        }
        Form::Rsa(bits) => read(session, key, AttributeType::Modulus)
            .map(|modulus| spki::parse_modulus(&modulus, bits).is_some()),
    }
}

pub(super) fn sign(
    session: &Session,
    key: Held,
    scheme: SignatureScheme,
    input: &[u8],
) -> Result<Vec<u8>, Fault> {
    key.kind.check_input(scheme, input, SIGN)?;
    let signature = match scheme {
        SignatureScheme::Ed25519 => {
            let eddsa = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
            session.sign(&eddsa, key.object, input)?
        }
        SignatureScheme::Ecdsa => session.sign(&Mechanism::Ecdsa, key.object, input)?,
        SignatureScheme::RsaPkcs1(hash) => {
            let info = [digest_info(hash), input].concat();
            session.sign(&Mechanism::RsaPkcs, key.object, &info)?
        }
        SignatureScheme::RsaPss(hash) => {
            let (hash_alg, mgf) = hash_mechanisms(hash);
            let params = PkcsPssParams {
                hash_alg,
                mgf,
                s_len: ulong(hash.bytes()),
            };
            session.sign(&Mechanism::RsaPkcsPss(params), key.object, input)?
        }
    };
    let expected = match form(key.kind) {
        Some(Form::Curve(curve)) => 2 * curve.coordinate_bytes(),
        Some(Form::Rsa(bits)) => usize::from(bits) / 8,
        None => 0,
    };
    check_length(SIGN, signature.len(), expected)?;
    Ok(signature)
}

/// What stands before a digest in a DER `DigestInfo` (RFC 8017, section 9.2, note 1).
pub(super) fn digest_info(hash: HsmHash) -> &'static [u8] {
    match hash {
        HsmHash::Sha256 => {
            b"\x30\x31\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
        }
        HsmHash::Sha384 => {
            b"\x30\x41\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
        }
        HsmHash::Sha512 => {
            b"\x30\x51\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
        }
    }
}

fn hash_mechanisms(hash: HsmHash) -> (MechanismType, PkcsMgfType) {
    match hash {
        HsmHash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        HsmHash::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        HsmHash::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
    }
}

pub(super) fn oaep(hash: OaepHash, label: &[u8]) -> Mechanism<'_> {
    let (hash, mgf) = match hash {
        OaepHash::Sha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
        OaepHash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
    };
    // Some modules want no pointer at all to a label of no bytes.
    let source = if label.is_empty() {
        PkcsOaepSource::empty()
    } else {
        PkcsOaepSource::data_specified(label)
    };
    Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mgf, source))
}

pub(super) fn decrypt(
    session: &Session,
    key: Held,
    label: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let HsmKeyKind::RsaDecrypt(size, hash) = key.kind else {
        return Err(HsmError::wrong_kind(DECRYPT).into());
    };
    if ciphertext.len() != size.bytes() {
        return Err(HsmError::Refused { operation: DECRYPT }.into());
    }
    let plaintext = session.decrypt(&oaep(hash, label), key.object, ciphertext)?;
    Ok(Zeroizing::new(plaintext))
}

/// Whether it has the form of an uncompressed point; whether it is on the curve, the module tells.
pub(super) fn check_point(peer: &[u8]) -> Result<[u8; POINT_BYTES], HsmError> {
    let point = peer
        .try_into()
        .ok()
        .filter(|point: &[u8; POINT_BYTES]| point[0] == 4);
    point.ok_or(HsmError::Refused { operation: DERIVE })
}

pub(super) fn derive(
    session: &Session,
    key: Held,
    peer: &[u8; POINT_BYTES],
) -> Result<Zeroizing<[u8; SHARED_BYTES]>, Fault> {
    let key = key.of(HsmKeyKind::EcdhP256, DERIVE)?;
    let class = ObjectClass::SECRET_KEY;
    let mut template = template(class, KeyType::GENERIC_SECRET, false, true);
    template.push(Attribute::ValueLen(ulong(SHARED_BYTES)));
    let params = Ecdh1DeriveParams::new(EcKdf::null(), peer);
    let secret = session.derive_key(&Mechanism::Ecdh1Derive(params), key, &template)?;
    with_temporary(session, secret, || {
        let value = read_secret(session, secret)?;
        check_length(DERIVE, value.len(), SHARED_BYTES)?;
        let mut shared = Zeroizing::new([0; SHARED_BYTES]);
        shared.copy_from_slice(&value);
        Ok(shared)
    })
}
