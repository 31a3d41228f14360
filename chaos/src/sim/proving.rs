//! What clients ask for of codes and signatures.

use super::workload::{Worker, canary};
use crate::history::{Asked, Changed, ProofId, ProofKind, SecretKind};
use conclave_core::Purpose;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use std::sync::atomic::Ordering;

/// Codes or signatures back to which one looks.
const RECENT: usize = 60;

impl Worker {
    pub(super) fn prove(&mut self, kind: ProofKind) -> Option<Asked> {
        let key = self.key_for(match kind {
            ProofKind::Code => Purpose::Mac,
            ProofKind::Signature => Purpose::Sign,
        })?;
        // Now and then of what was proved before: it must become the same.
        let again = if self.rng.random_ratio(1, 4) {
            let id = self.proof(kind);
            id.map(|id| {
                self.shared
                    .recorder
                    .look(|it| it.proofs[id.0].message.clone())
            })
        } else {
            None
        };
        let fresh = || canary(self.shared.plaintexts.fetch_add(1, Ordering::Relaxed));
        let message = again.unwrap_or_else(fresh);
        let version = self
            .rng
            .random_ratio(1, 10)
            .then(|| self.rng.random_range(1..=2));
        Some(Asked::Prove {
            kind,
            key,
            version,
            message,
        })
    }

    pub(super) fn share(&mut self, kind: SecretKind) -> Option<Asked> {
        let key = self.key_for(match kind {
            SecretKind::Agreed => Purpose::Agree,
            SecretKind::Decapsulated => Purpose::AsymmetricDecrypt,
        })?;
        let version = self
            .rng
            .random_ratio(1, 3)
            .then(|| self.rng.random_range(1..=3));
        Some(Asked::Share { kind, key, version })
    }

    pub(super) fn check(&mut self, kind: ProofKind) -> Option<Asked> {
        let proof = self.proof(kind)?;
        let changed = match self.rng.random_range(0..6) {
            0 => Changed::Message,
            1 => Changed::Proof,
            _ => Changed::Nothing,
        };
        Some(Asked::Check {
            kind,
            proof,
            changed,
        })
    }

    /// Mostly what is recent, so that it meets changes that are under way.
    fn proof(&mut self, kind: ProofKind) -> Option<ProofId> {
        let recent = if self.rng.random_ratio(2, 3) {
            RECENT
        } else {
            usize::MAX
        };
        let found: Vec<_> = self.shared.recorder.look(|history| {
            let all = history.proofs.iter().enumerate().rev().take(recent);
            all.filter(|(_, proof)| proof.kind == kind)
                .map(|(place, _)| ProofId(place))
                .collect()
        });
        found.choose(&mut self.rng).copied()
    }
}
