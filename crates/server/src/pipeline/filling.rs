//! What goes into a batch, and when it is full.
//!
//! Callers that have just been answered come back a moment later. Without a pause for them they find that the next batch
//! has begun without them, and from then on two halves take turns, each paying for batches of its own.

use super::Pending;
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, GATHER_MAX, GATHER_MIN, GATHER_RECORDS_MIN,
    GATHERS_SKIPPED_MAX,
};
use conclave_core::{DataKeyUse, UseRecord};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until};

/// A batch that fills.
pub(super) struct Filling {
    pub(super) batch: Vec<Pending>,
    bytes: usize,
}

impl Filling {
    pub(super) fn begin(first: Pending) -> Self {
        let bytes = estimate(&first.record);
        let batch = vec![first];
        Self { batch, bytes }
    }

    fn has_room(&self) -> bool {
        self.batch.len() < BATCH_RECORDS_MAX && self.bytes < BATCH_BYTES_MAX
    }

    fn push(&mut self, next: Pending) {
        self.bytes += estimate(&next.record);
        self.batch.push(next);
    }

    /// Takes what waits already.
    pub(super) fn take_waiting(&mut self, records: &mut mpsc::Receiver<Pending>) {
        while self.has_room() {
            let Ok(next) = records.try_recv() else { break };
            self.push(next);
        }
    }
}

/// A batch whose callers have their answers.
pub(super) struct Answered {
    pub(super) records: usize,
    /// From its beginning to the answers.
    pub(super) took: Duration,
}

/// Whom a batch waits for: those who were answered when it could have begun. Where they do not come back, pauses become
/// rare.
#[derive(Default)]
pub(super) struct Company {
    /// How many records the batch is to have, and until when it waits for them.
    expected: Option<(usize, Instant)>,
    /// Pauses left out since the last one.
    skipped: u32,
    /// Pauses to leave out before the next one.
    skip: u32,
}

impl Company {
    /// A batch was answered while `waiting` others had handed in theirs.
    pub(super) fn note(&mut self, answered: &Result<Answered, JoinError>, waiting: usize) {
        if let Ok(Answered { records, took }) = answered {
            self.answered(*records, waiting, *took);
        }
    }

    fn answered(&mut self, records: usize, waiting: usize, took: Duration) {
        if records < GATHER_RECORDS_MIN {
            return;
        }
        if self.skipped < self.skip {
            self.skipped += 1;
            return;
        }
        // Not for the last ones: some callers have done what they came for.
        let expected = waiting + records - records / 8;
        // Where committing takes long because the CPU is busy, so does their way back.
        let patience = (2 * took).clamp(GATHER_MIN, GATHER_MAX);
        self.expected = Some((expected, Instant::now() + patience));
    }

    /// Waits for those who are expected.
    pub(super) async fn gather(
        &mut self,
        filling: &mut Filling,
        records: &mut mpsc::Receiver<Pending>,
    ) {
        let Some((expected, until)) = self.expected.take() else {
            return;
        };
        let mut patience = pin!(sleep_until(until));
        while filling.batch.len() < expected && filling.has_room() {
            tokio::select! {
                biased;
                next = records.recv() => match next {
                    Some(next) => filling.push(next),
                    None => return,
                },
                () = &mut patience => {
                    self.skip = (self.skip * 2).clamp(1, GATHERS_SKIPPED_MAX);
                    self.skipped = 0;
                    return;
                }
            }
        }
        self.skip = 0;
    }
}

