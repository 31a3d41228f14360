//! The memory of recent writes, so that a retry after a lost answer returns the first answer and
//! does nothing twice.

use super::State;
use crate::ids::{RequestId, TimeMs};
use crate::limits::{REQUEST_MEMORY_MS, REQUESTS_MAX, REQUESTS_PER_PRINCIPAL_MAX, TICK_WORK_MAX};
use crate::names::PrincipalName;
use crate::outcome::{Refusal, Written};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) principal: PrincipalName,
    pub(super) request: RequestId,
    pub(super) time: TimeMs,
    /// Of what was asked for.
    pub(super) fingerprint: [u8; 16],
    pub(super) answer: Result<Written, Refusal>,
}

/// Answers in the order in which they were given, and where to find them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestMemory {
    next: u64,
    answers: BTreeMap<u64, Remembered>,
    by_request: BTreeMap<(PrincipalName, RequestId), u64>,
    by_principal: BTreeMap<PrincipalName, BTreeSet<u64>>,
}

impl RequestMemory {
    pub(super) fn restore(next: u64, answers: BTreeMap<u64, Remembered>) -> Self {
        let mut memory = Self {
            next,
            ..Self::default()
        };
        for (number, it) in answers {
            memory.insert(number, it);
        }
        memory
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn find(
        &self,
        principal: &PrincipalName,
        request: RequestId,
    ) -> Option<&Remembered> {
        let number = self.by_request.get(&(principal.clone(), request))?;
        self.answers.get(number)
    }

    /// The oldest answer of all.
    pub(super) fn oldest(&self) -> Option<(u64, TimeMs)> {
        self.answers
            .first_key_value()
            .map(|(number, it)| (*number, it.time))
    }

    /// What has to go before `principal` gets another answer: that principal's oldest one, or the
    /// oldest of all.
    fn surplus(&self, principal: &PrincipalName) -> Option<u64> {
        let own = self.by_principal.get(principal);
        match own.filter(|own| own.len() >= REQUESTS_PER_PRINCIPAL_MAX) {
            Some(own) => own.first().copied(),
            None if self.answers.len() >= REQUESTS_MAX => self.oldest().map(|(number, _)| number),
            None => None,
        }
    }

    /// The highest number in use.
    pub(super) fn last(&self) -> Option<u64> {
        self.answers.last_key_value().map(|(number, _)| *number)
    }

    fn insert(&mut self, number: u64, it: Remembered) {
        self.by_request
            .insert((it.principal.clone(), it.request), number);
        self.by_principal
            .entry(it.principal.clone())
            .or_default()
            .insert(number);
        self.answers.insert(number, it);
    }

    fn remove(&mut self, number: u64) {
        let Some(it) = self.answers.remove(&number) else {
            return;
        };
        if let Some(own) = self.by_principal.get_mut(&it.principal) {
            own.remove(&number);
            if own.is_empty() {
                self.by_principal.remove(&it.principal);
            }
        }
        // The same request may have been answered anew since, under a higher number.
        let name = (it.principal, it.request);
        if self.by_request.get(&name) == Some(&number) {
            self.by_request.remove(&name);
        }
    }
}

impl State {
    /// Remembers an answer, and forgets an old one if there are too many.
    pub(super) fn remember(&mut self, it: Remembered) {
        if let Some(number) = self.requests.surplus(&it.principal) {
            self.forget_request(number);
        }
        let number = self.requests.next;
        self.requests.next = number
            .checked_add(1)
            .expect("no cluster sees 2^64 requests");
        self.save_request(number, &it);
        self.requests.insert(number, it);
    }

    fn forget_request(&mut self, number: u64) {
        self.requests.remove(number);
        self.remove_request(number);
    }

    /// Forgets answers that are old enough, a bounded number at a time.
    pub(super) fn forget_old_requests(&mut self, now: TimeMs) {
        for _ in 0..TICK_WORK_MAX {
            match self.requests.oldest() {
                Some((number, time)) if is_old(time, now) => self.forget_request(number),
                Some(_) | None => return,
            }
        }
    }
}

pub(super) fn is_old(time: TimeMs, now: TimeMs) -> bool {
    now.0.saturating_sub(time.0) >= REQUEST_MEMORY_MS
}
