//! Keys and their versions. Their states are in [`crate::lifecycle`].

use crate::context::Labels;
use crate::data_key::RewrapPolicy;
use crate::destruction::Destruction;
use crate::ids::{KekNumber, KeyId, Revision, TimeMs, VersionNumber};
use crate::lifecycle::KeyState;
use crate::limits::{PUBLIC_KEY_BYTES_MAX, WRAPPED_BYTES_MAX};
use crate::names::KeyName;
use crate::period::RotationPeriod;
use crate::planted::{Bug, is_planted};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a key computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// AES-256-GCM under a key derived for each message.
    Aes256Gcm,
    /// ChaCha20-Poly1305 under a key derived for each message.
    ChaCha20Poly1305,
    /// HMAC with SHA-256 (RFC 2104), tags of 32 bytes.
    HmacSha256,
    /// HMAC with SHA-384, tags of 48 bytes.
    HmacSha384,
    /// HMAC with SHA-512, tags of 64 bytes.
    HmacSha512,
    /// Signatures by Ed25519 (RFC 8032).
    Ed25519,
    /// Signatures by ECDSA on P-256 with SHA-256 (FIPS 186-5).
    EcdsaP256,
    /// Signatures by ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// Signatures by RSA of 2048 bits, PKCS#1 v1.5 or PSS (RFC 8017).
    Rsa2048,
    /// The same of 3072 bits.
    Rsa3072,
    /// The same of 4096 bits.
    Rsa4096,
    /// Signatures by ML-DSA-65 (FIPS 204), which quantum computers do not forge.
    MlDsa65,
    /// Decryption by RSA-OAEP with SHA-256 (RFC 8017) under 2048 bits.
    RsaOaep2048,
    /// The same under 3072 bits.
    RsaOaep3072,
    /// The same under 4096 bits.
    RsaOaep4096,
    /// Decapsulation by ML-KEM-768 (FIPS 203), which quantum computers do not open.
    MlKem768,
    /// Agreement by X25519 (RFC 7748).
    X25519,
    /// Agreement by ECDH on P-256 (NIST SP 800-56A).
    EcdhP256,
    /// Decryption by RSA-OAEP with SHA-1 under 2048 bits, for HSMs and partners that have nothing else.
    RsaOaep2048Sha1,
    /// The same under 3072 bits.
    RsaOaep3072Sha1,
    /// The same under 4096 bits.
    RsaOaep4096Sha1,
}

/// What a key is for. It follows from the algorithm, and a use for anything else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// Encrypt, decrypt, and the wrapping of data keys.
    Encrypt,
    /// Make and verify message authentication codes.
    Mac,
    /// Sign and verify.
    Sign,
    /// Decrypt or decapsulate what others made with the public key.
    AsymmetricDecrypt,
    /// Agree upon a secret with the owner of another key.
    Agree,
}

impl Purpose {
    /// Whether its keys have a public half, which others use without us.
    pub fn has_public_key(self) -> bool {
        match self {
            Self::Encrypt | Self::Mac => false,
            Self::Sign | Self::AsymmetricDecrypt | Self::Agree => true,
        }
    }

    /// The name that is bound into wrapped material.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Mac => "mac",
            Self::Sign => "sign",
            Self::AsymmetricDecrypt => "asymmetric-decrypt",
            Self::Agree => "agree",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypt => "ENCRYPT",
            Self::Mac => "MAC",
            Self::Sign => "SIGN",
            Self::AsymmetricDecrypt => "ASYMMETRIC-DECRYPT",
            Self::Agree => "AGREE",
        })
    }
}

