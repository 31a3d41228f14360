//! Keys that come from outside: unwrapped inside the module, tried, and wrapped again as those that it made.
//!
//! PKCS#11 has one mechanism for the whole of it (`CKM_RSA_AES_KEY_WRAP`) that few modules have; RSA-OAEP and AES key
//! wrap by themselves do the same in two steps.

use super::error::{Fault, is_refused};
use super::link::Held;
use super::objects::{self, WRAP_BYTES, read_secret, reported_length, template, with_temporary};
use super::private::{self, Form, ulong};
use super::spki::{self, Curve};
use super::{check_wrapped, point};
use crate::hsm::{HsmHash, Imported};
use crate::limits::{KEY_BYTES, WRAPPED_BYTES_MAX};
use crate::{HsmError, HsmKeyKind};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use ring::digest;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

pub(super) const IMPORT: &str = "import a key";
/// What is signed to see whether a key is one.
const TRIAL: &[u8] = b"conclave/1/import-trial";

fn refused() -> Fault {
    HsmError::Refused { operation: IMPORT }.into()
}

/// What a call says of a key that somebody outside has made: its refusal is the key's fault.
fn tried<T>(called: Result<T, cryptoki::error::Error>) -> Result<T, Fault> {
    called.map_err(|error| {
        if is_refused(&error) {
            refused()
        } else {
            error.into()
        }
    })
}

/// Bytes of a wrapped key of this kind, without the AES key in front, at most.
fn wrapped_bytes_max(kind: HsmKeyKind) -> usize {
    private::wrapped_bytes_max(kind).unwrap_or(WRAPPED_BYTES_MAX)
}

/// Unwraps by `transport`, tries, and wraps under `under`.
pub(super) fn import(
    session: &Session,
    (transport, under): (Held, Held),
    wrapped: &[u8],
    kind: HsmKeyKind,
) -> Result<Imported, Fault> {
    let HsmKeyKind::RsaUnwrap(size, hash) = transport.kind else {
        return Err(HsmError::wrong_kind(IMPORT).into());
    };
    let under = under.of(HsmKeyKind::Kek, IMPORT)?;
    let split = wrapped.split_at_checked(size.bytes());
    let (encrypted, wrapped) = split.ok_or_else(refused)?;
    check_wrapped(wrapped, wrapped_bytes_max(kind), IMPORT)?;
    let oaep = private::oaep(hash, &[]);
    let template = transport_template();
    let once = tried(session.unwrap_key(&oaep, transport.object, encrypted, &template))?;
    with_temporary(session, once, || {
        // Modules do not say how long an unwrapped key is, its wrap does.
        let length = tried(session.wrap_key(&Mechanism::AesKeyWrapPad, under, once))?;
        if length.len() != KEY_BYTES + WRAP_BYTES {
            return Err(refused());
        }
        take_in(session, (once, under), wrapped, kind)
    })
}

/// The AES key that is used once. It can leave wrapped, to see its length, and wraps, to see that of what it brings.
fn transport_template() -> Vec<Attribute> {
    let mut template = template(ObjectClass::SECRET_KEY, KeyType::AES, true, true);
    template.extend([
        Attribute::Wrap(true),
        Attribute::Unwrap(true),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
    ]);
    template
}

/// Unwraps a key by an AES key, tries it, and wraps it under another.
pub(super) fn take_in(
    session: &Session,
    (once, under): (ObjectHandle, ObjectHandle),
    wrapped: &[u8],
    kind: HsmKeyKind,
) -> Result<Imported, Fault> {
    if !kind.may_be_imported() {
        return Err(HsmError::wrong_kind(IMPORT).into());
    }
    let pad = Mechanism::AesKeyWrapPad;
    let template = trial_template(kind);
    let key = tried(session.unwrap_key(&pad, once, wrapped, &template))?;
    with_temporary(session, key, || {
        let public = match (private::form(kind), kind.secret_bytes()) {
            (Some(form), _) => Some(public_half(session, key, form)?),
            (None, bytes) => {
                check_secret(session, (once, key), wrapped, bytes.unwrap_or(0))?;
                None
            }
        };
        let wrapped = session.wrap_key(&pad, under, key)?;
        // As every node will load it.
        let loaded = if kind.is_pair() {
            private::unwrap(session, under, &wrapped, kind)?
        } else {
            objects::unwrap(session, under, &wrapped, kind)?
        };
        session.destroy_object(loaded)?;
        Ok(Imported { wrapped, public })
    })
}

/// For a key that is there while it is tried, whatever it is for later.
fn trial_template(kind: HsmKeyKind) -> Vec<Attribute> {
    let Some(form) = private::form(kind) else {
        let class = ObjectClass::SECRET_KEY;
        return template(class, KeyType::GENERIC_SECRET, true, true);
    };
    let mut template = template(ObjectClass::PRIVATE_KEY, form.key_type(), true, true);
    template.extend([
        Attribute::Sign(true),
        Attribute::SignRecover(false),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(matches!(form, Form::Curve(Curve::P256 | Curve::P384))),
    ]);
    template
}

