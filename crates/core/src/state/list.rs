//! Keys, page by page: those that a caller may see, that begin with a prefix and that fit a filter.
//!
//! A page goes on behind the last name that the one before examined, in the order of names. So keys that are created or
//! (none ever is) removed in between neither repeat nor skip others.

use super::State;
use crate::access::Scope;
use crate::codec;
use crate::context::Labels;
use crate::key::{Algorithm, Key, Protection, Purpose};
use crate::lifecycle::KeyState;
use crate::names::KeyName;
use serde::Serialize;
use std::collections::BTreeSet;

/// What is asked of a key's labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LabelFilter {
    /// The label that it has.
    pub name: String,
    /// And its value; `None`: any.
    pub value: Option<String>,
}

impl LabelFilter {
    fn fits(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.name);
        found.is_some_and(|found| self.value.as_deref().is_none_or(|value| value == found))
    }
}

/// Which keys are meant: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyFilter {
    /// All of them.
    pub labels: BTreeSet<LabelFilter>,
    /// Of the key as a whole.
    pub state: Option<KeyState>,
    /// What it is for.
    pub purpose: Option<Purpose>,
    /// What it computes.
    pub algorithm: Option<Algorithm>,
    /// Where its material may be in clear.
    pub protection: Option<Protection>,
}

impl KeyFilter {
    /// Whether a key is meant.
    pub fn fits(&self, key: &Key) -> bool {
        let info = &key.info;
        self.state.is_none_or(|it| it == info.state)
            && self.purpose.is_none_or(|it| it == info.algorithm.purpose())
            && self.algorithm.is_none_or(|it| it == info.algorithm)
            && self.protection.is_none_or(|it| it == info.protection)
            && self.labels.iter().all(|label| label.fits(&info.labels))
    }
}

/// What a list is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyListing {
    /// Names begin with it.
    pub prefix: String,
    /// And fit this.
    pub filter: KeyFilter,
}

impl KeyListing {
    /// Tells one list from another, so that a page is not taken for one of another list.
    pub fn digest(&self) -> [u8; 16] {
        codec::digest(&("keys", self))
    }
}

/// The keyrings whose keys a caller may see. Others are not even examined: where a page ends says nothing of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenKeyrings {
    /// All.
    All,
    /// Prefixes of names, `payments/`, in their order.
    Some(BTreeSet<String>),
}

impl<'a> FromIterator<&'a Scope> for SeenKeyrings {
    fn from_iter<I: IntoIterator<Item = &'a Scope>>(scopes: I) -> Self {
        let mut some = BTreeSet::new();
        for scope in scopes {
            match scope {
                Scope::All => return Self::All,
                Scope::Keyring(name) => some.insert(format!("{name}/")),
            };
        }
        Self::Some(some)
    }
}

impl SeenKeyrings {
    /// What begins with `prefix` and may be seen, as prefixes in the order of names; without what is behind `after`.
    pub(super) fn within(&self, prefix: &str, after: Option<&KeyName>) -> Vec<String> {
        let keyrings = match self {
            Self::All => return vec![prefix.to_owned()],
            Self::Some(keyrings) => keyrings,
        };
        let narrowed = keyrings.iter().filter_map(|keyring| {
            if prefix.starts_with(keyring.as_str()) {
                Some(prefix)
            } else {
                keyring.starts_with(prefix).then_some(keyring.as_str())
            }
        });
        let left = narrowed.filter(|it| {
            let it: &str = it;
            after.is_none_or(|after| after.as_str() < it || after.as_str().starts_with(it))
        });
        left.map(ToOwned::to_owned).collect()
    }
}

/// One page.
#[derive(Debug, Default)]
pub struct KeyPage<'a> {
    /// In the order of their names.
    pub keys: Vec<&'a Key>,
    /// Behind which name the next page begins, if there may be more.
    pub next: Option<KeyName>,
}

impl State {
    /// Keys behind `after`: at most `size`, of at most `examined_max`, which bounds the work when few fit. A page may so
    /// be short, or empty, and yet not be the last one.
    pub fn key_page(
        &self,
        wanted: &KeyListing,
        seen: &SeenKeyrings,
        after: Option<&KeyName>,
        size: usize,
        examined_max: usize,
    ) -> KeyPage<'_> {
        let mut page = KeyPage::default();
        let mut last: Option<&KeyName> = None;
        let mut examined = 0_usize;
        for prefix in seen.within(&wanted.prefix, after) {
            for key in self.keys(&prefix, after) {
                if page.keys.len() >= size || examined >= examined_max {
                    page.next = last.cloned();
                    return page;
                }
                examined = examined.saturating_add(1);
                last = Some(&key.info.name);
                if wanted.filter.fits(key) {
                    page.keys.push(key);
                }
            }
        }
        page
    }
}
