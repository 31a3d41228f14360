//! The two forms of an ECDSA signature, and strict conversion between them.

use super::{EcdsaForm, KeyKind, Scheme};
use crate::error::CryptoError;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// From here on a length takes more than one byte; no signature of P-256 or P-384 is that long.
const LONG_LENGTH: u8 = 0x80;
const DER: CryptoError = CryptoError::SignatureForm { form: "DER" };
const RAW: CryptoError = CryptoError::SignatureForm {
    form: "r and s of the order's length each",
};

/// A signature in DER as r ‖ s. Not checked is whether r and s are below the curve's order:
/// verification does that.
///
/// # Errors
/// [`CryptoError::SignatureForm`] if it is not DER to the letter, or a number is zero, negative or
/// too long; [`CryptoError::OtherScheme`] if `kind` is not ECDSA.
pub fn der_to_raw(kind: KeyKind, der: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let width = width(kind)?;
    let (body, rest) = element(SEQUENCE, der).ok_or(DER)?;
    let (r, numbers) = element(INTEGER, body).ok_or(DER)?;
    let (s, end) = element(INTEGER, numbers).ok_or(DER)?;
    if !rest.is_empty() || !end.is_empty() {
        return Err(DER);
    }
    let mut raw = Vec::with_capacity(width.saturating_mul(2));
    for number in [r, s] {
        let magnitude = magnitude(number).ok_or(DER)?;
        let padding = width.checked_sub(magnitude.len()).ok_or(DER)?;
        raw.extend(std::iter::repeat_n(0, padding));
        raw.extend_from_slice(magnitude);
    }
    Ok(raw)
}

/// A signature r ‖ s as DER.
///
/// # Errors
/// [`CryptoError::SignatureForm`] if it has another length, or a number is zero;
/// [`CryptoError::OtherScheme`] if `kind` is not ECDSA.
pub fn raw_to_der(kind: KeyKind, raw: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let width = width(kind)?;
    let (r, s) = raw.split_at_checked(width).ok_or(RAW)?;
    if s.len() != width {
        return Err(RAW);
    }
    let body = [integer(r).ok_or(RAW)?, integer(s).ok_or(RAW)?].concat();
    framed(SEQUENCE, &body).ok_or(RAW)
}

/// Bytes of the curve's order.
fn width(kind: KeyKind) -> Result<usize, CryptoError> {
    match kind {
        KeyKind::EcdsaP256 => Ok(32),
        KeyKind::EcdsaP384 => Ok(48),
        KeyKind::Ed25519
        | KeyKind::Rsa2048
        | KeyKind::Rsa3072
        | KeyKind::Rsa4096
        | KeyKind::MlDsa65 => Err(Scheme::Ecdsa(EcdsaForm::Der).mismatch(kind)),
    }
}

/// The contents of the element at the front, and what follows it.
fn element(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    match input {
        [first, len, rest @ ..] if *first == tag && *len < LONG_LENGTH => {
            rest.split_at_checked(usize::from(*len))
        }
        _ => None,
    }
}

/// A positive number in the fewest bytes, without the zero that only shows its sign.
fn magnitude(contents: &[u8]) -> Option<&[u8]> {
    match contents {
        [0, second, ..] if *second >= 0x80 => contents.get(1..),
        [1..=0x7f, ..] => Some(contents),
        _ => None,
    }
}

fn integer(number: &[u8]) -> Option<Vec<u8>> {
    let start = number.iter().position(|byte| *byte != 0)?;
    let magnitude = number.get(start..)?;
    let sign = magnitude.first().filter(|first| **first >= 0x80);
    let zero: &[u8] = if sign.is_some() { &[0] } else { &[] };
    framed(INTEGER, &[zero, magnitude].concat())
}

fn framed(tag: u8, contents: &[u8]) -> Option<Vec<u8>> {
    let len = u8::try_from(contents.len())
        .ok()
        .filter(|len| *len < LONG_LENGTH)?;
    Some([&[tag, len], contents].concat())
}
