//! Snapshots: checkpoints of the state's database at an exact place in the log.

use super::apply::Machine;
use super::rows;
use crate::codec;
use crate::error::RaftError;
use crate::limits::{SNAPSHOT_CHUNK_BYTES, SNAPSHOTS_KEPT};
use crate::slot::{Awaited, StoreSlot};
use crate::types::{LogId, SnapshotMeta, Types};
use conclave_core::planted::{Bug, is_planted};
use conclave_core::{LogIndex, Revision, Table};
use conclave_env::store::Checkpoint;
use conclave_env::{Store, StoreError};
use openraft::storage::{RaftSnapshotBuilder, Snapshot};
use openraft::type_config::alias::SnapshotOf;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What comes before the names of snapshots that other nodes took.
const RECEIVED: &str = "r-";

fn own_name(log_id: Option<&LogId>) -> String {
    log_id.map_or_else(
        || "empty".to_owned(),
        |id| format!("t{}-i{}", id.committed_leader_id().term, id.index),
    )
}

/// What a snapshot of another node is called here. The name tells after a crash that nobody may have installed it.
pub(crate) fn received_name(log_id: &LogId) -> String {
    format!("{RECEIVED}{}", own_name(Some(log_id)))
}

/// A snapshot as openraft passes it around: where its files are, not their contents.
#[derive(Clone)]
pub(crate) struct SnapshotData {
    pub(crate) checkpoint: Checkpoint,
    /// The database that holds it.
    pub(crate) source: Arc<StoreSlot>,
}

impl fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "checkpoint {} of {} files",
            self.checkpoint.name,
            self.checkpoint.files.len()
        )
    }
}

/// A piece of a file of a snapshot.
pub(crate) struct Piece {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) data: Vec<u8>,
}

impl SnapshotData {
    /// The files in pieces of bounded length, in order. Read as they are asked for; nothing comes behind an error.
    pub(crate) fn pieces(self) -> impl Iterator<Item = Result<Piece, StoreError>> + Send {
        let Self {
            checkpoint: Checkpoint { name, files, .. },
            source,
        } = self;
        let places = files.into_iter().flat_map(|file| {
            let offsets = (0..file.size).step_by(SNAPSHOT_CHUNK_BYTES);
            offsets.map(move |offset| (file.name.clone(), offset))
        });
        let mut has_failed = false;
        places.map_while(move |(file, offset)| {
            if has_failed {
                return None;
            }
            let read = source
                .with(|store| store.read_checkpoint(&name, &file, offset, SNAPSHOT_CHUNK_BYTES));
            has_failed = read.is_err();
            Some(read.map(|data| Piece { file, offset, data }))
        })
    }
}

/// A snapshot on this node's disk that other nodes may be given.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) meta: SnapshotMeta,
    checkpoint: Checkpoint,
}

impl Held {
    fn of(slot: &StoreSlot, checkpoint: Checkpoint) -> Result<Self, StoreError> {
        let meta = codec::decode(&checkpoint.meta)
            .map_err(|e| slot.corrupt(&format!("meta of checkpoint {}: {e}", checkpoint.name)))?;
        Ok(Self { meta, checkpoint })
    }

    fn all(slot: &StoreSlot) -> Result<Vec<Self>, StoreError> {
        let checkpoints = slot.with(Store::checkpoints)?;
        checkpoints
            .into_iter()
            .map(|checkpoint| Self::of(slot, checkpoint))
            .collect()
    }

    /// The newest snapshot of a node that starts and has applied up to `applied`.
    ///
    /// One that another node took and that is ahead of us was not installed, so openraft does not know of it, nor has
    /// it cleared what stands against it in the log: it goes. One of our own can be ahead, if the crash took rows
    /// that were not synced: openraft then begins with it.
    pub(super) fn find(
        slot: &StoreSlot,
        applied: Option<&LogId>,
    ) -> Result<Option<Self>, StoreError> {
        let (stale, mut usable): (Vec<_>, Vec<_>) =
            Self::all(slot)?.into_iter().partition(|held| {
                held.checkpoint.name.starts_with(RECEIVED)
                    && held.meta.last_log_id.as_ref() > applied
            });
        for held in stale {
            slot.with(|store| store.remove_checkpoint(&held.checkpoint.name))?;
        }
        usable.sort_by_key(|held| held.meta.last_log_id);
        Ok(usable.pop())
    }

