//! The verdicts of commit-gated use: two integer comparisons a record.

use super::batches::Recall;
use super::{Place, State};
use crate::audit::{AuditOutcome, AuditRecord};
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

    fn journal_use(&mut self, place: Place, record: UseRecord) -> AuditSequence {
        let outcome = match record.refusal {
            None => AuditOutcome::Allowed,
            Some(refusal) if refusal.is_denial() => AuditOutcome::Denied,
            Some(_) => AuditOutcome::Failed,
        };
        let (key, destination) = (record.key.as_ref(), record.destination.as_ref());
        let number = |used: Option<&UsedKey>| used.and_then(|u| u.version).map_or(0, |v| v.0);
        let name = |used: Option<&UsedKey>| used.map(|u| u.name.to_string()).unwrap_or_default();
        let id = key
            .and_then(|used| used.id)
            .map(|id| id.as_bytes().to_vec());
        let leaf = AuditRecord {
            request_id: record.request.as_bytes().to_vec(),
            attempt: record.attempt,
            principal: record.principal.to_string(),
            authentication: "mtls".to_owned(),
            operation: record.operation.as_str().to_owned(),
            key: name(key),
            key_id: id.unwrap_or_default(),
            version: number(key),
            destination_key: name(destination),
            destination_version: number(destination),
            count: record.count,
            outcome: outcome.into(),
            reason: record
                .refusal
                .map(|it| it.as_str().to_owned())
                .unwrap_or_default(),
            key_revision: key.map_or(0, |used| used.revision.0),
            access_revision: record.access_revision.0,
            source_address: record.source,
            context: record.context.into(),
            ..AuditRecord::default()
        };
        self.append_audit(place, leaf)
    }
}
