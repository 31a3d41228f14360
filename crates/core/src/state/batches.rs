//! The memory of recent use batches, so that one proposed again after a lost answer counts once.

use super::State;
use crate::ids::NodeId;
use crate::limits::{BATCHES_PER_NODE_MAX, RETIRED_INCARNATIONS_MAX};
use crate::uses::{BatchId, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One batch that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AppliedBatch {
    /// Of its records.
    pub(super) digest: [u8; 16],
    pub(super) verdicts: Vec<Verdict>,
}

/// The processes of a node: the one whose batches count, and those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Incarnations {
    pub(super) current: u64,
    /// The longest gone first.
    pub(super) retired: Vec<u64>,
}

/// Batches of one node's current process, the latest by their sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BatchMemory {
    pub(super) incarnations: Incarnations,
    pub(super) applied: BTreeMap<BatchId, AppliedBatch>,
}

/// What is known of a batch.
pub(super) enum Recall<'a> {
    /// It was not applied.
    New,
    /// It was applied.
    Known(&'a [Verdict]),
    /// It may have been applied and forgotten, or its id is that of another batch.
    Refused,
}

impl BatchMemory {
    pub(super) fn recall(&self, id: BatchId, digest: [u8; 16]) -> Recall<'_> {
        if id.incarnation != self.incarnations.current {
            let ended = self.incarnations.retired.contains(&id.incarnation);
            return if ended { Recall::Refused } else { Recall::New };
        }
        match self.applied.get(&id) {
            Some(it) if it.digest == digest => return Recall::Known(&it.verdicts),
            Some(_) => return Recall::Refused,
            None => {}
        }
        // What is forgotten is always lower than all that is remembered.
        let full = self.applied.len() >= BATCHES_PER_NODE_MAX;
        let oldest = self.applied.first_key_value().map(|(oldest, _)| *oldest);
        if full && oldest.is_some_and(|oldest| id < oldest) {
            Recall::Refused
        } else {
            Recall::New
        }
    }

    /// A node runs once at a time: a batch of a new process ends the one before it.
    fn change_incarnation(&mut self, next: u64) -> Vec<BatchId> {
        let Incarnations { current, retired } = &mut self.incarnations;
        retired.push(std::mem::replace(current, next));
        if retired.len() > RETIRED_INCARNATIONS_MAX {
            retired.remove(0);
        }
        std::mem::take(&mut self.applied).into_keys().collect()
    }
}

impl State {
    pub(super) fn remember_batch(
        &mut self,
        node: NodeId,
        id: BatchId,
        digest: [u8; 16],
        verdicts: &[Verdict],
    ) {
        let known = self.batches.contains_key(&node);
        let memory = self.batches.entry(node).or_default();
        let mut forgotten = Vec::new();
        let new_process = !known || memory.incarnations.current != id.incarnation;
        if !known {
            memory.incarnations.current = id.incarnation;
        } else if new_process {
            forgotten = memory.change_incarnation(id.incarnation);
        }
        let verdicts = verdicts.to_vec();
        let batch = AppliedBatch { digest, verdicts };
        memory.applied.insert(id, batch.clone());
        if memory.applied.len() > BATCHES_PER_NODE_MAX {
            forgotten.extend(memory.applied.pop_first().map(|(oldest, _)| oldest));
        }
        let incarnations = new_process.then(|| memory.incarnations.clone());
        if let Some(incarnations) = incarnations {
            self.save_incarnations(node, &incarnations);
        }
        self.save_batch(node, id, &batch);
        for id in forgotten {
            self.remove_batch(node, id);
        }
    }
}
