//! A snapshot that arrives.
//!
//! openraft 0.10.0-alpha.37 must not be given every snapshot that a leader sends:
//!
//! - One whose last entry is in our log already, though not yet known to be committed, moves openraft's own record of
//!   what it submitted backwards, and it panics. Such a snapshot is not needed at all: two logs that share an entry
//!   share all before it. So the leader's heartbeat that would go with the snapshot is put to openraft first; if it
//!   finds the entry, that is the answer, and the leader goes on with the entries behind it.
//! - One that arrives while committed entries still wait to be applied purges those entries from openraft's memory,
//!   and it panics when their turn comes. So we wait until all that is committed is applied.
//!
//! Both must still hold when the snapshot is installed, hence no entries are appended meanwhile.
//!
//! And one that was taken before something was destroyed must not come to a disk from which that was erased: an erasure
//! ends what is arriving, waits until it is gone, and what was erased was applied, so that none of before it is needed.

use super::service::{PeerApi, parse};
use crate::limits::{SNAPSHOT_CHUNK_PATIENCE, SNAPSHOT_QUIESCE_MAX, SNAPSHOT_TRANSFER_MAX};
use crate::machine::{SnapshotData, received_name};
use crate::types::{LogId, SnapshotMeta, Types, Vote};
use conclave_core::NodeId;
use conclave_env::StoreError;
use conclave_env::store::Checkpoint;
use conclave_proto::peer::v1::{Frame, Kind, SnapshotChunk};
use futures::{Stream, StreamExt as _};
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse};
use openraft::storage::Snapshot;
use std::sync::Arc;
use tokio::time::timeout;
use tonic::{Response, Status, Streaming};

/// What the first chunk says.
struct Offer {
    frame: Frame,
    vote: Vote,
    meta: SnapshotMeta,
    last: LogId,
    checkpoint: Checkpoint,
}

fn storage(error: &StoreError) -> Status {
    Status::aborted(error.to_string())
}

/// What a leader sends.
trait Chunks: Stream<Item = Result<SnapshotChunk, Status>> + Send + Unpin {}

impl<S: Stream<Item = Result<SnapshotChunk, Status>> + Send + Unpin> Chunks for S {}

async fn next(chunks: &mut impl Chunks) -> Result<Option<SnapshotChunk>, Status> {
    let next = timeout(SNAPSHOT_CHUNK_PATIENCE, chunks.next()).await;
    next.map_err(|_| Status::deadline_exceeded("no chunk came for some seconds"))?
        .transpose()
}

impl PeerApi {
    pub(super) async fn receive_snapshot(
        &self,
        caller: NodeId,
        chunks: Streaming<SnapshotChunk>,
    ) -> Result<Response<Frame>, Status> {
        let permit = self.0.incoming.try_acquire();
        let _permit =
            permit.map_err(|_| Status::resource_exhausted("another snapshot is arriving"))?;
        let fault = &self.0.fault;
        tokio::select! {
            biased;
            fault = fault.happened() => Err(Status::unavailable(fault)),
            done = timeout(SNAPSHOT_TRANSFER_MAX, self.receive(caller, chunks)) => {
                done.map_err(|_| Status::deadline_exceeded("the snapshot took too long"))?
            }
        }
    }

    async fn receive(
        &self,
        caller: NodeId,
        mut chunks: Streaming<SnapshotChunk>,
    ) -> Result<Response<Frame>, Status> {
        let first = next(&mut chunks).await?.and_then(|chunk| chunk.header);
        let frame = first.ok_or_else(|| Status::invalid_argument("the header is missing"))?;
        self.check(caller, &frame)?;
        let offer = Self::open(frame)?;
        if let Some(response) = self.probe(&offer).await? {
            return self.answer(&offer.frame, Ok::<_, Status>(response));
        }
        let installed = self.take(&offer, &mut chunks).await?;
        self.answer(&offer.frame, Ok::<_, Status>(installed))
    }

    /// Stores what arrives, and installs it.
    async fn take(
        &self,
        offer: &Offer,
        chunks: &mut impl Chunks,
    ) -> Result<SnapshotResponse<Types>, Status> {
        let _arriving = self.0.arriving.lock().await;
        let mut erasing = self.0.erasing.subscribe();
        tokio::select! {
            biased;
            _ = erasing.wait_for(|through| through.0 > offer.last.index) => {
                let why = "what was destroyed since this snapshot was taken is being erased here";
                return Err(Status::aborted(why));
            }
            stored = self.store(offer, chunks) => stored?,
        }
        self.install(offer).await
    }

