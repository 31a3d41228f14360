//! An unseal attempt on this node: shares that count, in locked memory, until there are enough or time is up.

use crate::limits::UNSEAL_ATTEMPT_LIFE;
use conclave_core::{AttemptId, CustodianName, SetId};
use conclave_crypto::Share;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Shares that count.
pub(crate) struct Attempt {
    pub(crate) id: AttemptId,
    pub(crate) set: SetId,
    pub(crate) began: Instant,
    pub(crate) shares: BTreeMap<CustodianName, Share>,
}

impl Attempt {
    pub(crate) fn new(id: AttemptId, set: SetId) -> Self {
        Self {
            id,
            set,
            began: Instant::now(),
            shares: BTreeMap::new(),
        }
    }

    /// When it is forgotten.
    pub(crate) fn expires_at(&self) -> Instant {
        self.began + UNSEAL_ATTEMPT_LIFE
    }

    /// Whether it is still good for shares of `set`.
    pub(crate) fn is_current(&self, set: SetId) -> bool {
        self.set == set && Instant::now() < self.expires_at()
    }
}
