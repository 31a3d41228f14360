//! Threads that take calls from one bounded queue.

use crate::HsmError;
use crate::limits::CALLS_TOGETHER_MAX;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A call; it is told the number of the thread that runs it, and gives its answer to be handed over.
type Job = Box<dyn FnOnce(usize) -> Answer + Send>;
/// Hands an answer to whoever waits for it.
type Answer = Box<dyn FnOnce() + Send>;

/// Dropping them finishes what is queued, and joins them.
pub(super) struct Threads {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue {
    jobs_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    is_closing: bool,
}

impl Threads {
    pub(super) fn start(name: &str, count: usize, jobs_max: usize) -> std::io::Result<Self> {
        let state = Mutex::default();
        let queue = Arc::new(Queue {
            jobs_max,
            state,
            changed: Condvar::new(),
        });
        let mut threads = Self {
            queue,
            threads: Vec::new(),
        };
        for number in 0..count {
            let queue = Arc::clone(&threads.queue);
            let builder = std::thread::Builder::new().name(format!("{name}-{number}"));
            threads.threads.push(builder.spawn(move || {
                while let Some(jobs) = queue.next(count) {
                    // Handed over together, so that whoever waits is woken once for all of them.
                    let answers: Vec<Answer> = jobs.into_iter().map(|job| job(number)).collect();
                    for answer in answers {
                        answer();
                    }
                }
            })?);
        }
        Ok(threads)
    }

    /// Runs a call on one of the threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(usize) -> Result<T, HsmError> + Send + 'static,
    ) -> Result<T, HsmError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move |number| {
            let called = call(number);
            // Whoever asked may have gone away; the module has done it nevertheless.
            Box::new(move || drop(answer.send(called)))
        });
        {
            let mut state = self.queue.state.lock();
            if state.jobs.len() >= self.queue.jobs_max {
                return Err(HsmError::Busy);
            }
            state.jobs.push_back(job);
        }
        self.queue.changed.notify_one();
        let lost = || HsmError::Lost {
            detail: "the thread that made the call ended".to_owned(),
        };
        answered.await.unwrap_or_else(|_| Err(lost()))
    }
}

impl Queue {
    /// This thread's share of the calls that wait by now; `None` when there are none and none will come.
    fn next(&self, threads: usize) -> Option<Vec<Job>> {
        let mut state = self.state.lock();
        loop {
            let waiting = state.jobs.len();
            if waiting > 0 {
                let share = waiting.div_ceil(threads).min(CALLS_TOGETHER_MAX);
                return Some(state.jobs.drain(..share).collect());
            }
            if state.is_closing {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.state.lock().is_closing = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic in it was reported when it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_calls_than_allowed_are_refused_at_once() {
        let threads = Threads::start("test", 1, 2).unwrap();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let first = threads.run(move |_| {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
            Ok(1)
        });
        let rest = async {
            begins.await.unwrap();
            let mut waiting = Box::pin(async {
                tokio::join!(
                    threads.run(|_| Ok(2)),
                    threads.run(|_| Ok(3)),
                    threads.run(|_| Ok(4)),
                )
            });
            assert!(futures::poll!(&mut waiting).is_pending());
            go.send(()).unwrap();
            waiting.await
        };
        let (first, (second, third, fourth)) = tokio::join!(first, rest);
        assert_eq!((first, second, third), (Ok(1), Ok(2), Ok(3)));
        assert_eq!(fourth, Err(HsmError::Busy));
    }
}