    fn open(frame: Frame) -> Result<Offer, Status> {
        if frame.kind() != Kind::InstallSnapshot {
            return Err(Status::invalid_argument("no such kind of call"));
        }
        let (vote, meta, mut checkpoint): (Vote, SnapshotMeta, Checkpoint) = parse(&frame)?;
        let last = meta
            .last_log_id
            .ok_or_else(|| Status::invalid_argument("an empty snapshot"))?;
        // Names on our disk are chosen by us.
        checkpoint.name = received_name(&last);
        Ok(Offer {
            frame,
            vote,
            meta,
            last,
            checkpoint,
        })
    }

    /// The answer, if the snapshot is not needed; see above.
    async fn probe(&self, offer: &Offer) -> Result<Option<SnapshotResponse<Types>>, Status> {
        let heartbeat = AppendEntriesRequest {
            vote: offer.vote,
            prev_log_id: Some(offer.last),
            entries: Vec::new(),
            leader_commit: Some(offer.last),
        };
        let answer = self.0.raft.append_entries(heartbeat).await;
        self.is_running()?;
        match answer.map_err(|error| Status::unavailable(error.to_string()))? {
            AppendEntriesResponse::Success => Ok(Some(SnapshotResponse::new(offer.vote))),
            AppendEntriesResponse::HigherVote(vote) => Ok(Some(SnapshotResponse::new(vote))),
            AppendEntriesResponse::PartialSuccess(_) | AppendEntriesResponse::Conflict => Ok(None),
        }
    }

    async fn store(&self, offer: &Offer, chunks: &mut impl Chunks) -> Result<(), Status> {
        let slot = self.0.machine.slot();
        let begun = slot.with_foreign(|store| store.receive(offer.checkpoint.clone()));
        let mut receiver = begun.map_err(|e| storage(&self.blame(e)))?;
        while let Some(chunk) = next(chunks).await? {
            self.is_running()?;
            let written = receiver.write(&chunk.file, chunk.offset, &chunk.data);
            written.map_err(|e| storage(&self.blame(e)))?;
        }
        receiver.finish().map_err(|e| storage(&self.blame(e)))
    }

    /// What is corrupt here came from the peer; anything else is our own disk's.
    fn blame(&self, error: StoreError) -> StoreError {
        if !matches!(error, StoreError::Corrupt { .. }) {
            self.0.machine.slot().note(&error);
        }
        error
    }

    async fn install(&self, offer: &Offer) -> Result<SnapshotResponse<Types>, Status> {
        let _gate = self.0.append_gate.write().await;
        let needless = match self.probe(offer).await {
            Ok(None) => self.quiesce().await.map(|()| None),
            answer => answer,
        };
        if !matches!(needless, Ok(None)) {
            self.forget(offer)?;
        }
        if let Some(response) = needless? {
            return Ok(response);
        }
        let slot = Arc::clone(self.0.machine.slot());
        let snapshot = SnapshotData {
            checkpoint: offer.checkpoint.clone(),
            source: slot,
        };
        let snapshot = Snapshot {
            meta: offer.meta.clone(),
            snapshot,
        };
        let installed = self
            .0
            .raft
            .install_full_snapshot(offer.vote, snapshot)
            .await;
        installed.map_err(|error| Status::unavailable(error.to_string()))
    }

    /// Removes what arrived and is not installed: nothing would ever use it.
    fn forget(&self, offer: &Offer) -> Result<(), Status> {
        let slot = self.0.machine.slot();
        let removed = slot.with(|store| store.remove_checkpoint(&offer.checkpoint.name));
        removed.map_err(|error| storage(&self.blame(error)))
    }

    /// Waits until all that is known to be committed is applied.
    async fn quiesce(&self) -> Result<(), Status> {
        let mut metrics = self.0.raft.data_metrics();
        let quiet = async {
            loop {
                let is_quiet = {
                    let metrics = metrics.borrow_watched();
                    metrics.last_applied >= metrics.local_committed
                };
                if is_quiet || metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        let done = timeout(SNAPSHOT_QUIESCE_MAX, quiet).await;
        done.map_err(|_| Status::aborted("committed entries wait to be applied"))
    }
}

#[cfg(test)]
mod tests;
