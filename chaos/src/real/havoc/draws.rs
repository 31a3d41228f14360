//! What is left to chance, from a seed: the same seed, kind and number draw the same trial. When a process is scheduled,
//! and what a client's call meets, is the machine's to decide and does not repeat.

use super::Kind;
use rand::seq::IteratorRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The draws of one trial, or of one worker.
pub(super) struct Draws(pub(super) ChaCha8Rng);

impl Draws {
    /// Of a trial.
    pub(super) fn of_trial(seed: u64, kind: Kind, trial: u64) -> Self {
        Self::of_stream(seed, (kind.number() << 32) | trial)
    }

    /// Of a worker of the workload.
    pub(super) fn of_worker(seed: u64, worker: u64) -> Self {
        Self::of_stream(seed, (0xFF << 32) | worker)
    }

    fn of_stream(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// True `of` times out of `out_of`.
    pub(super) fn is(&mut self, of: u32, out_of: u32) -> bool {
        self.0.random_ratio(of, out_of)
    }

    /// A time of so many milliseconds.
    pub(super) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.0.random_range(range))
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn one<T>(&mut self, of: impl IntoIterator<Item = T>) -> T {
        of.into_iter()
            .choose(&mut self.0)
            .expect("there is something to choose from")
    }
}