impl Algorithm {
    /// The name that is bound into wrapped material and shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "AES-256-GCM",
            Self::ChaCha20Poly1305 => "CHACHA20-POLY1305",
            Self::HmacSha256 => "HMAC-SHA-256",
            Self::HmacSha384 => "HMAC-SHA-384",
            Self::HmacSha512 => "HMAC-SHA-512",
            Self::Ed25519 => "ED25519",
            Self::EcdsaP256 => "ECDSA-P256",
            Self::EcdsaP384 => "ECDSA-P384",
            Self::Rsa2048 => "RSA-2048",
            Self::Rsa3072 => "RSA-3072",
            Self::Rsa4096 => "RSA-4096",
            Self::MlDsa65 => "ML-DSA-65",
            Self::RsaOaep2048 => "RSA-OAEP-2048",
            Self::RsaOaep3072 => "RSA-OAEP-3072",
            Self::RsaOaep4096 => "RSA-OAEP-4096",
            Self::MlKem768 => "ML-KEM-768",
            Self::X25519 => "X25519",
            Self::EcdhP256 => "ECDH-P256",
            Self::RsaOaep2048Sha1 => "RSA-OAEP-2048-SHA-1",
            Self::RsaOaep3072Sha1 => "RSA-OAEP-3072-SHA-1",
            Self::RsaOaep4096Sha1 => "RSA-OAEP-4096-SHA-1",
        }
    }

    /// What keys that have it are for.
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => Purpose::Encrypt,
            Self::HmacSha256 | Self::HmacSha384 | Self::HmacSha512 => Purpose::Mac,
            Self::Ed25519
            | Self::EcdsaP256
            | Self::EcdsaP384
            | Self::Rsa2048
            | Self::Rsa3072
            | Self::Rsa4096
            | Self::MlDsa65 => Purpose::Sign,
            Self::RsaOaep2048
            | Self::RsaOaep3072
            | Self::RsaOaep4096
            | Self::RsaOaep2048Sha1
            | Self::RsaOaep3072Sha1
            | Self::RsaOaep4096Sha1
            | Self::MlKem768 => Purpose::AsymmetricDecrypt,
            Self::X25519 | Self::EcdhP256 => Purpose::Agree,
        }
    }

    /// Whether keys of that protection may have it. Whether an HSM can do it, only its node knows.
    pub fn is_offered(self, protection: Protection) -> bool {
        match self {
            Self::ChaCha20Poly1305 | Self::MlDsa65 | Self::MlKem768 | Self::X25519 => {
                protection == Protection::Software
            }
            Self::Aes256Gcm
            | Self::HmacSha256
            | Self::HmacSha384
            | Self::HmacSha512
            | Self::Ed25519
            | Self::EcdsaP256
            | Self::EcdsaP384
            | Self::Rsa2048
            | Self::Rsa3072
            | Self::Rsa4096
            | Self::RsaOaep2048
            | Self::RsaOaep3072
            | Self::RsaOaep4096
            | Self::RsaOaep2048Sha1
            | Self::RsaOaep3072Sha1
            | Self::RsaOaep4096Sha1
            | Self::EcdhP256 => true,
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

/// What a proposer makes for a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    /// Secret: of a symmetric key all of it, of another one its private half.
    pub wrapped: Wrapped,
    /// The public half, as `SubjectPublicKeyInfo` in DER (RFC 5280), of keys that have one.
    pub public: Option<Box<[u8]>>,
}

impl Material {
    /// Whether it is within the limits, and what keys of that purpose have.
    pub fn fits(&self, purpose: Purpose) -> bool {
        let bounded = |key: &[u8]| (1..=PUBLIC_KEY_BYTES_MAX).contains(&key.len());
        self.wrapped.is_bounded()
            && self.public.is_some() == purpose.has_public_key()
            && self.public.as_deref().is_none_or(bounded)
    }
}

/// Without a public half.
impl From<Wrapped> for Material {
    fn from(wrapped: Wrapped) -> Self {
        Self {
            wrapped,
            public: None,
        }
    }
}

/// One piece of key material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyVersion {
    /// Of its own, apart from the key's.
    pub state: KeyState,
    /// When it was made.
    pub created_at: TimeMs,
    /// Its material; `None` once it is destroyed.
    pub wrapped: Option<Wrapped>,
    /// Its public half, of keys that have one. It stays when the material is destroyed: what was signed is still to be
    /// verified by others.
    pub public: Option<Box<[u8]>>,
    /// Set while it is `DESTROY_SCHEDULED` or DESTROYED.
    pub destruction: Option<Box<Destruction>>,
    /// Whether its material came from outside.
    pub imported: bool,
    /// How it was used: a row of its own, so that a use does not write the material anew.
    #[serde(skip)]
    pub usage: Usage,
}

/// How a version was used, by the records of the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Items that it protected or processed.
    pub count: u64,
    /// When it last did; meaningless if it never has.
    pub last: TimeMs,
}

impl Usage {
    /// When it was last used, if ever.
    pub fn last_use(self) -> Option<TimeMs> {
        (self.count > 0).then_some(self.last)
    }
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

