//! One thread per database that makes writes durable: those that wait together share one fsync.

use crate::limits::SYNCS_WAITING_MAX;
use crate::store::{Done, StoreError};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;

/// The thread and the queue in front of it. Dropping it answers those that wait, and joins the thread.
pub(super) struct Syncer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Done>,
    is_closing: bool,
}

impl Syncer {
    /// Starts the thread; `flush` is one group's fsync.
    pub(super) fn start(
        name: &str,
        mut flush: impl FnMut() -> Result<(), StoreError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name(format!("sync-{name}"))
            .spawn(move || {
                while let Some(group) = of_thread.next_group() {
                    let result = flush();
                    for done in group {
                        done(result.clone());
                    }
                }
            })?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    /// Queues a caller. Given back if too many wait.
    pub(super) fn push(&self, done: Done) -> Result<(), Done> {
        let mut state = self.queue.state.lock();
        if state.waiting.len() >= SYNCS_WAITING_MAX {
            return Err(done);
        }
        state.waiting.push(done);
        self.queue.changed.notify_one();
        Ok(())
    }
}

impl Queue {
    /// Those that wait by now; `None` when there are none and none will come.
    fn next_group(&self) -> Option<Vec<Done>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.is_closing {
                return None;
            }
            self.changed.wait(&mut state);
        }
        Some(std::mem::take(&mut state.waiting))
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue.state.lock().is_closing = true;
        self.queue.changed.notify_one();
        let Some(thread) = self.thread.take() else {
            return;
        };
        // The last handle can be dropped by a `done` on the thread itself, which ends after it.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn those_that_wait_together_share_one_flush() {
        let (begun, begins) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let syncer = Syncer::start("test", move || {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
            Ok(())
        })
        .unwrap();
        let (answer, answers) = mpsc::channel();
        let push = |number: u32| {
            let answer = answer.clone();
            let done: Done = Box::new(move |result| answer.send((number, result)).unwrap());
            assert!(syncer.push(done).is_ok());
        };
        push(0);
        begins.recv().unwrap();
        push(1);
        push(2);
        go.send(()).unwrap();
        begins.recv().unwrap();
        assert_eq!(answers.recv().unwrap(), (0, Ok(())));
        go.send(()).unwrap();
        assert_eq!(answers.recv().unwrap(), (1, Ok(())));
        assert_eq!(answers.recv().unwrap(), (2, Ok(())));
        push(3);
        go.send(()).unwrap();
        drop(syncer);
        assert_eq!(
            answers.recv().unwrap(),
            (3, Ok(())),
            "answered before the end"
        );
        assert_eq!(begins.try_iter().count(), 1);
    }
}
