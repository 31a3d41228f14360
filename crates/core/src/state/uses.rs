//! The verdicts of commit-gated use: two integer comparisons a record.

use super::batches::Recall;
use super::journal::attempt_of;
use super::{Place, State};
use crate::audit::use_leaf;
use crate::ids::{AuditSequence, Revision};
use crate::limits::{RECORDS_PER_BATCH_MAX, TEXT_BYTES_MAX};
use crate::outcome::Outcome;
use crate::planted::{Bug, is_planted};
use crate::uses::{UseBatch, UseRecord, UsedKey, Verdict};

impl State {
    pub(super) fn record_uses(&mut self, place: Place, batch: UseBatch) -> Outcome {
        if batch.records.len() > RECORDS_PER_BATCH_MAX
            || batch
                .records
                .iter()
                .any(|record| record.source.len() > TEXT_BYTES_MAX)
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
        let verdicts: Vec<Verdict> = batch
            .records
            .into_iter()
            .map(|record| self.judge(place, record))
            .collect();
        self.remember_batch(place.node, batch.id, digest, &verdicts);
        Outcome::Verdicts(verdicts)
    }

    fn judge(&mut self, place: Place, record: UseRecord) -> Verdict {
        let same_rules = record.access_revision == self.access.revision()
            || is_planted(Bug::IgnoreAccessRevision);
        let mut keys = record.key.iter().chain(&record.destination);
        let same_keys = keys.all(|key| self.is_current(key)) || is_planted(Bug::IgnoreKeyRevision);
        let current = same_rules && same_keys;
        if current {
            Verdict::Recorded(self.journal_use(place, record))
        } else {
            Verdict::Retry
        }
    }

    fn is_current(&self, used: &UsedKey) -> bool {
        let revision = self
            .keys
            .get(&used.name)
            .map_or(Revision(0), |key| key.info.revision);
        used.revision == revision
    }

    fn journal_use(&mut self, place: Place, mut record: UseRecord) -> AuditSequence {
        let sequence = self.audit.size();
        record.attempt = attempt_of(sequence, record.attempt);
        self.append_leaf(use_leaf(sequence, place.time, place.node, &record))
    }
}