    pub(super) fn data(&self, slot: &Arc<StoreSlot>) -> SnapshotData {
        SnapshotData {
            checkpoint: self.checkpoint.clone(),
            source: Arc::clone(slot),
        }
    }
}

impl Machine {
    /// Begins a snapshot of what is applied now, unless there is one already; `None` if something was destroyed that
    /// its files would still hold.
    fn begin_snapshot(&self) -> Option<(SnapshotMeta, Taking)> {
        let state = self.state.read();
        if state.destroyed() > *self.clean.lock() {
            return None;
        }
        // Held until the image is taken: nothing is applied meanwhile, so its log id is exactly that of its rows.
        let place = self.place.lock();
        let meta = SnapshotMeta {
            last_log_id: place.applied,
            last_membership: place.membership.clone(),
        };
        let held = self.held.lock();
        let is_there = |held: &&Held| {
            held.meta.last_log_id == place.applied || is_planted(Bug::SnapshotOlderThanItsId)
        };
        let taking = if let Some(existing) = held.as_ref().filter(is_there) {
            Taking::There(existing.checkpoint.clone())
        } else {
            let name = own_name(place.applied.as_ref());
            Taking::UnderWay(self.slot.checkpoint(&name, &codec::encode(&meta)))
        };
        Some((meta, taking))
    }

    /// Erases from the files of the state what was destroyed.
    async fn erase_destroyed(&self) -> Result<(), StoreError> {
        let destroyed = self.state.read().destroyed();
        if destroyed > *self.clean.lock() {
            for table in Table::OF_KEYS {
                self.slot.erase(table.name()).await?;
            }
            let mut clean = self.clean.lock();
            *clean = destroyed.max(*clean);
        }
        Ok(())
    }

    /// As [`StateMachine::erase`](super::StateMachine::erase) says.
    pub(super) async fn erase(&self, through: LogIndex) -> Result<(), StoreError> {
        self.erase_destroyed().await?;
        // One that was begun before is there by then, and goes.
        let _no_other = self.taking.lock().await;
        for held in Held::all(&self.slot)? {
            let applied = held.meta.last_log_id.map_or(0, |id| id.index);
            if applied < through.0 {
                self.slot
                    .with(|store| store.remove_checkpoint(&held.checkpoint.name))?;
            }
        }
        // What is removed goes in the background; what is asked for behind it comes after.
        self.slot.settle().await
    }

    async fn take_snapshot(
        self: &Arc<Self>,
    ) -> Result<SnapshotOf<Types, SnapshotData>, StoreError> {
        let _alone = self.taking.lock().await;
        let (meta, taking) = loop {
            // No snapshot holds what was destroyed before it: the node that it is sent to may have erased that.
            self.erase_destroyed().await?;
            // What is in tables by then is not copied while nothing is applied.
            self.slot.settle().await?;
            if let Some(begun) = self.begin_snapshot() {
                break begun;
            }
        };
        let checkpoint = match taking {
            Taking::There(checkpoint) => checkpoint,
            Taking::UnderWay(taken) => taken.await.unwrap_or_else(|_| Err(self.slot.closed()))?,
        };
        self.finish_snapshot(meta, checkpoint)
    }