/// That a secret has its length, which not every module tells. Some fill a shorter one up with zero bytes when they wrap
/// it; wrapped by the same key it is then another than the one that came.
fn check_secret(
    session: &Session,
    (once, key): (ObjectHandle, ObjectHandle),
    wrapped: &[u8],
    bytes: usize,
) -> Result<(), Fault> {
    let again = tried(session.wrap_key(&Mechanism::AesKeyWrapPad, once, key))?;
    let has_length = wrapped.len() == bytes + WRAP_BYTES
        && again == wrapped
        && reported_length(session, key).is_none_or(|length| length == bytes);
    if has_length { Ok(()) } else { Err(refused()) }
}

/// The public half of a private key, found by what it does.
fn public_half(session: &Session, key: ObjectHandle, form: Form) -> Result<Vec<u8>, Fault> {
    if !private::is_of_form(session, key, form)? {
        return Err(refused());
    }
    match form {
        Form::Rsa(bits) => rsa_public(session, key, bits),
        Form::Curve(Curve::Ed25519) => ed25519_public(session, key),
        Form::Curve(curve) => curve_public(session, key, curve),
    }
}

fn rsa_public(session: &Session, key: ObjectHandle, bits: u16) -> Result<Vec<u8>, Fault> {
    let modulus = private::read(session, key, AttributeType::Modulus)?;
    let modulus = spki::parse_modulus(&modulus, bits).ok_or_else(refused)?;
    if !spki::is_rsa_exponent(&private::read(session, key, AttributeType::PublicExponent)?) {
        return Err(refused());
    }
    let digest = digest::digest(&digest::SHA256, TRIAL);
    let info = [private::digest_info(HsmHash::Sha256), digest.as_ref()].concat();
    let made = tried(session.sign(&Mechanism::RsaPkcs, key, &info))?;
    let public = RsaPublicKeyComponents {
        n: modulus,
        e: &spki::RSA_EXPONENT[..],
    };
    let verified = public.verify(&signature::RSA_PKCS1_2048_8192_SHA256, TRIAL, &made);
    verified.map_err(|_| refused())?;
    Ok(spki::of_modulus(modulus))
}

/// A module that does not tell the point has no other way to it.
fn ed25519_public(session: &Session, key: ObjectHandle) -> Result<Vec<u8>, Fault> {
    let told = private::read(session, key, AttributeType::EcPoint)?;
    let point = spki::parse_point(Curve::Ed25519, &told);
    let mechanism = "CKA_EC_POINT of a private Edwards key";
    let point = point.ok_or(HsmError::Unsupported { mechanism })?;
    let eddsa = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
    let made = tried(session.sign(&eddsa, key, TRIAL))?;
    let public = UnparsedPublicKey::new(&signature::ED25519, point);
    public.verify(TRIAL, &made).map_err(|_| refused())?;
    Ok(spki::of_point(Curve::Ed25519, point))
}

/// Agreement with the base point tells the x of the public key, and a signature which of the two that have it.
fn curve_public(session: &Session, key: ObjectHandle, curve: Curve) -> Result<Vec<u8>, Fault> {
    let base = point::base(curve).ok_or_else(refused)?;
    let (hash, verification): (_, &dyn VerificationAlgorithm) = match curve {
        Curve::P384 => (&digest::SHA384, &signature::ECDSA_P384_SHA384_FIXED),
        Curve::P256 | Curve::Ed25519 => (&digest::SHA256, &signature::ECDSA_P256_SHA256_FIXED),
    };
    let x = agree(session, key, &base, curve.coordinate_bytes())?;
    let digest = digest::digest(hash, TRIAL);
    let made = tried(session.sign(&Mechanism::Ecdsa, key, digest.as_ref()))?;
    let points = point::with_x(curve, &x).ok_or_else(refused)?;
    let is_own = |point: &&Vec<u8>| {
        let public = UnparsedPublicKey::new(verification, point);
        public.verify(TRIAL, &made).is_ok()
    };
    let own = points.iter().find(is_own).ok_or_else(refused)?;
    Ok(spki::of_point(curve, own))
}

fn agree(
    session: &Session,
    key: ObjectHandle,
    with: &[u8],
    bytes: usize,
) -> Result<Vec<u8>, Fault> {
    let class = ObjectClass::SECRET_KEY;
    let mut template = template(class, KeyType::GENERIC_SECRET, false, true);
    template.push(Attribute::ValueLen(ulong(bytes)));
    let params = Ecdh1DeriveParams::new(EcKdf::null(), with);
    let x = tried(session.derive_key(&Mechanism::Ecdh1Derive(params), key, &template))?;
    with_temporary(session, x, || {
        let x = read_secret(session, x)?.to_vec();
        if x.len() == bytes {
            Ok(x)
        } else {
            Err(refused())
        }
    })
}
