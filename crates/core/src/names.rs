//! Names as users give them. A name is accepted in its one canonical spelling or refused: nothing
//! is folded, trimmed or normalised, so two names are one identity only if they are equal bytes.

use crate::limits::{KEY_NAME_BYTES_MAX, KEY_NAME_SEGMENTS_MAX, SEGMENT_BYTES_MAX};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// Why a name is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Nothing there, or too much.
    #[error("a {kind} has 1 to {max} bytes, this one has {actual}")]
    Length {
        /// What was to be named.
        kind: &'static str,
        /// The limit in bytes.
        max: usize,
        /// What was given.
        actual: usize,
    },
    /// A character outside the grammar.
    #[error(
        "a {kind} is made of a-z, 0-9, '-', '_' and '.'{slash}, and the character at byte {at} is none of them"
    )]
    Character {
        /// What was to be named.
        kind: &'static str,
        /// Whether `/` may separate segments.
        slash: &'static str,
        /// Offset in bytes.
        at: usize,
    },
    /// A segment that is empty or does not begin with a letter or a digit.
    #[error("each segment of a {kind} begins with a-z or 0-9 and has 1 to {max} bytes")]
    Segment {
        /// What was to be named.
        kind: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// Too few or too many segments.
    #[error("a key name has 2 to {max} segments, as in 'payments/card-pan', this one has {actual}")]
    Segments {
        /// The limit.
        max: usize,
        /// What was given.
        actual: usize,
    },
}

fn check_segment(kind: &'static str, segment: &str) -> Result<(), NameError> {
    let first = segment.as_bytes().first();
    let begins_well = first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if begins_well && segment.len() <= SEGMENT_BYTES_MAX {
        Ok(())
    } else {
        Err(NameError::Segment {
            kind,
            max: SEGMENT_BYTES_MAX,
        })
    }
}

fn check_characters(kind: &'static str, text: &str, slash: bool) -> Result<(), NameError> {
    let allowed = |b: u8| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b) || (slash && b == b'/')
    };
    match text.bytes().position(|b| !allowed(b)) {
        None => Ok(()),
        Some(at) => {
            let slash = if slash {
                ", with '/' between segments"
            } else {
                ""
            };
            Err(NameError::Character { kind, slash, at })
        }
    }
}

fn check_length(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    if (1..=max).contains(&text.len()) {
        Ok(())
    } else {
        Err(NameError::Length {
            kind,
            max,
            actual: text.len(),
        })
    }
}

fn check_key_name(text: &str) -> Result<(), NameError> {
    let kind = "key name";
    check_length(kind, text, KEY_NAME_BYTES_MAX)?;
    check_characters(kind, text, true)?;
    let count = text.split('/').count();
    if !(2..=KEY_NAME_SEGMENTS_MAX).contains(&count) {
        return Err(NameError::Segments {
            max: KEY_NAME_SEGMENTS_MAX,
            actual: count,
        });
    }
    text.split('/')
        .try_for_each(|segment| check_segment(kind, segment))
}

fn check_single(kind: &'static str, text: &str) -> Result<(), NameError> {
    check_length(kind, text, SEGMENT_BYTES_MAX)?;
    check_characters(kind, text, false)?;
    check_segment(kind, text)
}

/// Reads a name where it lies, without a copy of its own.
struct TextVisitor<T>(fn(&str) -> Result<T, NameError>);

impl<T> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts the canonical spelling only.
            ///
            /// # Errors
            /// [`NameError`] says which rule of the grammar is broken.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text).map(|()| Self(text.into()))
            }

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(TextVisitor(Self::new))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A key's name: 2 to 8 segments of `[a-z0-9][a-z0-9._-]{0,62}` with `/` between them, 255
    /// bytes at most. The first segment is its keyring.
    KeyName,
    check_key_name
);
name!(
    /// A keyring: one segment, `[a-z0-9][a-z0-9._-]{0,62}`.
    KeyringName,
    |text| check_single("keyring name", text)
);
name!(
    /// A principal: one segment, `[a-z0-9][a-z0-9._-]{0,62}`.
    PrincipalName,
    |text| check_single("principal name", text)
);
name!(
    /// A custodian: one segment, `[a-z0-9][a-z0-9._-]{0,62}`.
    CustodianName,
    |text| check_single("custodian name", text)
);

// Names are ordered and compared as their text is, so that maps of them are searched by text.
impl Borrow<str> for KeyName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl KeyName {
    /// The first segment.
    pub fn keyring(&self) -> KeyringName {
        KeyringName(self.0.split('/').next().unwrap_or_default().into())
    }
}