    /// When one of them was last used.
    pub fn last_use(&self) -> Option<TimeMs> {
        self.iter().filter_map(|(_, it)| it.usage.last_use()).max()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (VersionNumber, &mut KeyVersion)> {
        self.0
            .iter_mut()
            .map(|(number, version)| (*number, version))
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
    /// How old the primary version may become while the key is ACTIVE; then a node makes the next one.
    pub rotate_every: Option<RotationPeriod>,
    /// Whether its material may leave the cluster, wrapped. Fixed at creation.
    pub exportable: bool,
    /// What becomes of its registered data keys when it is rotated.
    pub rewrap: RewrapPolicy,
    /// Data keys under versions below this one were asked to be wrapped anew.
    pub rewrap_below: VersionNumber,
    /// Set while the key as a whole is `DESTROY_SCHEDULED` or DESTROYED.
    pub destruction: Option<Box<Destruction>>,
    /// Changes with every change of the key or of its versions.
    pub revision: Revision,
}

impl Key {
    /// When a new primary version is due; `None` unless the key is ACTIVE and has a period.
    pub fn next_rotation(&self) -> Option<TimeMs> {
        let primary = self.versions.get(self.info.primary)?;
        self.info.next_rotation(primary.created_at)
    }

    /// The number that the next version will have.
    pub fn next_version(&self) -> VersionNumber {
        let last = self.versions.last().map_or(0, |number| number.0);
        let step = u32::from(!is_planted(Bug::ReuseVersion));
        VersionNumber(last.saturating_add(step))
    }

    /// The key without wrapped material. What is known of its data keys is the state's.
    pub(crate) fn view(&self) -> KeyView {
        let version = |(number, version): (VersionNumber, &KeyVersion)| VersionView {
            number,
            state: version.state,
            created_at: version.created_at,
            destruction: version.destruction.clone(),
            usage: version.usage,
            data_keys: 0,
            imported: version.imported,
        };
        KeyView {
            info: self.info.clone(),
            versions: self.versions.iter().map(version).collect(),
            rewraps_left: 0,
        }
    }
}

impl KeyInfo {
    fn next_rotation(&self, primary_created_at: TimeMs) -> Option<TimeMs> {
        let period = self
            .rotate_every
            .filter(|_| self.state == KeyState::Active)?;
        Some(period.after(primary_created_at))
    }
}

/// A key as its users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// All but the versions.
    pub info: KeyInfo,
    /// In the order of their numbers.
    pub versions: Vec<VersionView>,
    /// Registered data keys that are to be wrapped anew.
    pub rewraps_left: u64,
}

impl KeyView {
    /// When a new primary version is due; `None` unless the key is ACTIVE and has a period.
    pub fn next_rotation(&self) -> Option<TimeMs> {
        let is_primary = |version: &&VersionView| version.number == self.info.primary;
        let primary = self.versions.iter().find(is_primary)?;
        self.info.next_rotation(primary.created_at)
    }
}

/// A version as users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    /// From 1.
    pub number: VersionNumber,
    /// Of its own.
    pub state: KeyState,
    /// When it was made.
    pub created_at: TimeMs,
    /// Set while it is `DESTROY_SCHEDULED` or DESTROYED.
    pub destruction: Option<Box<Destruction>>,
    /// How it was used.
    pub usage: Usage,
    /// Registered data keys that it wraps.
    pub data_keys: u64,
    /// Whether its material came from outside.
    pub imported: bool,
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
            wrapped: None,
            public: None,
            destruction: None,
            imported: false,
            usage: Usage::default(),
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
    fn material_has_a_public_half_where_its_purpose_has() {
        let wrapped = Wrapped {
            kek: KekNumber(1),
            blob: vec![7; 40],
            tag: Vec::new(),
        };
        let with = |bytes: usize| Material {
            public: Some(vec![7; bytes].into_boxed_slice()),
            wrapped: wrapped.clone(),
        };
        let without = Material::from(wrapped.clone());
        for purpose in [Purpose::Encrypt, Purpose::Mac] {
            assert!(without.fits(purpose) && !with(44).fits(purpose));
        }
        for purpose in [Purpose::Sign, Purpose::AsymmetricDecrypt, Purpose::Agree] {
            assert!(with(44).fits(purpose) && !without.fits(purpose));
        }
        assert!(with(PUBLIC_KEY_BYTES_MAX).fits(Purpose::Sign));
        assert!(
            !with(PUBLIC_KEY_BYTES_MAX + 1).fits(Purpose::Sign) && !with(0).fits(Purpose::Sign)
        );
        let empty = Wrapped {
            blob: Vec::new(),
            ..wrapped
        };
        assert!(!Material::from(empty).fits(Purpose::Encrypt));
    }

    #[test]
    fn one_version_takes_room_for_one() {
        let mut versions = Versions::default();
        versions.insert(VersionNumber(1), version(0));
        assert_eq!(versions.0.capacity(), 1);
    }
}
