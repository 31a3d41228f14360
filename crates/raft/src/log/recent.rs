//! The newest entries in memory, so that replication and apply do not read the disk.

use crate::limits::{RECENT_BYTES_MAX, RECENT_ENTRIES_MAX};
use crate::types::Entry;
use std::collections::VecDeque;
use std::ops::Range;

/// A run of entries without holes that ends with the log.
#[derive(Default)]
pub(super) struct Recent {
    /// Each with its encoded length.
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
}

impl Recent {
    fn first(&self) -> Option<u64> {
        self.entries.front().map(|(entry, _)| entry.log_id.index)
    }

    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        let follows = self
            .entries
            .back()
            .is_none_or(|(last, _)| last.log_id.index + 1 == entry.log_id.index);
        if !follows {
            self.entries.clear();
            self.bytes = 0;
        }
        self.entries.push_back((entry, bytes));
        self.bytes += bytes;
        while self.entries.len() > RECENT_ENTRIES_MAX || self.bytes > RECENT_BYTES_MAX {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some((_, bytes)) = self.entries.pop_front() {
            self.bytes -= bytes;
        }
    }

    /// Forgets the entries from `index` on.
    pub(super) fn truncate(&mut self, index: u64) {
        while self
            .entries
            .back()
            .is_some_and(|(entry, _)| entry.log_id.index >= index)
        {
            if let Some((_, bytes)) = self.entries.pop_back() {
                self.bytes -= bytes;
            }
        }
    }

    /// Forgets the entries before `index`.
    pub(super) fn purge(&mut self, index: u64) {
        while self.first().is_some_and(|first| first < index) {
            self.pop_front();
        }
    }

    /// The entries of a range that ends with the log or before, until they take more than `bytes_max`; at least one.
    /// `None` if the first one is not here.
    pub(super) fn get(&self, range: &Range<u64>, bytes_max: usize) -> Option<Vec<Entry>> {
        let skip = usize::try_from(range.start.checked_sub(self.first()?)?).ok()?;
        let take = usize::try_from(range.end.saturating_sub(range.start)).ok()?;
        if skip + take > self.entries.len() {
            return None;
        }
        let mut bytes = 0;
        let within = self
            .entries
            .range(skip..skip + take)
            .take_while(|(_, size)| {
                let is_first = bytes == 0;
                bytes += size;
                is_first || bytes <= bytes_max
            });
        Some(within.map(|(entry, _)| entry.clone()).collect())
    }
}
