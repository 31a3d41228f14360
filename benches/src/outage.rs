//! How long one client goes without a good answer while something happens to the cluster.
//!
//! A [`Probe`] is one client that makes one request after the other, at most one every 5 ms, and leaves it to the
//! library to move on to another node.

use conclave_client::{Client, ClientError, v1};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// From the begin of one request to that of the next, at least.
const PACE: Duration = Duration::from_millis(5);

/// What a probe asks for.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Encrypts 32 bytes under this key.
    Encrypt(String),
    /// Creates keys whose names begin so.
    CreateKey(String),
}

impl Ask {
    async fn once(&self, client: &Client, turn: u64) -> Result<(), ClientError> {
        match self {
            Self::Encrypt(key) => {
                let (key, plaintext) = (key.clone(), vec![7; 32]);
                let request = v1::EncryptRequest {
                    key,
                    plaintext,
                    ..Default::default()
                };
                client.encrypt(request).await.map(drop)
            }
            Self::CreateKey(prefix) => {
                let name = format!("{prefix}-{turn}");
                let request = v1::CreateKeyRequest {
                    name,
                    ..Default::default()
                };
                client.create_key(request).await.map(drop)
            }
        }
    }
}

/// One request that has ended.
#[derive(Clone, Debug)]
struct Answer {
    begun: Instant,
    ended: Instant,
    failure: Option<String>,
}

/// A client at work.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    origin: Instant,
    /// When the request that was answered well last had begun, since `origin`; 0: none was.
    served_ms: Arc<AtomicU64>,
    task: JoinHandle<Vec<Answer>>,
}

impl Probe {
    /// Begins to ask, inside a tokio runtime.
    pub fn start(client: Client, ask: Ask) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served_ms = Arc::new(AtomicU64::new(0));
        let origin = Instant::now();
        let task = tokio::spawn({
            let (stop, served_ms) = (stop.clone(), served_ms.clone());
            async move {
                let mut answers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let result = ask.once(&client, answers.len() as u64).await;
                    if result.is_ok() {
                        let at = (begun - origin).as_millis().max(1);
                        served_ms.store(u64::try_from(at).unwrap_or(u64::MAX), Ordering::Relaxed);
                    }
                    let failure = result.err().map(|error| error.to_string());
                    answers.push(Answer {
                        begun,
                        ended: Instant::now(),
                        failure,
                    });
                    sleep(PACE.saturating_sub(begun.elapsed())).await;
                }
                answers
            }
        });
        Self {
            stop,
            origin,
            served_ms,
            task,
        }
    }

    /// Whether a request that began at that instant or later has been answered well.
    pub fn is_served_since(&self, instant: Instant) -> bool {
        let served = Duration::from_millis(self.served_ms.load(Ordering::Relaxed));
        served > instant.saturating_duration_since(self.origin)
    }

    /// Ends, and says how long nothing was answered well around `event`.
    ///
    /// # Panics
    /// If the probe itself panicked.
    pub async fn end(self, event: Instant) -> Outage {
        self.stop.store(true, Ordering::Relaxed);
        let answers = self.task.await.expect("a probe does not panic");
        Outage::of(&answers, event)
    }
}

/// What one client saw of an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outage {
    /// From the event to the first good answer to a request that began after it; none if there was none.
    pub first_answer_ms: Option<f64>,
    /// The longest time between two good answers, one of them after the event.
    pub longest_gap_ms: Option<f64>,
    /// Requests that began after the event.
    pub requests: usize,
    /// Failed ones among them.
    pub failed: usize,
    /// The text of the first failure.
    pub first_failure: Option<String>,
}

impl Outage {
    fn of(answers: &[Answer], event: Instant) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let after = || answers.iter().filter(|answer| answer.begun >= event);
        let good: Vec<&Answer> = answers
            .iter()
            .filter(|answer| answer.failure.is_none())
            .collect();
        let gaps = good.windows(2).filter(|pair| pair[1].ended >= event);
        Self {
            first_answer_ms: after()
                .find(|answer| answer.failure.is_none())
                .map(|answer| ms(answer.ended - event)),
            longest_gap_ms: gaps.map(|pair| pair[1].ended - pair[0].ended).max().map(ms),
            requests: after().count(),
            failed: after().filter(|answer| answer.failure.is_some()).count(),
            first_failure: answers.iter().find_map(|answer| answer.failure.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_spans_the_event_and_failures_do_not_end_it() {
        let origin = Instant::now();
        let at = |ms: u64| origin + Duration::from_millis(ms);
        let answer = |begun, ended, failure: Option<&str>| Answer {
            begun: at(begun),
            ended: at(ended),
            failure: failure.map(str::to_owned),
        };
        let answers = [
            answer(0, 1, None),
            answer(500, 501, None),
            answer(505, 700, Some("no leader")),
            answer(700, 900, None),
            answer(905, 906, None),
        ];
        let outage = Outage::of(&answers, at(600));
        assert_eq!(outage.first_answer_ms, Some(300.0));
        assert_eq!(outage.longest_gap_ms, Some(399.0));
        assert_eq!((outage.requests, outage.failed), (2, 0));
        assert_eq!(outage.first_failure.as_deref(), Some("no leader"));
    }
}
