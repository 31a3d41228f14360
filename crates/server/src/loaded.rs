//! Unwrapped versions, kept ready and bounded: one that was not used since it was last looked at goes first (the clock
//! algorithm: a use only sets a flag, so uses do not wait for each other).

use crate::unsealed::Receiving;
use conclave_core::{KeyId, VersionNumber};
use conclave_crypto::KeyMaterial;
use conclave_crypto::sign::{SigningKey, VerifyingKey};
use conclave_env::{Hsm, HsmKey};
use parking_lot::RwLock;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A version's material, ready to be used.
pub(crate) enum Loaded {
    /// In locked memory, wiped when dropped.
    Software(KeyMaterial),
    /// A private key that signs, and its public half.
    Signing(Box<Signing>),
    /// A private key that opens what others made with its public half, or agrees with others.
    Receiving(Box<Receiving>),
    /// Inside the HSM; of a pair with what verifies, which needs none.
    Hsm(HsmKey, Option<Box<VerifyingKey>>),
}

/// A pair that signs and verifies. What is secret in it the library wipes when it is dropped.
pub(crate) struct Signing {
    pub(crate) key: SigningKey,
    pub(crate) verifier: VerifyingKey,
}

type Name = (KeyId, VersionNumber);

struct Entry {
    loaded: Arc<Loaded>,
    was_used: AtomicBool,
}

#[derive(Default)]
struct Table {
    versions: HashMap<Name, Entry>,
    /// Each version once; the hand of the clock is at the front.
    clock: VecDeque<Name>,
}

impl Table {
    /// Takes out a version that was not used since the hand last passed it.
    fn evict(&mut self) -> Option<Arc<Loaded>> {
        // Every flag is down after one turn, so the second finds one.
        for _ in 0..=2 * self.clock.len() {
            let name = self.clock.pop_front()?;
            let Some(entry) = self.versions.get_mut(&name) else {
                continue;
            };
            if std::mem::take(entry.was_used.get_mut()) {
                self.clock.push_back(name);
            } else {
                return self.versions.remove(&name).map(|entry| entry.loaded);
            }
        }
        None
    }
}

pub(crate) struct LoadedVersions {
    table: RwLock<Table>,
    max: usize,
    hsm: Arc<dyn Hsm>,
}

impl LoadedVersions {
    /// With room for `max`, at least one.
    pub(crate) fn new(max: usize, hsm: Arc<dyn Hsm>) -> Self {
        Self {
            table: RwLock::default(),
            max: max.max(1),
            hsm,
        }
    }

    pub(crate) fn find(&self, id: KeyId, number: VersionNumber) -> Option<Arc<Loaded>> {
        let table = self.table.read();
        let entry = table.versions.get(&(id, number))?;
        entry.was_used.store(true, Ordering::Relaxed);
        Some(Arc::clone(&entry.loaded))
    }

    /// Keeps a version; if another use was quicker, that one's is kept and answered.
    pub(crate) fn insert(&self, id: KeyId, number: VersionNumber, loaded: Loaded) -> Arc<Loaded> {
        let (kept, surplus) = {
            let table = &mut *self.table.write();
            let loaded = Arc::new(loaded);
            if let Some(earlier) = table.versions.get(&(id, number)) {
                (Arc::clone(&earlier.loaded), Some(loaded))
            } else {
                let is_full = table.versions.len() >= self.max;
                let evicted = if is_full { table.evict() } else { None };
                let entry = Entry {
                    loaded: Arc::clone(&loaded),
                    was_used: AtomicBool::new(false),
                };
                table.versions.insert((id, number), entry);
                table.clock.push_back((id, number));
                (loaded, evicted)
            }
        };
        if let Some(surplus) = surplus {
            self.remove_from_hsm(&surplus);
        }
        kept
    }

    pub(crate) fn forget(&self, id: KeyId, number: VersionNumber) {
        let mut table = self.table.write();
        if table.versions.remove(&(id, number)).is_some() {
            table.clock.retain(|name| *name != (id, number));
        }
    }

    /// Forgets the versions that are `gone`, and removes them from the HSM.
    pub(crate) fn forget_all(&self, gone: impl Fn(KeyId, VersionNumber) -> bool) {
        let is_gone = |name: &Name| gone(name.0, name.1);
        let removed: Vec<Entry> = {
            let table = &mut *self.table.write();
            table.clock.retain(|name| !is_gone(name));
            let removed = table.versions.extract_if(|name, _| is_gone(name));
            removed.map(|(_, entry)| entry).collect()
        };
        for entry in removed {
            self.remove_from_hsm(&entry.loaded);
        }
    }

    /// In the background: whoever evicts does not wait for the HSM. A use that still holds the handle is answered
    /// `KeyGone` and loads the version again.
    fn remove_from_hsm(&self, loaded: &Loaded) {
        if let Loaded::Hsm(key, _) = loaded {
            let (hsm, key) = (self.hsm.clone(), *key);
            tokio::spawn(async move {
                if let Err(error) = hsm.destroy(key).await {
                    tracing::debug!(%error, "an evicted key could not be removed from the HSM");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_crypto::Secret;
    use conclave_env::mem::{MemEntropy, MemHsm};

    fn table(max: usize) -> LoadedVersions {
        LoadedVersions::new(max, Arc::new(MemHsm::new(Arc::new(MemEntropy::new(1)))))
    }

    fn insert(table: &LoadedVersions, number: u32) -> Arc<Loaded> {
        let material = Loaded::Software(KeyMaterial::new(Secret::zeroed()));
        table.insert(KeyId([1; 16]), VersionNumber(number), material)
    }

    fn holds(table: &LoadedVersions, number: u32) -> bool {
        let name = (KeyId([1; 16]), VersionNumber(number));
        table.table.read().versions.contains_key(&name)
    }

    fn touch(table: &LoadedVersions, number: u32) {
        assert!(table.find(KeyId([1; 16]), VersionNumber(number)).is_some());
    }

    #[test]
    fn is_bounded_and_keeps_what_is_used() {
        let table = table(4);
        for number in 1..=4 {
            insert(&table, number);
        }
        for number in 5..100 {
            touch(&table, 2);
            insert(&table, number);
            let sizes = {
                let table = table.table.read();
                (table.versions.len(), table.clock.len())
            };
            assert_eq!(sizes, (4, 4));
            assert!(holds(&table, 2), "after {number}");
            assert!(holds(&table, number));
        }
    }

    #[test]
    fn the_first_of_two_that_load_the_same_is_kept() {
        let table = table(4);
        let first = insert(&table, 1);
        assert!(Arc::ptr_eq(&first, &insert(&table, 1)));
        table.forget(KeyId([1; 16]), VersionNumber(1));
        assert!(!holds(&table, 1));
        assert!(!Arc::ptr_eq(&first, &insert(&table, 1)));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let table = table(4);
        for number in 1..=3 {
            insert(&table, number);
        }
        table.forget_all(|id, number| id == KeyId([1; 16]) && number.0 != 2);
        assert_eq!(
            [1, 2, 3].map(|number| holds(&table, number)),
            [false, true, false]
        );
        assert_eq!(table.table.read().clock.len(), 1);
        for number in 4..=6 {
            insert(&table, number);
        }
        assert!(holds(&table, 2) && holds(&table, 6), "there is room again");
    }

    #[test]
    fn room_is_found_when_all_were_used() {
        let table = table(3);
        for number in 1..=3 {
            insert(&table, number);
            touch(&table, number);
        }
        insert(&table, 4);
        assert!(!holds(&table, 1) && holds(&table, 4));
    }
}
