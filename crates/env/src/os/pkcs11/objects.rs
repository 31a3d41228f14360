//! What is done with objects in one session. Each function leaves no temporary object behind.

use super::error::Fault;
use super::{Import, Residency};
use crate::limits::KEY_BYTES;
use crate::{HsmError, HsmKeyKind};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::{Zeroize, Zeroizing};

/// Marks the root key on the token, whatever its label.
const ROOT_ID: &[u8] = b"conclave-root";
/// A wrapped key of 256 bits: RFC 5649 adds one block of eight bytes.
const WRAPPED_KEY_BYTES: usize = KEY_BYTES + 8;
const RSA_BITS: cryptoki::types::Ulong = cryptoki::types::Ulong::new(3072);

pub(super) fn random(session: &Session, length: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    session.generate_random_slice(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn hmac(
    session: &Session,
    key: ObjectHandle,
    message: &[u8],
) -> Result<Zeroizing<[u8; 32]>, Fault> {
    let tag = Zeroizing::new(session.sign(&Mechanism::Sha256Hmac, key, message)?);
    let tag = <[u8; 32]>::try_from(&tag[..]).map_err(|_| HsmError::Failed {
        operation: "compute an HMAC",
        detail: format!("{} bytes came, not 32", tag.len()),
    })?;
    Ok(Zeroizing::new(tag))
}

fn key_type(kind: HsmKeyKind) -> KeyType {
    match kind {
        HsmKeyKind::Kek => KeyType::AES,
        HsmKeyKind::Mac => KeyType::GENERIC_SECRET,
    }
}

/// A secret key of the session: what every template begins with.
fn template(key_type: KeyType, is_sensitive: bool, is_extractable: bool) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(key_type),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(is_sensitive),
        Attribute::Extractable(is_extractable),
    ]
}

/// A key to be used: it never leaves, and does one thing.
fn used_template(kind: HsmKeyKind) -> Vec<Attribute> {
    let mut template = template(key_type(kind), true, false);
    match kind {
        HsmKeyKind::Kek => template.extend([
            Attribute::Wrap(true),
            Attribute::Unwrap(true),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
        ]),
        HsmKeyKind::Mac => template.extend([Attribute::Sign(true), Attribute::Verify(false)]),
    }
    template
}

/// Runs something on a temporary object, and destroys the object whatever comes of it.
fn with_temporary<T>(
    session: &Session,
    object: ObjectHandle,
    run: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let result = run();
    let destroyed = session.destroy_object(object);
    let value = result?;
    destroyed?;
    Ok(value)
}

pub(super) fn generate_wrapped(
    session: &Session,
    under: ObjectHandle,
    kind: HsmKeyKind,
) -> Result<Vec<u8>, Fault> {
    let mechanism = match kind {
        HsmKeyKind::Kek => Mechanism::AesKeyGen,
        HsmKeyKind::Mac => Mechanism::GenericSecretKeyGen,
    };
    let mut template = template(key_type(kind), true, true);
    // The class follows from the mechanism, and some modules want it nowhere else.
    template.retain(|attribute| !matches!(attribute, Attribute::Class(_) | Attribute::KeyType(_)));
    let length = u64::try_from(KEY_BYTES).expect("a length fits 64 bits");
    template.push(Attribute::ValueLen(length.into()));
    let key = session.generate_key(&mechanism, &template)?;
    with_temporary(session, key, || {
        Ok(session.wrap_key(&Mechanism::AesKeyWrapPad, under, key)?)
    })
}

/// Unwraps a key of 256 bits to be used.
pub(super) fn unwrap(
    session: &Session,
    under: ObjectHandle,
    wrapped: &[u8],
    kind: HsmKeyKind,
) -> Result<ObjectHandle, Fault> {
    let refused = || HsmError::Refused {
        operation: "unwrap a key",
    };
    if wrapped.len() != WRAPPED_KEY_BYTES {
        return Err(refused().into());
    }
    let mechanism = Mechanism::AesKeyWrapPad;
    let key = session.unwrap_key(&mechanism, under, wrapped, &used_template(kind))?;
    if reported_length(session, key).is_none_or(|length| length == KEY_BYTES) {
        return Ok(key);
    }
    session.destroy_object(key)?;
    Err(refused().into())
}

