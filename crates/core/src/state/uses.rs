//! The verdicts of commit-gated use: two integer comparisons a record.

use super::batches::Recall;
use super::journal::attempt_of;
use super::{Place, State};
use crate::audit::use_leaf;
use crate::data_key::DataKeyUse;
use crate::ids::{AuditSequence, KeyId, VersionNumber};
use crate::key::Usage;
use crate::limits::{RECORDS_PER_BATCH_MAX, TEXT_BYTES_MAX};
use crate::outcome::Outcome;
use crate::planted::{Bug, is_planted};
use crate::uses::{UseBatch, UseRecord, UsedKey, Verdict};
use std::collections::BTreeSet;

/// Versions that a batch used, each once.
type Used = BTreeSet<(KeyId, VersionNumber)>;

impl State {
    pub(super) fn record_uses(&mut self, place: Place, batch: UseBatch) -> Outcome {
        if batch.records.len() > RECORDS_PER_BATCH_MAX
            || batch
                .records
                .iter()
                .any(|record| record.source.len() > TEXT_BYTES_MAX || !Self::is_registrable(record))
        {
            return Outcome::BatchRefused;
        }
        let digest = batch.digest();
        match self
            .batches
            .get(&place.node)
            .map(|it| it.recall(batch.id, digest))
        {
            None | Some(Recall::New) => {}
            Some(Recall::Known(verdicts)) => return Outcome::Verdicts(verdicts.to_vec()),
            Some(Recall::Refused) => return Outcome::BatchRefused,
        }
        let mut used = Used::new();
        let verdicts: Vec<Verdict> = batch
            .records
            .into_iter()
            .map(|record| self.judge(place, record, &mut used))
            .collect();
        for (id, number) in used {
            self.save_usage_of(id, number);
        }
        self.remember_batch(place.node, batch.id, digest, &verdicts);
        Outcome::Verdicts(verdicts)
    }

    fn judge(&mut self, place: Place, record: UseRecord, used: &mut Used) -> Verdict {
        let same_rules = record.access_revision == self.access.revision()
            || is_planted(Bug::IgnoreAccessRevision);
        let mut keys = record.key.iter().chain(&record.destination);
        let same_keys = keys.all(|key| self.is_current(key)) || is_planted(Bug::IgnoreKeyRevision);
        let current = same_rules && same_keys && self.is_data_key_current(&record);
        if current {
            if record.refusal.is_none() {
                let keys = record.key.iter().chain(&record.destination);
                used.extend(keys.filter_map(|key| self.count_use(place, key, record.count)));
                if let Some(DataKeyUse::Register(new)) = record.data_key.as_deref() {
                    self.register(place, &record, new);
                }
            }
            Verdict::Recorded(self.journal_use(place, record))
        } else {
            Verdict::Retry
        }
    }

    /// Counts the items of a use for the version that it used, and answers which one that is.
    fn count_use(
        &mut self,
        place: Place,
        key: &UsedKey,
        count: u32,
    ) -> Option<(KeyId, VersionNumber)> {
        let (id, number) = (key.id?, key.version?);
        let version = self.keys.get_mut(&key.name)?.versions.get_mut(number)?;
        version.usage = Usage {
            count: version.usage.count.saturating_add(count.into()),
            last: place.time,
        };
        Some((id, number))
    }

    fn save_usage_of(&mut self, id: KeyId, number: VersionNumber) {
        let version = self.key_by_id(id).and_then(|key| key.versions.get(number));
        if let Some(usage) = version.map(|version| version.usage) {
            self.save_usage(id, number, usage);
        }
    }

    fn is_current(&self, used: &UsedKey) -> bool {
        used.revision == self.revision_of(&used.name)
    }

    fn journal_use(&mut self, place: Place, mut record: UseRecord) -> AuditSequence {
        let sequence = self.audit.size();
        record.attempt = attempt_of(sequence, record.attempt);
        self.append_leaf(use_leaf(sequence, place.time, place.node, &record))
    }
}
