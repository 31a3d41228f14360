//! What openraft sends to other nodes.

use super::{Dialer, append, quote};
use crate::codec::{DecodeError, FORMAT, decode_payload, encode_payload};
use crate::limits::BACKOFF;
use crate::machine::SnapshotData;
use crate::types::{MemberNode, Types, Vote};
use conclave_core::NodeId;
use conclave_proto::peer::v1::{Frame, Kind, SnapshotChunk};
use futures::future::{self, BoxFuture, Either, select};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{AnyError, RaftNetworkFactory, RaftNetworkV2};
use serde::{Serialize, de::DeserializeOwned};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Request, Status};

type Rpc<T> = Result<T, RPCError<Types>>;

/// Makes openraft's connections.
pub(crate) struct Peers(pub(crate) Arc<Dialer>);

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &MemberNode) -> Peer {
        let (node, address) = (NodeId(target), node.peer.clone());
        Peer {
            dialer: Arc::clone(&self.0),
            to: Destination { node, address },
        }
    }
}

/// One node to send to.
pub(crate) struct Peer {
    dialer: Arc<Dialer>,
    to: Destination,
}

/// A node, and where it is.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) node: NodeId,
    pub(super) address: String,
}

impl Destination {
    /// A message to it.
    pub(super) fn frame(&self, dialer: &Dialer, kind: Kind, payload: Vec<u8>) -> Frame {
        Frame {
            format: u32::from(FORMAT),
            cluster_id: dialer.cluster.as_bytes().to_vec().into(),
            target: self.node.0,
            source: dialer.local.0,
            kind: kind.into(),
            payload: payload.into(),
        }
    }
}

/// Nobody is there, or nobody who wants to talk to us: openraft pauses before it tries again.
pub(super) fn unreachable(status: &Status) -> Unreachable<Types> {
    let error = AnyError::error(format!("{:?}: {}", status.code(), quote(status.message())));
    Unreachable::new(&error)
}

/// It has been waited for already: openraft tries again at once.
pub(super) fn late(within: Duration) -> NetworkError<Types> {
    let error = AnyError::error(format!("no answer within {} ms", within.as_millis()));
    NetworkError::new(&error)
}

pub(super) fn garbled(error: &DecodeError) -> Unreachable<Types> {
    Unreachable::new(&AnyError::error(format!(
        "an answer that cannot be read: {error}"
    )))
}

impl Peer {
    async fn call<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        kind: Kind,
        question: Q,
        within: Duration,
    ) -> Rpc<A> {
        let mut request =
            Request::new(self.to.frame(&self.dialer, kind, encode_payload(&question)));
        request.set_timeout(within);
        let (mut client, line) = self.dialer.client(self.to.node, &self.to.address);
        match timeout(within, client.call(request)).await {
            Ok(Ok(answer)) => {
                let Frame {
                    format, payload, ..
                } = answer.into_inner();
                Ok(decode_payload(format, &payload).map_err(|e| garbled(&e))?)
            }
            Ok(Err(status)) => {
                self.dialer.note(self.to.node, line, &status);
                Err(unreachable(&status).into())
            }
            Err(_) => Err(late(within).into()),
        }
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<Types>> {
        let request = stream::once(future::ready(request));
        let mut answers = self.stream_append(request, option).await?;
        match answers.next().await {
            Some(answer) => Ok(answer?.into()),
            None => Err(unreachable(&Status::unavailable("it did not answer")).into()),
        }
    }

    fn stream_append<S>(
        &mut self,
        requests: S,
        option: RPCOption,
    ) -> BoxFuture<'_, Rpc<BoxStream<'_, Rpc<StreamAppendResult<Types>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        let (dialer, to) = (Arc::clone(&self.dialer), self.to.clone());
        let answers = append::answers(dialer, to, requests, option.soft_ttl());
        future::ready(Ok(answers)).boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<Types>> {
        self.call(Kind::Vote, request, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<Types>> {
        self.call(Kind::PreVote, request, option.soft_ttl()).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<Types>> {
        self.call(Kind::TransferLeader, request, option.soft_ttl())
            .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let data = snapshot.snapshot;
        let header = encode_payload(&(vote, &snapshot.meta, &data.checkpoint));
        let header = SnapshotChunk {
            header: Some(self.to.frame(&self.dialer, Kind::InstallSnapshot, header)),
            ..SnapshotChunk::default()
        };
        // A piece that cannot be read ends the stream early, and the other node refuses what is not complete.
        let pieces = data.pieces().map_while(|piece| match piece {
            Ok(piece) => Some(SnapshotChunk {
                header: None,
                file: piece.file,
                offset: piece.offset,
                data: piece.data.into(),
            }),
            Err(error) => {
                tracing::warn!(%error, "a snapshot under way can no longer be read");
                None
            }
        });
        let chunks = stream::iter([header]).chain(stream::iter(pieces));
        let mut request = Request::new(chunks);
        request.set_timeout(option.soft_ttl());
        let (mut client, line) = self.dialer.client(self.to.node, &self.to.address);
        let call = pin!(timeout(option.soft_ttl(), client.install_snapshot(request)));
        match select(pin!(cancel), call).await {
            Either::Left((closed, _)) => Err(closed.into()),
            Either::Right((Ok(Ok(answer)), _)) => {
                let Frame {
                    format, payload, ..
                } = answer.into_inner();
                Ok(decode_payload(format, &payload).map_err(|e| garbled(&e))?)
            }
            Either::Right((Ok(Err(status)), _)) => {
                self.dialer.note(self.to.node, line, &status);
                Err(unreachable(&status).into())
            }
            Either::Right((Err(_), _)) => Err(late(option.soft_ttl()).into()),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        let longest = BACKOFF[BACKOFF.len() - 1];
        Some(Backoff::new(
            BACKOFF.into_iter().chain(std::iter::repeat(longest)),
        ))
    }
}
