//! [`StateMachine`]: applies committed entries to the state and its rows.
//!
//! Several entries go into one batch, together with the applied log id and the membership, so that a crash leaves
//! rows and place of one instant. Nothing is synced: the log replays what a crash took.

use super::rows::{self, Place};
use super::snapshot::{Held, SnapshotBuilder, SnapshotData};
use crate::error::RaftError;
use crate::limits::APPLY_ENTRIES_MAX;
use crate::slot::StoreSlot;
use crate::types::{Answer, LogId, Opaque, Payload, SnapshotMeta, StoredMembership, Types};
use conclave_core::planted::{Bug, is_planted};
use conclave_core::{AuditSequence, Command, LogIndex, Revision, State, Table};
use conclave_env::StoreError;
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};
use openraft::type_config::alias::SnapshotOf;
use parking_lot::{Mutex, RwLock};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The replicated state of this node. Clones are the same one.
#[derive(Clone)]
pub(crate) struct StateMachine(pub(super) Arc<Machine>);

/// What the clones share. Locks are taken in the order of the fields.
pub(super) struct Machine {
    pub(super) slot: Arc<StoreSlot>,
    pub(super) state: RwLock<State>,
    pub(super) place: Mutex<Place>,
    /// The newest snapshot that other nodes may be given.
    pub(super) held: Mutex<Option<Held>>,
    pub(super) applied: watch::Sender<LogIndex>,
    /// The files of the state hold nothing that was destroyed up to here. Not stored: a node that starts looks again.
    pub(super) clean: Mutex<Revision>,
    /// Held while a snapshot is taken.
    pub(super) taking: tokio::sync::Mutex<()>,
    /// For a planted bug only: whether a snapshot was installed since the last entry.
    pub(super) has_installed: AtomicBool,
}

fn index_of(log_id: Option<&LogId>) -> LogIndex {
    LogIndex(log_id.map_or(0, |id| id.index))
}

impl StateMachine {
    /// Reads the state, and forgets snapshots that arrived but were not installed before the node stopped.
    ///
    /// # Errors
    /// As the disk has them; [`RaftError::CorruptState`].
    pub(crate) fn load(slot: Arc<StoreSlot>) -> Result<Self, RaftError> {
        let place = rows::load_place(&slot)?;
        let state = rows::load_state(&slot)?;
        let held = Held::find(&slot, place.applied.as_ref())?;
        let applied = watch::Sender::new(index_of(place.applied.as_ref()));
        let machine = Machine {
            slot,
            state: RwLock::new(state),
            place: Mutex::new(place),
            held: Mutex::new(held),
            applied,
            clean: Mutex::default(),
            taking: tokio::sync::Mutex::default(),
            has_installed: AtomicBool::new(false),
        };
        Ok(Self(Arc::new(machine)))
    }

    /// Looks at the state.
    pub(crate) fn with_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.0.state.read())
    }

    /// Follows the last applied index.
    pub(crate) fn applied(&self) -> watch::Receiver<LogIndex> {
        self.0.applied.subscribe()
    }

    pub(crate) fn slot(&self) -> &Arc<StoreSlot> {
        &self.0.slot
    }

    /// Erases what was destroyed from the files of the state and from its snapshots, of which there must be one that
    /// has applied `through`.
    ///
    /// # Errors
    /// As the disk has them.
    pub(crate) async fn erase(&self, through: LogIndex) -> Result<(), StoreError> {
        let erased = self.0.erase(through).await;
        erased.inspect_err(|error| self.0.slot.note(error))
    }

    /// Leaves of the audit log from `start` on.
    ///
    /// # Errors
    /// As the disk has them.
    pub(crate) fn audit_records(
        &self,
        start: AuditSequence,
        limit: usize,
    ) -> Result<Vec<(AuditSequence, Vec<u8>)>, StoreError> {
        let slot = &self.0.slot;
        let from = start.0.to_be_bytes();
        let rows = slot.with(|store| {
            store.scan(
                Table::Audit.name(),
                Bound::Included(&from),
                Bound::Unbounded,
                limit,
            )
        })?;
        let leaf = |(key, value): (Vec<u8>, Vec<u8>)| {
            let number = <[u8; 8]>::try_from(key.as_slice());
            let number = number.map_err(|_| slot.corrupt(&"an audit record's row name"))?;
            Ok((AuditSequence(u64::from_be_bytes(number)), value))
        };
        rows.into_iter().map(leaf).collect()
    }

    /// Applies entries that follow each other, all or (if the disk fails) none of them on the disk.
    fn apply_group(&self, entries: Vec<Readable>) -> Result<(), StoreError> {
        let machine = &*self.0;
        let mut answers = Vec::with_capacity(entries.len());
        {
            // Readers see the state and its rows change together.
            let mut state = machine.state.write();
            let mut place = machine.place.lock();
            let mut next = place.clone();
            for Readable {
                log_id,
                content,
                responder,
            } in entries
            {
                let outcome = match content {
                    Content::Blank => None,
                    Content::Membership(membership) => {
                        next.membership = membership;
                        None
                    }
                    Content::Command(command) => {
                        if is_planted(Bug::ApplyTwiceAfterSnapshot)
                            && machine.has_installed.swap(false, Ordering::Relaxed)
                        {
                            state.apply(LogIndex(log_id.index), command.clone());
                        }
                        Some(state.apply(LogIndex(log_id.index), command))
                    }
                };
                next.applied = Some(log_id);
                if let Some(responder) = responder {
                    let bytes = outcome.map_or_else(Vec::new, |outcome| outcome.encode());
                    answers.push((responder, Answer(Opaque::from(bytes))));
                }
            }
            let batch = rows::batch(state.take_changes(), &next);
            machine.slot.with(|store| store.write(batch))?;
            *place = next;
            machine
                .applied
                .send_replace(index_of(place.applied.as_ref()));
        }
        for (responder, answer) in answers {
            responder.send(answer);
        }
        Ok(())
    }
}

/// An entry that this version can read.
struct Readable {
    log_id: LogId,
    content: Content,
    responder: Option<ApplyResponder<Types>>,
}

enum Content {
    Blank,
    Membership(StoredMembership),
    Command(Command),
}

/// Reads an entry. A node that cannot must stop: to pass over what the others apply would part it from them.
fn read((entry, responder): EntryResponder<Types>) -> io::Result<Readable> {
    let log_id = entry.log_id;
    let content = match entry.payload {
        Payload::Blank => Content::Blank,
        Payload::Membership(membership) => {
            Content::Membership(StoredMembership::new(Some(log_id), membership))
        }
        Payload::Normal(proposal) => Content::Command(
            Command::decode(&proposal.0.0)
                .map_err(|e| io::Error::other(format!("entry {} of the log: {e}", log_id.index)))?,
        ),
    };
    Ok(Readable {
        log_id,
        content,
        responder,
    })
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let place = self.0.place.lock();
        Ok((place.applied, place.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut groups = entries.ready_chunks(APPLY_ENTRIES_MAX);
        while let Some(group) = groups.next().await {
            let group = group.into_iter().map(|entry| read(entry?));
            self.apply_group(group.collect::<io::Result<_>>()?)
                .map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// The builder excludes writers by itself when it takes the image.
    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder(Arc::clone(&self.0))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> io::Result<()> {
        self.0.install(meta, snapshot).map_err(io::Error::other)
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<Types, SnapshotData>>> {
        let held = self.0.held.lock();
        Ok(held.as_ref().map(|held| Snapshot {
            meta: held.meta.clone(),
            snapshot: held.data(&self.0.slot),
        }))
    }
}
