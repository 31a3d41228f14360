//! Encryption contexts and labels: small maps of text.

use crate::limits::{PAIRS_BYTES_MAX, PAIRS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Why a map of pairs is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PairsError {
    /// Too many.
    #[error("at most {PAIRS_MAX} pairs are allowed, {actual} were given")]
    Count {
        /// What was given.
        actual: usize,
    },
    /// Too large.
    #[error("the pairs may have {PAIRS_BYTES_MAX} bytes together, {actual} were given")]
    Bytes {
        /// What was given.
        actual: usize,
    },
    /// A pair without a name.
    #[error("a pair has an empty name")]
    EmptyName,
    /// A control character, which has no place in a log.
    #[error("the pair named {name:?} contains a control character")]
    Control {
        /// Of the pair.
        name: String,
    },
}

/// At most 32 pairs of text with at most 8 KiB together, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
pub struct Pairs(BTreeMap<String, String>);

/// What a ciphertext is bound to besides its key: authenticated, not secret, written to the audit
/// log.
pub type EncryptionContext = Pairs;

/// What people say of a key.
pub type Labels = Pairs;

impl Pairs {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`PairsError`] says which one is passed.
    pub fn new(pairs: BTreeMap<String, String>) -> Result<Self, PairsError> {
        if pairs.len() > PAIRS_MAX {
            return Err(PairsError::Count {
                actual: pairs.len(),
            });
        }
        let actual = pairs
            .iter()
            .map(|(k, v)| k.len().saturating_add(v.len()))
            .sum();
        if actual > PAIRS_BYTES_MAX {
            return Err(PairsError::Bytes { actual });
        }
        for (name, value) in &pairs {
            if name.is_empty() {
                return Err(PairsError::EmptyName);
            }
            if name.chars().chain(value.chars()).any(char::is_control) {
                return Err(PairsError::Control {
                    name: name.escape_default().to_string(),
                });
            }
        }
        Ok(Self(pairs))
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// With others set, and some removed.
    ///
    /// # Errors
    /// If there would be too many, or too large ones.
    pub(crate) fn changed(
        &self,
        set: &Self,
        remove: &BTreeSet<String>,
    ) -> Result<Self, PairsError> {
        let mut pairs = self.0.clone();
        pairs.retain(|name, _| !remove.contains(name));
        pairs.extend(set.0.clone());
        Self::new(pairs)
    }

    /// In the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl TryFrom<BTreeMap<String, String>> for Pairs {
    type Error = PairsError;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, PairsError> {
        Self::new(pairs)
    }
}

impl From<Pairs> for BTreeMap<String, String> {
    fn from(pairs: Pairs) -> Self {
        pairs.0
    }
}
