//! [`LogStore`]: openraft's contract kept on a [`Store`](conclave_env::Store).
//!
//! Votes, truncations and purges are durable when their call returns; an append is readable when its call returns and
//! acknowledged only after the sync behind it. All go to the store in the order in which they were asked for, and the
//! store keeps that order, so that what a crash leaves is always a prefix.

use super::recent::Recent;
use super::{ENTRIES, META};
use crate::codec;
use crate::limits::APPEND_BYTES;
use crate::slot::StoreSlot;
use crate::types::{Entry, LogId, Types, Vote};
use conclave_core::planted::{Bug, is_planted};
use conclave_env::{Batch, StoreError};
use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

pub(crate) const VOTE_ROW: &[u8] = b"vote";
const COMMITTED_ROW: &[u8] = b"committed";
pub(crate) const PURGED_ROW: &[u8] = b"purged";
/// Sorts behind every index.
const END_OF_ENTRIES: [u8; 9] = [0xff; 9];

/// The log and vote of this node. Clones are the same log.
#[derive(Clone)]
pub(crate) struct LogStore(Arc<Log>);

struct Log {
    slot: Arc<StoreSlot>,
    memory: Mutex<Memory>,
}

/// What is known without reading the disk.
#[derive(Default)]
struct Memory {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// Noted, and not written yet.
    committed: Option<LogId>,
    recent: Recent,
}

fn row(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

fn read_meta<T: DeserializeOwned>(slot: &StoreSlot, row: &[u8]) -> Result<Option<T>, StoreError> {
    let Some(bytes) = slot.with(|store| store.read(META, row))? else {
        return Ok(None);
    };
    let name = String::from_utf8_lossy(row);
    codec::decode(&bytes)
        .map(Some)
        .map_err(|e| slot.corrupt(&format!("{name}: {e}")))
}

fn meta<T: Serialize>(row: &[u8], value: &T) -> Batch {
    let mut batch = Batch::new();
    batch.put(META, row, codec::encode(value));
    batch
}

impl LogStore {
    /// Reads what the log ends with.
    ///
    /// # Errors
    /// As the disk has them.
    pub(crate) fn load(slot: Arc<StoreSlot>) -> Result<Self, StoreError> {
        let vote = read_meta(&slot, VOTE_ROW)?;
        let purged: Option<LogId> = read_meta(&slot, PURGED_ROW)?;
        let last = slot.with(|store| store.last(ENTRIES))?;
        let last = last
            .map(|(_, bytes)| decode_entry(&slot, &bytes))
            .transpose()?;
        let last = last.map(|entry| entry.log_id).or(purged);
        let memory = Mutex::new(Memory {
            vote,
            purged,
            last,
            committed: None,
            recent: Recent::default(),
        });
        Ok(Self(Arc::new(Log { slot, memory })))
    }

    /// The part of a range that the log has.
    fn clamp(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let memory = self.0.memory.lock();
        let first = memory.purged.map_or(0, |id| id.index + 1);
        let end = memory.last.map_or(0, |id| id.index + 1);
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let from = from.max(first);
        from..to.min(end).max(from)
    }

    /// Entries of a range, until they take more than `bytes_max`; at least one if there is one.
    fn entries(
        &self,
        range: &impl RangeBounds<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let range = self.clamp(range);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.0.memory.lock().recent.get(&range, bytes_max) {
            return Ok(entries);
        }
        let (mut entries, mut bytes, mut from) = (Vec::new(), 0, range.start);
        while from < range.end && bytes < bytes_max {
            let (start, end) = (row(from), row(range.end));
            let bounds = (
                Bound::Included(start.as_slice()),
                Bound::Excluded(end.as_slice()),
            );
            let rows = self
                .0
                .slot
                .with(|store| store.scan(ENTRIES, bounds.0, bounds.1, READ_ROWS))?;
            if rows.is_empty() {
                break;
            }
            for (_, value) in rows {
                bytes += value.len();
                if bytes > bytes_max && !entries.is_empty() {
                    break;
                }
                let entry = decode_entry(&self.0.slot, &value)?;
                from = entry.log_id.index + 1;
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.0.slot.with(|store| store.write(batch))
    }
}

/// Rows read from the disk at a time.
const READ_ROWS: usize = 64;

fn decode_entry(slot: &StoreSlot, bytes: &[u8]) -> Result<Entry, StoreError> {
    codec::decode(bytes).map_err(|e| slot.corrupt(&format!("an entry: {e}")))
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.entries(&range, usize::MAX).map_err(io::Error::other)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.entries(&(start..end), APPEND_BYTES)
            .map_err(io::Error::other)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.0.memory.lock().vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let memory = self.0.memory.lock();
        Ok(LogState {
            last_purged_log_id: memory.purged,
            last_log_id: memory.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.write(meta(VOTE_ROW, vote)).map_err(io::Error::other)?;
        if !is_planted(Bug::SkipVoteSync) {
            self.0.slot.sync().await.map_err(io::Error::other)?;
        }
        self.0.memory.lock().vote = Some(*vote);
        Ok(())
    }

    /// Goes to the disk with the next append: it only spares a restart some waiting, and is not worth a write of its
    /// own.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.0.memory.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        if let Some(noted) = self.0.memory.lock().committed {
            return Ok(Some(noted));
        }
        let committed: Option<Option<LogId>> =
            read_meta(&self.0.slot, COMMITTED_ROW).map_err(io::Error::other)?;
        Ok(committed.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry, IntoIter: OptionalSend> + OptionalSend,
    {
        {
            let mut batch = Batch::new();
            let mut appended = Vec::new();
            for entry in entries {
                let bytes = codec::encode(&entry);
                appended.push((entry, bytes.len()));
                batch.put(
                    ENTRIES,
                    row(appended[appended.len() - 1].0.log_id.index),
                    bytes,
                );
            }
            let mut memory = self.0.memory.lock();
            if let Some(committed) = memory.committed.take() {
                batch.put(META, COMMITTED_ROW, codec::encode(&Some(committed)));
            }
            self.write(batch).map_err(io::Error::other)?;
            for (entry, bytes) in appended {
                memory.last = Some(entry.log_id);
                memory.recent.push(entry, bytes);
            }
        }
        if is_planted(Bug::AcknowledgeBeforeSync) {
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.0
            .slot
            .sync_then(move |result| callback.io_completed(result.map_err(io::Error::other)));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index + 1);
        {
            let mut batch = Batch::new();
            batch.delete_range(ENTRIES, row(from), END_OF_ENTRIES);
            let mut memory = self.0.memory.lock();
            self.write(batch).map_err(io::Error::other)?;
            memory.recent.truncate(from);
            if memory.last > last {
                memory.last = last.max(memory.purged);
            }
        }
        self.0.slot.sync().await.map_err(io::Error::other)
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        {
            let mut batch = meta(PURGED_ROW, &upto);
            batch.delete_range(ENTRIES, row(0), row(upto.index + 1));
            let mut memory = self.0.memory.lock();
            self.write(batch).map_err(io::Error::other)?;
            memory.recent.purge(upto.index + 1);
            memory.purged = Some(upto);
            // A snapshot can reach behind the end of the log.
            memory.last = memory.last.max(Some(upto));
        }
        self.0.slot.sync().await.map_err(io::Error::other)
    }
}