/// About as many bytes as the record takes in the log.
fn estimate(record: &UseRecord) -> usize {
    let context: usize = record
        .context
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let keys = record.key.iter().chain(&record.destination);
    let keys: usize = keys.map(|key| key.name.as_str().len() + 32).sum();
    let data_key = match record.data_key.as_deref() {
        None => 0,
        Some(DataKeyUse::Of { .. }) => 32,
        Some(DataKeyUse::Register(new)) => {
            let labels = new
                .labels
                .iter()
                .map(|(name, value)| name.len() + value.len());
            32 + new.wrapped.len() + labels.sum::<usize>()
        }
    };
    64 + record.principal.as_str().len() + record.source.len() + context + keys + data_key
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_core::{EncryptionContext, Operation, PrincipalName, RequestId, Revision};
    use tokio::sync::oneshot;

    const QUICK: Duration = Duration::from_micros(500);

    fn pending() -> Pending {
        let record = UseRecord {
            request: RequestId([1; 16]),
            attempt: 0,
            principal: PrincipalName::new("ann").unwrap(),
            source: "10.0.0.1".to_owned(),
            operation: Operation::Encrypt,
            key: None,
            destination: None,
            data_key: None,
            context: EncryptionContext::default(),
            count: 1,
            refusal: None,
            access_revision: Revision(1),
        };
        let (verdict, _) = oneshot::channel();
        Pending {
            record,
            deadline: Instant::now(),
            verdict,
        }
    }

    fn hand_in(to: &mpsc::Sender<Pending>, records: usize) {
        for _ in 0..records {
            assert!(to.try_send(pending()).is_ok());
        }
    }

    /// The size of the next batch, and whether it paused in vain.
    async fn next(company: &mut Company, from: &mut mpsc::Receiver<Pending>) -> (usize, bool) {
        let before = Instant::now();
        let mut filling = Filling::begin(pending());
        company.gather(&mut filling, from).await;
        filling.take_waiting(from);
        (filling.batch.len(), before.elapsed() >= GATHER_MIN)
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_those_who_come_back() {
        let (to, mut from) = mpsc::channel(BATCH_RECORDS_MAX);
        let mut company = Company::default();
        hand_in(&to, 4);
        company.answered(32, 5, QUICK);
        let later = to.clone();
        let coming = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::task::yield_now().await;
                hand_in(&later, 7);
            }
        });
        assert_eq!(next(&mut company, &mut from).await, (33, false));
        coming.await.unwrap();
        assert_eq!(company.skip, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_few_callers() {
        let (to, mut from) = mpsc::channel(BATCH_RECORDS_MAX);
        let mut company = Company::default();
        company.answered(GATHER_RECORDS_MIN - 1, 1, QUICK);
        hand_in(&to, 2);
        assert_eq!(next(&mut company, &mut from).await, (3, false));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_in_vain_become_rare() {
        let (_to, mut from) = mpsc::channel(BATCH_RECORDS_MAX);
        let mut company = Company::default();
        let mut pauses = 0;
        for _ in 0..1_000 {
            company.answered(GATHER_RECORDS_MIN, 1, QUICK);
            let (size, has_paused) = next(&mut company, &mut from).await;
            assert_eq!(size, 1);
            pauses += usize::from(has_paused);
        }
        assert!((10..30).contains(&pauses), "{pauses} pauses");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_grows_with_what_committing_takes_and_is_bounded() {
        let (_to, mut from) = mpsc::channel(BATCH_RECORDS_MAX);
        for (took, patience) in [
            (QUICK, GATHER_MIN),
            (3 * QUICK, GATHER_MIN),
            (GATHER_MAX, GATHER_MAX),
        ] {
            let mut company = Company::default();
            company.answered(GATHER_RECORDS_MIN, 1, took);
            let before = Instant::now();
            let mut filling = Filling::begin(pending());
            company.gather(&mut filling, &mut from).await;
            let waited = before.elapsed();
            assert!(waited >= patience && waited < patience + Duration::from_millis(2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_waits_for_nobody() {
        let (to, mut from) = mpsc::channel(2 * BATCH_RECORDS_MAX);
        let mut company = Company::default();
        company.answered(2 * BATCH_RECORDS_MAX, 1, QUICK);
        hand_in(&to, BATCH_RECORDS_MAX);
        assert_eq!(
            next(&mut company, &mut from).await,
            (BATCH_RECORDS_MAX, false)
        );
        assert_eq!(from.len(), 1);
    }
}
