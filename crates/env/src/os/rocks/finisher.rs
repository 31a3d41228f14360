//! One thread per database that does what takes long and that nobody waits for, one thing after the other.

use parking_lot::Mutex;
use std::sync::mpsc;
use std::thread::JoinHandle;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The thread, started when there is something to do. Dropping it waits for what was handed in.
#[derive(Default)]
pub(super) struct Finisher(Mutex<Option<Running>>);

struct Running {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

impl Finisher {
    /// Hands something in. Done at once where no thread can be had.
    pub(super) fn run(&self, job: Job) {
        let mut running = self.0.lock();
        if running.is_none() {
            *running = start().ok();
        }
        let refused = match &*running {
            Some(running) => running.jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        drop(running);
        if let Some(job) = refused {
            job();
        }
    }
}

fn start() -> std::io::Result<Running> {
    let (jobs, waiting) = mpsc::channel::<Job>();
    let thread = std::thread::Builder::new()
        .name("checkpoint".to_owned())
        .spawn(move || waiting.into_iter().for_each(|job| job()))?;
    Ok(Running { jobs, thread })
}

impl Drop for Finisher {
    fn drop(&mut self) {
        let Some(Running { jobs, thread }) = self.0.lock().take() else {
            return;
        };
        drop(jobs);
        // The last handle of the database can be dropped on the thread itself, which ends after it.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_done_in_their_order_and_before_the_end() {
        let (done, order) = mpsc::channel();
        let finisher = Finisher::default();
        for number in 0..100 {
            let done = done.clone();
            finisher.run(Box::new(move || done.send(number).unwrap()));
        }
        drop(finisher);
        assert!(order.try_iter().eq(0..100));
    }
}
