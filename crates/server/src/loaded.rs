//! Unwrapped versions, kept ready and bounded: the one used longest ago goes first.

use conclave_core::{KeyId, VersionNumber};
use conclave_crypto::KeyMaterial;
use conclave_env::{Hsm, HsmKey};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A version's material, ready to be used.
pub(crate) enum Loaded {
    /// In locked memory, wiped when dropped.
    Software(KeyMaterial),
    /// Inside the HSM.
    Hsm(HsmKey),
}

type Name = (KeyId, VersionNumber);

#[derive(Default)]
struct Table {
    versions: BTreeMap<Name, (u64, Arc<Loaded>)>,
    by_use: BTreeMap<u64, Name>,
    uses: u64,
}

pub(crate) struct LoadedVersions {
    table: Mutex<Table>,
    max: usize,
    hsm: Arc<dyn Hsm>,
}

impl LoadedVersions {
    pub(crate) fn new(max: usize, hsm: Arc<dyn Hsm>) -> Self {
        Self {
            table: Mutex::default(),
            max,
            hsm,
        }
    }

    pub(crate) fn find(&self, id: KeyId, number: VersionNumber) -> Option<Arc<Loaded>> {
        let table = &mut *self.table.lock();
        let (used, loaded) = table.versions.get_mut(&(id, number))?;
        table.by_use.remove(used);
        table.uses += 1;
        *used = table.uses;
        table.by_use.insert(table.uses, (id, number));
        Some(loaded.clone())
    }

    /// Keeps a version; if another use was quicker, that one's is kept and answered.
    pub(crate) fn insert(&self, id: KeyId, number: VersionNumber, loaded: Loaded) -> Arc<Loaded> {
        if let Some(earlier) = self.find(id, number) {
            self.remove_from_hsm(&loaded);
            return earlier;
        }
        let loaded = Arc::new(loaded);
        let evicted = {
            let mut table = self.table.lock();
            table.uses += 1;
            let used = table.uses;
            table.by_use.insert(used, (id, number));
            table.versions.insert((id, number), (used, loaded.clone()));
            if table.versions.len() > self.max {
                let oldest = table.by_use.pop_first();
                oldest.and_then(|(_, name)| table.versions.remove(&name))
            } else {
                None
            }
        };
        if let Some((_, evicted)) = evicted {
            self.remove_from_hsm(&evicted);
        }
        loaded
    }

    pub(crate) fn forget(&self, id: KeyId, number: VersionNumber) {
        let mut table = self.table.lock();
        if let Some((used, _)) = table.versions.remove(&(id, number)) {
            table.by_use.remove(&used);
        }
    }

    /// In the background: whoever evicts does not wait for the HSM. A use that still holds the handle is answered
    /// `KeyGone` and loads the version again.
    fn remove_from_hsm(&self, loaded: &Loaded) {
        if let Loaded::Hsm(key) = loaded {
            let (hsm, key) = (self.hsm.clone(), *key);
            tokio::spawn(async move {
                if let Err(error) = hsm.destroy(key).await {
                    tracing::debug!(%error, "an evicted key could not be removed from the HSM");
                }
            });
        }
    }
}
