//! The cryptography of large batches, on all cores.

use crate::error::ServiceError;
use crate::limits::{PARALLEL_ITEMS_MIN, PRIMES_AT_ONCE, TURN_ITEMS};
use rayon::prelude::*;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{block_in_place, yield_now};
use tokio::time::{Instant, timeout_at};

/// Does the same with each item, in their order. The runtime's other tasks go on meanwhile.
pub(crate) async fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync + Send,
) -> Vec<R> {
    // In a simulation nothing may run beside it.
    let flavor = Handle::current().runtime_flavor();
    if items.len() >= PARALLEL_ITEMS_MIN && matches!(flavor, RuntimeFlavor::MultiThread) {
        return block_in_place(|| {
            let pieces = items.par_iter().with_min_len(PARALLEL_ITEMS_MIN / 2);
            pieces.map(work).collect()
        });
    }
    let mut results = Vec::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        results.push(work(item));
        if place % TURN_ITEMS == TURN_ITEMS - 1 {
            yield_now().await;
        }
    }
    results
}

/// The same where each item takes milliseconds: on all cores however few they are.
pub(crate) async fn each_long<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync + Send,
) -> Vec<R> {
    let flavor = Handle::current().runtime_flavor();
    if matches!(flavor, RuntimeFlavor::MultiThread) {
        return block_in_place(|| items.par_iter().map(work).collect());
    }
    each(items, work).await
}

/// Does one thing that takes milliseconds. The runtime's other tasks go on meanwhile.
pub(crate) fn long<R>(work: impl FnOnce() -> R) -> R {
    let flavor = Handle::current().runtime_flavor();
    if matches!(flavor, RuntimeFlavor::MultiThread) {
        block_in_place(work)
    } else {
        work()
    }
}

static PRIMES: Semaphore = Semaphore::const_new(PRIMES_AT_ONCE);

/// Waits for a turn at drawing primes, which keeps a core busy for up to seconds: whoever may use a key could otherwise
/// keep all cores from everybody, and from Raft.
///
/// # Errors
/// [`ServiceError::Deadline`] if it is not one's turn by then.
pub(crate) async fn turn_at_primes(
    deadline: Instant,
) -> Result<SemaphorePermit<'static>, ServiceError> {
    match timeout_at(deadline, PRIMES.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(ServiceError::Deadline {
            why: "RSA keys are drawn for others first".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check() {
        for count in [0, 1, PARALLEL_ITEMS_MIN, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = each(&items, |it| 2 * it).await;
            assert!(doubled.into_iter().eq((0..count).map(|it| 2 * it)));
            let doubled = each_long(&items, |it| 2 * it).await;
            assert!(doubled.into_iter().eq((0..count).map(|it| 2 * it)));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn answers_stand_in_the_order_of_the_items() {
        check().await;
    }

    #[tokio::test]
    async fn and_on_the_one_thread_of_a_simulation() {
        check().await;
    }

    #[tokio::test]
    async fn primes_are_drawn_in_turn() {
        let turns: Vec<_> = (0..PRIMES_AT_ONCE)
            .map(|_| PRIMES.try_acquire().unwrap())
            .collect();
        let refused = turn_at_primes(Instant::now()).await.map(drop);
        assert!(matches!(refused, Err(ServiceError::Deadline { .. })));
        drop(turns);
        assert!(turn_at_primes(Instant::now()).await.is_ok());
    }
}
