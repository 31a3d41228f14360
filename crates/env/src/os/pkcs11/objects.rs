//! What is done with secret keys in one session. Each function leaves no temporary object behind.

use super::error::Fault;
use super::link::Held;
use super::{Import, Residency, private};
use crate::hsm::{HsmHash, OaepHash, check_length};
use crate::{HsmError, HsmKeyKind};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::{Zeroize, Zeroizing};

/// Marks the root key on the token, whatever its label.
const ROOT_ID: &[u8] = b"conclave-root";
/// What RFC 5649 adds to whole blocks, in bytes.
pub(super) const WRAP_BYTES: usize = 8;
const RSA_BITS: cryptoki::types::Ulong = cryptoki::types::Ulong::new(3072);

pub(super) fn random(session: &Session, length: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    session.generate_random_slice(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn hmac(
    session: &Session,
    key: Held,
    hash: HsmHash,
    message: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let operation = "compute an HMAC";
    let key = key.of(HsmKeyKind::of_mac(hash), operation)?;
    let mechanism = match hash {
        HsmHash::Sha256 => Mechanism::Sha256Hmac,
        HsmHash::Sha384 => Mechanism::Sha384Hmac,
        HsmHash::Sha512 => Mechanism::Sha512Hmac,
    };
    let tag = Zeroizing::new(session.sign(&mechanism, key, message)?);
    check_length(operation, tag.len(), hash.bytes())?;
    Ok(tag)
}

/// Type and length in bytes of a secret key.
fn form(kind: HsmKeyKind, operation: &'static str) -> Result<(KeyType, usize), HsmError> {
    let bytes = kind.secret_bytes();
    let bytes = bytes.ok_or_else(|| HsmError::wrong_kind(operation))?;
    if kind == HsmKeyKind::Kek {
        Ok((KeyType::AES, bytes))
    } else {
        Ok((KeyType::GENERIC_SECRET, bytes))
    }
}

/// A key of the session: what every template begins with.
pub(super) fn template(
    class: ObjectClass,
    key_type: KeyType,
    is_sensitive: bool,
    is_extractable: bool,
) -> Vec<Attribute> {
    vec![
        Attribute::Class(class),
        Attribute::KeyType(key_type),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(is_sensitive),
        Attribute::Extractable(is_extractable),
    ]
}

/// A generic secret of the session that is there for one moment only.
fn temporary_template(is_sensitive: bool) -> Vec<Attribute> {
    let class = ObjectClass::SECRET_KEY;
    template(class, KeyType::GENERIC_SECRET, is_sensitive, true)
}

/// A key to be used: it never leaves, and does one thing.
fn used_template(kind: HsmKeyKind, key_type: KeyType) -> Vec<Attribute> {
    let mut template = template(ObjectClass::SECRET_KEY, key_type, true, false);
    if kind == HsmKeyKind::Kek {
        template.extend([
            Attribute::Wrap(true),
            Attribute::Unwrap(true),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
        ]);
    } else {
        template.extend([Attribute::Sign(true), Attribute::Verify(false)]);
    }
    template
}

/// Runs something on a temporary object, and destroys the object whatever comes of it.
pub(super) fn with_temporary<T>(
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

/// Generates a key by a template, which must not say what follows from the mechanism: some modules refuse that.
fn generate(
    session: &Session,
    (key_type, bytes): (KeyType, usize),
    mut template: Vec<Attribute>,
) -> Result<ObjectHandle, Fault> {
    let mechanism = if key_type == KeyType::AES {
        Mechanism::AesKeyGen
    } else {
        Mechanism::GenericSecretKeyGen
    };
    template.retain(|attribute| !matches!(attribute, Attribute::Class(_) | Attribute::KeyType(_)));
    let length = u64::try_from(bytes).expect("a length fits 64 bits");
    template.push(Attribute::ValueLen(length.into()));
    Ok(session.generate_key(&mechanism, &template)?)
}

pub(super) fn generate_wrapped(
    session: &Session,
    under: Held,
    kind: HsmKeyKind,
) -> Result<Vec<u8>, Fault> {
    let operation = "generate a key";
    let under = under.of(HsmKeyKind::Kek, operation)?;
    let form = form(kind, operation)?;
    let template = template(ObjectClass::SECRET_KEY, form.0, true, true);
    let key = generate(session, form, template)?;
    with_temporary(session, key, || {
        Ok(session.wrap_key(&Mechanism::AesKeyWrapPad, under, key)?)
    })
}

/// A KEK that lives as long as `run` and never leaves.
pub(super) fn with_kek<T>(
    session: &Session,
    run: impl FnOnce(Held) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let kind = HsmKeyKind::Kek;
    let form = form(kind, "generate a key")?;
    let object = generate(session, form, used_template(kind, form.0))?;
    with_temporary(session, object, || run(Held { object, kind }))
}

/// Unwraps a secret key to be used.
pub(super) fn unwrap(
    session: &Session,
    under: ObjectHandle,
    wrapped: &[u8],
    kind: HsmKeyKind,
) -> Result<ObjectHandle, Fault> {
    let operation = "unwrap a key";
    let (key_type, bytes) = form(kind, operation)?;
    let refused = || HsmError::Refused { operation };
    if wrapped.len() != bytes + WRAP_BYTES {
        return Err(refused().into());
    }
    let template = used_template(kind, key_type);
    let key = session.unwrap_key(&Mechanism::AesKeyWrapPad, under, wrapped, &template)?;
    if reported_length(session, key).is_none_or(|length| length == bytes) {
        return Ok(key);
    }
    session.destroy_object(key)?;
    Err(refused().into())
}

/// The length of a key in bytes. Not all modules know it of an unwrapped one; then its wrap's length must do.
pub(super) fn reported_length(session: &Session, key: ObjectHandle) -> Option<usize> {
    let lengths = session
        .get_attributes(key, &[AttributeType::ValueLen])
        .ok()?;
    let Some(Attribute::ValueLen(length)) = lengths.first() else {
        return None;
    };
    let length = usize::try_from(u64::from(*length)).ok();
    length.filter(|length| *length > 0)
}

pub(super) fn wrap_secret(session: &Session, under: Held, secret: &[u8]) -> Result<Vec<u8>, Fault> {
    let under = under.of(HsmKeyKind::Kek, "wrap a secret")?;
    let key = create(session, temporary_template(true), secret)?;
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
    under: Held,
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let under = under.of(HsmKeyKind::Kek, "unwrap a secret")?;
    let template = temporary_template(false);
    let key = session.unwrap_key(&Mechanism::AesKeyWrapPad, under, wrapped, &template)?;
    with_temporary(session, key, || read_secret(session, key))
}

/// The bytes of a secret that may leave.
pub(super) fn read_secret(
    session: &Session,
    key: ObjectHandle,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
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
    let mut template = used_template(HsmKeyKind::Kek, KeyType::AES);
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
    // What every module has here.
    let oaep = private::oaep(OaepHash::Sha1, &[]);
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