    /// Hands out a snapshot that is complete, to other nodes too unless a newer one was installed meanwhile.
    fn finish_snapshot(
        self: &Arc<Self>,
        meta: SnapshotMeta,
        checkpoint: Checkpoint,
    ) -> Result<SnapshotOf<Types, SnapshotData>, StoreError> {
        if is_planted(Bug::PurgeBeforeSnapshot) {
            self.slot
                .with(|store| store.remove_checkpoint(&checkpoint.name))?;
        }
        let built = Held { meta, checkpoint };
        let snapshot = Snapshot {
            meta: built.meta.clone(),
            snapshot: built.data(&self.slot),
        };
        let applied = self.place.lock().applied;
        let mut held = self.held.lock();
        let is_newest = held
            .as_ref()
            .is_none_or(|held| held.meta.last_log_id <= built.meta.last_log_id);
        if is_newest {
            *held = Some(built);
        }
        drop(held);
        self.prune(applied.as_ref())?;
        Ok(snapshot)
    }

    /// Replaces the state by a snapshot's.
    pub(super) fn install(
        self: &Arc<Self>,
        meta: &SnapshotMeta,
        data: SnapshotData,
    ) -> Result<(), RaftError> {
        let checkpoint = if Arc::ptr_eq(&data.source, &self.slot) {
            data.checkpoint
        } else {
            self.copy(meta, data)?
        };
        {
            let mut state = self.state.write();
            let mut place = self.place.lock();
            self.slot.with(|store| store.install(&checkpoint.name))?;
            let next = rows::load_place(&self.slot)?;
            if next.applied != meta.last_log_id {
                let found = own_name(next.applied.as_ref());
                let problem = format!("checkpoint {} holds rows of {found}", checkpoint.name);
                let error = self.slot.corrupt(&problem);
                self.slot.note(&error);
                return Err(error.into());
            }
            *self.clean.lock() = Revision(0);
            *state = rows::load_state(&self.slot)?;
            if is_planted(Bug::ForgetRequestsOnSnapshot) {
                *state = rows::load_state_without_requests(&self.slot)?;
            }
            self.has_installed.store(true, Ordering::Relaxed);
            *place = next;
            *self.held.lock() = Some(Held {
                meta: meta.clone(),
                checkpoint,
            });
            let index = LogIndex(meta.last_log_id.map_or(0, |id| id.index));
            self.applied.send_replace(index);
        }
        Ok(self.prune(meta.last_log_id.as_ref())?)
    }

    /// Brings a checkpoint of another database into this one.
    fn copy(&self, meta: &SnapshotMeta, data: SnapshotData) -> Result<Checkpoint, StoreError> {
        let name = meta
            .last_log_id
            .as_ref()
            .map_or_else(|| own_name(None), received_name);
        let checkpoint = Checkpoint {
            name,
            ..data.checkpoint.clone()
        };
        let mut receiver = self.slot.with(|store| store.receive(checkpoint.clone()))?;
        for piece in data.pieces() {
            let Piece { file, offset, data } = piece?;
            receiver.write(&file, offset, &data)?;
        }
        receiver.finish()?;
        Ok(checkpoint)
    }

    /// Removes all but the newest snapshots. One that is ahead of us is about to be installed, and stays.
    fn prune(&self, applied: Option<&LogId>) -> Result<(), StoreError> {
        let mut old = Held::all(&self.slot)?;
        old.retain(|held| held.meta.last_log_id.as_ref() <= applied);
        old.sort_by_key(|held| std::cmp::Reverse(held.meta.last_log_id));
        for held in old.into_iter().skip(SNAPSHOTS_KEPT) {
            self.slot
                .with(|store| store.remove_checkpoint(&held.checkpoint.name))?;
        }
        Ok(())
    }
}

enum Taking {
    There(Checkpoint),
    UnderWay(Awaited<Checkpoint>),
}

/// Takes snapshots, each of what is applied when it is taken.
pub(crate) struct SnapshotBuilder(pub(super) Arc<Machine>);

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, SnapshotData>> {
        let taken = self.0.take_snapshot().await;
        taken
            .inspect_err(|error| self.0.slot.note(error))
            .map_err(io::Error::other)
    }
}