/// The length of a key in bytes. Not all modules know it of an unwrapped one; then its wrap's length must do.
fn reported_length(session: &Session, key: ObjectHandle) -> Option<usize> {
    let lengths = session
        .get_attributes(key, &[AttributeType::ValueLen])
        .ok()?;
    let Some(Attribute::ValueLen(length)) = lengths.first() else {
        return None;
    };
    let length = usize::try_from(u64::from(*length)).ok();
    length.filter(|length| *length > 0)
}

pub(super) fn wrap_secret(
    session: &Session,
    under: ObjectHandle,
    secret: &[u8],
) -> Result<Vec<u8>, Fault> {
    let temporary = template(KeyType::GENERIC_SECRET, true, true);
    let key = create(session, temporary, secret)?;
    with_temporary(session, key, || {
        Ok(session.wrap_key(&Mechanism::AesKeyWrapPad, under, key)?)
    })
}

/// Creates an object from bytes in clear, and wipes the copy of them that the template needs.
fn create(
    session: &Session,
    mut template: Vec<Attribute>,
    secret: &[u8],
) -> Result<ObjectHandle, Fault> {
    template.push(Attribute::Value(secret.to_vec()));
    let created = session.create_object(&template);
    if let Some(Attribute::Value(mut copy)) = template.pop() {
        copy.zeroize();
    }
    Ok(created?)
}

pub(super) fn unwrap_secret(
    session: &Session,
    under: ObjectHandle,
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let template = template(KeyType::GENERIC_SECRET, false, true);
    let key = session.unwrap_key(&Mechanism::AesKeyWrapPad, under, wrapped, &template)?;
    with_temporary(session, key, || {
        let mut values = session.get_attributes(key, &[AttributeType::Value])?;
        if let Some(Attribute::Value(value)) = values.pop() {
            return Ok(Zeroizing::new(value));
        }
        let detail = "the module gives no value".to_owned();
        Err(HsmError::Failed {
            operation: "read a secret",
            detail,
        }
        .into())
    })
}

/// Puts the root key in; with token residency it replaces those of the same label.
pub(super) fn import_root(
    session: &Session,
    label: &str,
    root: &[u8; 32],
    residency: Residency,
    import: Import,
) -> Result<ObjectHandle, Fault> {
    let replaced = match residency {
        Residency::Session => Vec::new(),
        Residency::Token => find_roots(session, Some(label))?,
    };
    let mut template = used_template(HsmKeyKind::Kek);
    template.retain(|attribute| !matches!(attribute, Attribute::Token(_)));
    template.push(Attribute::Token(residency == Residency::Token));
    template.push(Attribute::Label(label.as_bytes().to_vec()));
    template.push(Attribute::Id(ROOT_ID.to_vec()));
    let key = match import {
        Import::CreateObject => create(session, template, root)?,
        Import::UnwrapRsa => unwrap_by_rsa(session, &template, root)?,
    };
    for old in replaced {
        session.destroy_object(old)?;
    }
    Ok(key)
}

fn unwrap_by_rsa(
    session: &Session,
    template: &[Attribute],
    root: &[u8; 32],
) -> Result<ObjectHandle, Fault> {
    let public = [
        Attribute::Token(false),
        Attribute::Encrypt(true),
        Attribute::ModulusBits(RSA_BITS),
        Attribute::PublicExponent(vec![1, 0, 1]),
    ];
    let private = [
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Unwrap(true),
    ];
    let (public, private) =
        session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private)?;
    // SHA-1 is what every module has here, and OAEP does not rest on its collision resistance.
    let oaep = Mechanism::RsaPkcsOaep(PkcsOaepParams::new(
        MechanismType::SHA1,
        PkcsMgfType::MGF1_SHA1,
        PkcsOaepSource::empty(),
    ));
    with_temporary(session, public, || {
        with_temporary(session, private, || {
            let wrapped = session.encrypt(&oaep, public, root)?;
            Ok(session.unwrap_key(&oaep, private, &wrapped, template)?)
        })
    })
}

/// The root keys on the token, of one label or of all.
pub(super) fn find_roots(
    session: &Session,
    label: Option<&str>,
) -> Result<Vec<ObjectHandle>, Fault> {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Id(ROOT_ID.to_vec()),
    ];
    template.extend(label.map(|label| Attribute::Label(label.as_bytes().to_vec())));
    Ok(session.find_objects(&template)?)
}

/// Whether the module still knows the object.
pub(super) fn touch(session: &Session, object: ObjectHandle) -> Result<(), Fault> {
    session.get_attributes(object, &[AttributeType::KeyType])?;
    Ok(())
}
