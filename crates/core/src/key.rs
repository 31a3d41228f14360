//! Keys, their versions and their life (NIST SP 800-57 part 1, section 7).

use crate::context::Labels;
use crate::ids::{KekNumber, KeyId, Revision, TimeMs, VersionNumber};
use crate::limits::WRAPPED_BYTES_MAX;
use crate::names::KeyName;
use crate::planted::{Bug, is_planted};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a key computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// AES-256-GCM under a key derived for each message.
    Aes256Gcm,
}

impl Algorithm {
    /// The name that is bound into wrapped material and shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "AES-256-GCM",
        }
    }
}

/// Where key material may be in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// In the memory of an unsealed node.
    Software,
    /// Only inside HSMs.
    Hsm,
}

impl Protection {
    /// The name that is bound into wrapped material and shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Software => "SOFTWARE",
            Self::Hsm => "HSM",
        }
    }
}

/// The state of a key, or of one version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyState {
    /// Not to be used yet.
    PreActive,
    /// Protects and processes.
    Active,
    /// Processes only, for the time being.
    Suspended,
    /// Does nothing any more.
    Deactivated,
}

/// A change of state that a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transition {
    /// `PRE_ACTIVE` to ACTIVE.
    Activate,
    /// ACTIVE to SUSPENDED.
    Suspend,
    /// SUSPENDED to ACTIVE.
    Resume,
    /// ACTIVE or SUSPENDED to DEACTIVATED.
    Deactivate,
}

impl Transition {
    /// The state that it leads to.
    pub fn target(self) -> KeyState {
        match self {
            Self::Activate | Self::Resume => KeyState::Active,
            Self::Suspend => KeyState::Suspended,
            Self::Deactivate => KeyState::Deactivated,
        }
    }
}

impl KeyState {
    /// The state after `transition`, or `None` if it does not lead out of this one.
    pub fn after(self, transition: Transition) -> Option<Self> {
        let allowed = match transition {
            Transition::Activate => self == Self::PreActive,
            Transition::Suspend => self == Self::Active,
            Transition::Resume => self == Self::Suspended,
            Transition::Deactivate => matches!(self, Self::Active | Self::Suspended),
        };
        allowed.then(|| transition.target())
    }

    /// Whether it allows new protection: encrypt, sign, wrap, MAC.
    pub fn protects(self) -> bool {
        self == Self::Active
    }

    /// Whether it allows processing: decrypt, verify, unwrap.
    pub fn processes(self) -> bool {
        matches!(self, Self::Active | Self::Suspended)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreActive => "PRE_ACTIVE",
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Deactivated => "DEACTIVATED",
        })
    }
}

/// Wrapped key material: safe on any disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapped {
    /// Under which KEK; 0 for what the root key itself wraps.
    pub kek: KekNumber,
    /// The wrapped bytes.
    pub blob: Vec<u8>,
    /// Binds a blob that an HSM wrapped to what it is: an HMAC under the integrity key. Empty for
    /// SOFTWARE, whose AEAD binds by itself.
    pub tag: Vec<u8>,
}

impl Wrapped {
    /// Whether its size is within the limits.
    pub fn is_bounded(&self) -> bool {
        (1..=WRAPPED_BYTES_MAX).contains(&self.blob.len()) && self.tag.len() <= WRAPPED_BYTES_MAX
    }
}

/// One piece of key material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyVersion {
    /// Of its own, apart from the key's.
    pub state: KeyState,
    /// When it was made.
    pub created_at: TimeMs,
    /// Its material.
    pub wrapped: Wrapped,
}

/// A named, long-lived key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What never changes, and what does but for the versions.
    pub info: KeyInfo,
    /// At least one.
    pub versions: Versions,
}

/// Versions in the order of their numbers. Nearly every key has one or two, and of those a million: the node of a map
/// would take ten times their memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(Vec<(VersionNumber, KeyVersion)>);

