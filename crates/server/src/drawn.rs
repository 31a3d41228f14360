//! Random bytes of the HSM, drawn ahead: one call into the module serves many data keys.

use crate::limits::DRAWN_BYTES;
use crate::unsealed::keep_from_swap;
use conclave_crypto::Secret;
use conclave_env::{Hsm, HsmError};
use tokio::sync::Mutex;
use zeroize::Zeroize;

/// Bytes that were drawn and given to nobody yet; locked in memory, and wiped as they are given out.
pub(crate) struct Drawn(Mutex<Left>);

struct Left {
    bytes: Secret<DRAWN_BYTES>,
    /// How many of them, from the first one on.
    count: usize,
}

impl Drawn {
    pub(crate) fn new() -> Self {
        let bytes = Secret::zeroed();
        keep_from_swap(bytes.expose());
        Self(Mutex::new(Left { bytes, count: 0 }))
    }

    /// 32 bytes that nobody else is given. Those who come while some are drawn wait for them.
    ///
    /// # Errors
    /// As the HSM has them.
    pub(crate) async fn take(&self, hsm: &dyn Hsm) -> Result<Secret<32>, HsmError> {
        let mut left = self.0.lock().await;
        let left = &mut *left;
        if left.count < 32 {
            // A call that fails, or whose caller goes away, may have written some of them.
            left.count = 0;
            hsm.random(left.bytes.expose_mut()).await?;
            left.count = DRAWN_BYTES;
        }
        let taken = left.bytes.expose_mut().get_mut(left.count - 32..left.count);
        let taken = taken.expect("as many are left");
        let secret = Secret::from_slice(taken).expect("32 bytes");
        taken.zeroize();
        left.count -= 32;
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_env::mem::{MemEntropy, MemHsm};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    #[tokio::test]
    async fn no_bytes_are_given_twice_and_none_are_kept() {
        let hsm = MemHsm::new(Arc::new(MemEntropy::new(1)));
        let drawn = Drawn::new();
        let mut seen = BTreeSet::new();
        for _ in 0..3 * DRAWN_BYTES / 32 {
            let secret = drawn.take(&hsm).await.unwrap();
            assert!(seen.insert(*secret.expose()));
            let left = drawn.0.lock().await;
            let given = left.bytes.expose().get(left.count..).unwrap();
            assert!(
                given.iter().all(|byte| *byte == 0),
                "wiped as they are given"
            );
        }
        assert!(!seen.contains(&[0; 32]));
    }

    #[tokio::test]
    async fn an_hsm_that_fails_gives_nothing() {
        let hsm = MemHsm::new(Arc::new(MemEntropy::new(1)));
        let drawn = Drawn::new();
        drawn.take(&hsm).await.unwrap();
        while drawn.0.lock().await.count > 0 {
            drawn.take(&hsm).await.unwrap();
        }
        hsm.fail(Some(HsmError::Busy));
        assert!(drawn.take(&hsm).await.is_err());
        assert_eq!(drawn.0.lock().await.count, 0);
        hsm.fail(None);
        assert_ne!(*drawn.take(&hsm).await.unwrap().expose(), [0; 32]);
    }
}
