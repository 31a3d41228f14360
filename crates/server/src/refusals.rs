//! Equal refusals of one principal within a second are one record with a count, so that a caller who is refused cannot
//! fill the log. The first one is recorded at once; those that follow wait for the end of the second.

use crate::error::ServiceError;
use crate::limits::{REFUSAL_KINDS_MAX, REFUSAL_WINDOW};
use crate::pipeline::UsePipeline;
use conclave_core::{EncryptionContext, UseRecord, Verdict};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

/// What makes two refusals equal: the record without request, source and context.
type Kind = Vec<u8>;
type Waiter = oneshot::Sender<Result<Verdict, ServiceError>>;

#[derive(Default)]
struct Window {
    waiting: Vec<Waiter>,
    count: u32,
}

/// Commits refusals. Cheap to clone.
#[derive(Clone)]
pub struct Refusals {
    pipeline: UsePipeline,
    windows: Arc<Mutex<BTreeMap<Kind, Window>>>,
}

impl Refusals {
    /// In front of a pipeline.
    pub fn new(pipeline: UsePipeline) -> Self {
        Self {
            pipeline,
            windows: Arc::default(),
        }
    }

    /// Commits one refusal, alone or with its equals.
    ///
    /// # Errors
    /// As [`UsePipeline::record`] has them.
    pub async fn record(
        &self,
        record: UseRecord,
        deadline: Instant,
    ) -> Result<Verdict, ServiceError> {
        match self.join(&record) {
            Joined::Waiting(answer) => match timeout_at(deadline, answer).await {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(_)) => Err(ServiceError::Stopping),
                Err(_) => {
                    let why = "none committed the refusal within the deadline".to_owned();
                    Err(ServiceError::NoQuorum { why })
                }
            },
            Joined::Opened(kind) => {
                tokio::spawn(self.clone().close(kind, record.clone()));
                self.pipeline.record(record, deadline).await
            }
            Joined::Alone => self.pipeline.record(record, deadline).await,
        }
    }

    fn join(&self, record: &UseRecord) -> Joined {
        let kind = kind_of(record);
        let mut windows = self.windows.lock();
        if let Some(window) = windows.get_mut(&kind) {
            let (waiter, answer) = oneshot::channel();
            window.waiting.push(waiter);
            window.count = window.count.saturating_add(record.count);
            return Joined::Waiting(answer);
        }
        if windows.len() >= REFUSAL_KINDS_MAX {
            return Joined::Alone;
        }
        windows.insert(kind.clone(), Window::default());
        Joined::Opened(kind)
    }

    /// Ends a window: what gathered in it becomes one record.
    async fn close(self, kind: Kind, mut record: UseRecord) {
        sleep(REFUSAL_WINDOW).await;
        let Some(window) = self.windows.lock().remove(&kind) else {
            return;
        };
        if window.waiting.is_empty() {
            return;
        }
        record.count = window.count;
        let deadline = Instant::now() + crate::limits::DEADLINE_DEFAULT;
        let verdict = self.pipeline.record(record, deadline).await;
        for waiter in window.waiting {
            // Whoever stopped waiting was refused already.
            drop(waiter.send(verdict.clone()));
        }
    }
}

enum Joined {
    Waiting(oneshot::Receiver<Result<Verdict, ServiceError>>),
    Opened(Kind),
    Alone,
}

fn kind_of(record: &UseRecord) -> Kind {
    let stripped = UseRecord {
        request: conclave_core::RequestId::default(),
        attempt: 0,
        source: String::new(),
        context: EncryptionContext::default(),
        count: 0,
        ..record.clone()
    };
    format!("{stripped:?}").into_bytes()
}