impl Versions {
    fn place(&self, number: VersionNumber) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(number, _)| *number)
    }

    /// The version of that number.
    pub fn get(&self, number: VersionNumber) -> Option<&KeyVersion> {
        let (_, version) = self.0.get(self.place(number).ok()?)?;
        Some(version)
    }

    pub(crate) fn get_mut(&mut self, number: VersionNumber) -> Option<&mut KeyVersion> {
        let place = self.place(number).ok()?;
        self.0.get_mut(place).map(|(_, version)| version)
    }

    /// Adds a version, or puts it in the place of the one of its number.
    pub(crate) fn insert(&mut self, number: VersionNumber, version: KeyVersion) {
        if let Some(earlier) = self.get_mut(number) {
            *earlier = version;
            return;
        }
        if self.0.len() == self.0.capacity() {
            // By itself a vector begins with room for four.
            self.0.reserve_exact((self.0.len() / 2).max(1));
        }
        let place = self.place(number).unwrap_or_else(|place| place);
        self.0.insert(place, (number, version));
    }

    /// The greatest number; `None` if there is no version.
    pub fn last(&self) -> Option<VersionNumber> {
        self.0.last().map(|(number, _)| *number)
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (VersionNumber, &KeyVersion)> {
        self.0.iter().map(|(number, version)| (*number, version))
    }
}

/// A key without its versions: one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Never given to another key.
    pub id: KeyId,
    /// Unique in the cluster.
    pub name: KeyName,
    /// Fixed at creation.
    pub algorithm: Algorithm,
    /// Fixed at creation.
    pub protection: Protection,
    /// Of the key as a whole; a version is usable only if both states allow it.
    pub state: KeyState,
    /// Protects new data.
    pub primary: VersionNumber,
    /// What people say of it.
    pub labels: Labels,
    /// When it was created.
    pub created_at: TimeMs,
    /// When a tick is to activate it, if it is `PRE_ACTIVE`.
    pub activate_at: Option<TimeMs>,
    /// Changes with every change of the key or of its versions.
    pub revision: Revision,
}

impl Key {
    /// The number that the next version will have.
    pub fn next_version(&self) -> VersionNumber {
        let last = self.versions.last().map_or(0, |number| number.0);
        let step = u32::from(!is_planted(Bug::ReuseVersion));
        VersionNumber(last.saturating_add(step))
    }

    /// The key without wrapped material, as an answer to its users.
    pub fn view(&self) -> KeyView {
        let version = |(number, version): (VersionNumber, &KeyVersion)| VersionView {
            number,
            state: version.state,
            created_at: version.created_at,
        };
        KeyView {
            info: self.info.clone(),
            versions: self.versions.iter().map(version).collect(),
        }
    }
}

/// A key as its users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// All but the versions.
    pub info: KeyInfo,
    /// In the order of their numbers.
    pub versions: Vec<VersionView>,
}

/// A version as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    /// From 1.
    pub number: VersionNumber,
    /// Of its own.
    pub state: KeyState,
    /// When it was made.
    pub created_at: TimeMs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn version(created_at: u64) -> KeyVersion {
        KeyVersion {
            state: KeyState::Active,
            created_at: TimeMs(created_at),
            wrapped: Wrapped {
                kek: KekNumber(1),
                blob: vec![7],
                tag: Vec::new(),
            },
        }
    }

    proptest! {
        /// Rows are loaded in any order.
        #[test]
        fn versions_are_a_map_by_number(added in prop::collection::vec((0_u32..12, any::<u64>()), 0..40)) {
            let (mut versions, mut map) = (Versions::default(), BTreeMap::new());
            for (number, created_at) in added {
                versions.insert(VersionNumber(number), version(created_at));
                map.insert(VersionNumber(number), version(created_at));
            }
            prop_assert!(versions.iter().eq(map.iter().map(|(number, it)| (*number, it))));
            prop_assert_eq!(versions.last(), map.keys().next_back().copied());
            for number in (0..13).map(VersionNumber) {
                prop_assert_eq!(versions.get(number), map.get(&number));
                prop_assert_eq!(versions.get_mut(number), map.get_mut(&number));
            }
        }
    }

    #[test]
    fn one_version_takes_room_for_one() {
        let mut versions = Versions::default();
        versions.insert(VersionNumber(1), version(0));
        assert_eq!(versions.0.capacity(), 1);
    }
}
