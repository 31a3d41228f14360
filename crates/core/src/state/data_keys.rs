//! Registered data keys, by id, by key and by version.

use super::{Place, State};
use crate::codec;
use crate::context::Labels;
use crate::data_key::{DataKey, DataKeyUse, NewDataKey, is_bounded};
use crate::ids::{DataKeyId, KeyId, Revision, VersionNumber};
use crate::limits::DATA_KEYS_MAX;
use crate::planted::{Bug, is_planted};
use crate::uses::UseRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};

/// All of them, and what is derived from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DataKeys {
    by_id: BTreeMap<DataKeyId, DataKey>,
    of_keys: BTreeSet<(KeyId, DataKeyId)>,
    of_versions: BTreeSet<(KeyId, VersionNumber, DataKeyId)>,
    /// How many a version wraps; none without any.
    counts: BTreeMap<(KeyId, VersionNumber), u64>,
}

impl DataKeys {
    pub(super) fn get(&self, id: DataKeyId) -> Option<&DataKey> {
        self.by_id.get(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Adds one, or puts it in the place of the one of its id.
    pub(super) fn insert(&mut self, id: DataKeyId, data_key: DataKey) {
        self.remove(id);
        let (key, version) = (data_key.key, data_key.version);
        self.of_keys.insert((key, id));
        self.of_versions.insert((key, version, id));
        let count = self.counts.entry((key, version)).or_default();
        *count = count.saturating_add(1);
        self.by_id.insert(id, data_key);
    }

    pub(super) fn remove(&mut self, id: DataKeyId) -> Option<DataKey> {
        let removed = self.by_id.remove(&id)?;
        let (key, version) = (removed.key, removed.version);
        self.of_keys.remove(&(key, id));
        self.of_versions.remove(&(key, version, id));
        if let Some(count) = self.counts.get_mut(&(key, version)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&(key, version));
            }
        }
        Some(removed)
    }

    /// How many a version wraps.
    pub(super) fn count(&self, key: KeyId, version: VersionNumber) -> u64 {
        self.counts.get(&(key, version)).copied().unwrap_or(0)
    }

    /// The versions of a key that wrap any, and how many, in the order of their numbers.
    pub(super) fn counts_of(&self, key: KeyId) -> impl Iterator<Item = (VersionNumber, u64)> {
        let all = (key, VersionNumber(0))..=(key, VersionNumber(u32::MAX));
        let counts = self.counts.range(all);
        counts.map(|((_, version), count)| (*version, *count))
    }

    /// Those that a version wraps, in the order of their ids.
    pub(super) fn under(
        &self,
        key: KeyId,
        version: VersionNumber,
    ) -> impl Iterator<Item = (DataKeyId, &DataKey)> {
        let first = (key, version, DataKeyId([0; 16]));
        let last = (key, version, DataKeyId([u8::MAX; 16]));
        let ids = self.of_versions.range(first..=last);
        ids.filter_map(|(_, _, id)| Some((*id, self.by_id.get(id)?)))
    }

    /// Keys that have any.
    pub(super) fn keys(&self) -> BTreeSet<KeyId> {
        self.counts.keys().map(|(key, _)| *key).collect()
    }
}

impl State {
    /// A registered data key.
    pub fn data_key(&self, id: DataKeyId) -> Option<&DataKey> {
        self.data_keys.get(id)
    }

    /// The registered data keys of a key behind `after`, in the order of their ids.
    pub fn data_keys_of(
        &self,
        key: KeyId,
        after: Option<DataKeyId>,
    ) -> impl Iterator<Item = (DataKeyId, &DataKey)> {
        let first = match after {
            None => Included((key, DataKeyId([0; 16]))),
            Some(id) => Excluded((key, id)),
        };
        let last = Included((key, DataKeyId([u8::MAX; 16])));
        let ids = self.data_keys.of_keys.range((first, last));
        ids.filter_map(|(_, id)| Some((*id, self.data_keys.get(*id)?)))
    }

    /// What a list of data keys is of, to tell one from another.
    pub fn data_key_list_digest(
        key: KeyId,
        version: Option<VersionNumber>,
        labels: &Labels,
    ) -> [u8; 16] {
        codec::digest(&("data-keys", key, version, labels))
    }

    /// How many registered data keys a version wraps.
    pub fn data_key_count(&self, key: KeyId, version: VersionNumber) -> u64 {
        self.data_keys.count(key, version)
    }

    /// Whether the cluster holds as many registered data keys as it may.
    pub fn is_full_of_data_keys(&self) -> bool {
        self.data_keys.len() >= DATA_KEYS_MAX
    }

    /// Whether what a record says of a data key is so at its place in the log.
    pub(super) fn is_data_key_current(&self, record: &UseRecord) -> bool {
        match record.data_key.as_deref() {
            None => true,
            Some(DataKeyUse::Register(new)) => {
                record.refusal.is_some()
                    || (self.data_keys.get(new.id).is_none() && !self.is_full_of_data_keys())
            }
            Some(DataKeyUse::Of { id, revision }) => {
                let found = self.data_keys.get(*id);
                // A use is as good under the version that wrapped it before; a refusal is not.
                let refused_for = record.refusal.and(record.key.as_ref());
                let same_version =
                    |it: &DataKey| refused_for.is_none_or(|key| key.version == Some(it.version));
                let same = found.map_or(Revision(0), |it| it.revision) == *revision
                    && found.is_none_or(same_version);
                same || is_planted(Bug::OpenDeletedDataKey)
            }
        }
    }

    /// Whether a record could register what it says.
    pub(super) fn is_registrable(record: &UseRecord) -> bool {
        let Some(DataKeyUse::Register(new)) = record.data_key.as_deref() else {
            return true;
        };
        let key = record.key.as_ref();
        let named = key.is_some_and(|key| key.id.is_some() && key.version.is_some());
        is_bounded(&new.wrapped) && (named || record.refusal.is_some())
    }

    /// Registers what a use made.
    pub(super) fn register(&mut self, place: Place, record: &UseRecord, new: &NewDataKey) {
        let key = record.key.as_ref();
        let (Some(key), Some(version)) =
            (key.and_then(|key| key.id), key.and_then(|key| key.version))
        else {
            return;
        };
        let data_key = DataKey {
            key,
            version,
            wrapped: new.wrapped.clone(),
            context: record.context.clone(),
            labels: new.labels.clone(),
            created_at: place.time,
            revision: place.revision,
        };
        self.put_data_key(new.id, data_key);
    }

    pub(super) fn put_data_key(&mut self, id: DataKeyId, data_key: DataKey) {
        let (key, version) = (data_key.key, data_key.version);
        self.save_data_key(id, &data_key);
        let earlier = self.data_keys.get(id).map(|it| it.version);
        self.data_keys.insert(id, data_key);
        let emptied = earlier.is_some_and(|earlier| self.data_keys.count(key, earlier) == 0);
        if emptied || self.data_keys.count(key, version) == 1 {
            self.refresh_rewraps(key);
        }
    }

    pub(super) fn remove_data_key(&mut self, id: DataKeyId) -> Option<DataKey> {
        let removed = self.data_keys.remove(id)?;
        self.save_data_key_removed(id);
        if self.data_keys.count(removed.key, removed.version) == 0 {
            self.refresh_rewraps(removed.key);
        }
        Some(removed)
    }
}
