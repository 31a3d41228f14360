//! [`PeerApi`]: answers other nodes.
//!
//! Every call says which cluster and which node it means and who sends it; the connection's certificate must agree.
//! A replica that has stopped answers nobody, so that it neither votes nor counts for a quorum: it says
//! `UNAVAILABLE`, which nothing else here does, and callers dial anew.

use super::quote;
use super::stream::{committed_to_reply, not_leader};
use crate::codec::{FORMAT, decode_payload, encode_payload};
use crate::limits::{
    APPENDS_IN_FLIGHT_MAX, PROPOSAL_DEADLINE_MAX, PROPOSALS_IN_FLIGHT_MAX, READ_INDEX_MAX,
};
use crate::read::LeaderRead;
use crate::replica::Core;
use crate::types::Types;
use conclave_core::{Command, NodeId};
use conclave_env::{Remote, RemoteIdentity};
use conclave_proto::peer::v1::peer_service_server::PeerService;
use conclave_proto::peer::v1::{
    Frame, Kind, ProposeReply, ProposeRequest, ReadIndexReply, ReadIndexRequest, SnapshotChunk,
    read_index_reply,
};
use futures::StreamExt;
use futures::future;
use futures::stream::BoxStream;
use openraft::raft::AppendEntriesRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

/// The peer port's service. Made by [`Replica::peer_service`](crate::Replica::peer_service).
#[derive(Clone)]
pub struct PeerApi(pub(super) Arc<Core>);

impl PeerApi {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }

    /// Refuses whoever is not a node of this cluster.
    pub(super) fn caller<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        self.is_running()?;
        let remote = request.extensions().get::<Remote>();
        let Some(RemoteIdentity::Node(node)) = remote.map(|remote| &remote.identity) else {
            return Err(Status::permission_denied("only nodes may call here"));
        };
        if self.0.address(*node).is_none() {
            return Err(Status::permission_denied(format!(
                "node {node} is not a member"
            )));
        }
        Ok(*node)
    }

    /// Refuses a call that is meant for somebody else.
    pub(super) fn meant_for_us(&self, cluster: &[u8], target: u64) -> Result<(), Status> {
        let config = &self.0.config;
        if cluster != config.cluster.as_bytes() {
            return Err(Status::failed_precondition("another cluster lives here"));
        }
        if target != config.node.0 {
            return Err(Status::failed_precondition(format!(
                "node {} lives here",
                config.node
            )));
        }
        Ok(())
    }

    /// Refuses a frame that is meant for somebody else, or sent by somebody else than its connection.
    pub(super) fn check(&self, caller: NodeId, frame: &Frame) -> Result<(), Status> {
        self.meant_for_us(&frame.cluster_id, frame.target)?;
        if frame.source != caller.0 {
            return Err(Status::permission_denied(
                "the frame's source is not who is connected",
            ));
        }
        Ok(())
    }

    pub(super) fn is_running(&self) -> Result<(), Status> {
        self.0
            .fault
            .get()
            .map_or(Ok(()), |fault| Err(Status::unavailable(fault)))
    }

    /// An answer, unless the replica failed while it was made: it could promise what the disk does not hold.
    pub(super) fn answer<A: Serialize, E: std::fmt::Display>(
        &self,
        asked: &Frame,
        answer: Result<A, E>,
    ) -> Result<Response<Frame>, Status> {
        self.is_running()?;
        let answer = answer.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(Frame {
            format: u32::from(FORMAT),
            cluster_id: asked.cluster_id.clone(),
            target: asked.source,
            source: asked.target,
            kind: asked.kind,
            payload: encode_payload(&answer).into(),
        }))
    }

    async fn dispatch(&self, frame: Frame) -> Result<Response<Frame>, Status> {
        let raft = &self.0.raft;
        match frame.kind() {
            Kind::Vote => self.answer(&frame, raft.vote(parse(&frame)?).await),
            Kind::PreVote => self.answer(&frame, raft.pre_vote(parse(&frame)?).await),
            Kind::TransferLeader => {
                self.answer(&frame, raft.handle_transfer_leader(parse(&frame)?).await)
            }
            Kind::AppendEntries | Kind::InstallSnapshot | Kind::Unspecified => {
                Err(Status::invalid_argument("no such kind of call"))
            }
        }
    }

    /// Takes what a leader appends. Entries, and what follows them on their stream, wait while a snapshot is being
    /// installed; heartbeats, which come on streams of their own, do not.
    async fn append(
        &self,
        frame: Frame,
        request: AppendEntriesRequest<Types>,
        waits: bool,
    ) -> Result<Frame, Status> {
        let gate = if waits {
            Some(self.0.append_gate.read().await)
        } else {
            None
        };
        let answer = self.0.raft.append_entries(request).await;
        drop(gate);
        self.answer(&frame, answer).map(Response::into_inner)
    }

    async fn commit(&self, request: ProposeRequest) -> ProposeReply {
        let ProposeRequest {
            id,
            cluster_id,
            target,
            command,
            deadline_ms,
        } = request;
        let result = if let Err(status) = self.meant_for_us(&cluster_id, target) {
            // Whoever meant another node has proposed nothing.
            tracing::warn!(reason = %quote(status.message()), "a proposal went astray");
            not_leader(None)
        } else if let Err(error) = Command::decode(&command) {
            // In the log it would stop every node of this version.
            tracing::warn!(%error, "a node proposed what this version cannot read");
            not_leader(None)
        } else {
            let within = Duration::from_millis(deadline_ms).min(PROPOSAL_DEADLINE_MAX);
            let committed = self.0.commit_here(command, Instant::now() + within).await;
            committed_to_reply(committed)
        };
        ProposeReply {
            id,
            result: Some(result),
        }
    }
}

/// What a frame carries.
pub(super) fn parse<T: DeserializeOwned>(frame: &Frame) -> Result<T, Status> {
    decode_payload(frame.format, &frame.payload)
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

#[tonic::async_trait]
impl PeerService for PeerApi {
    type AppendStream = BoxStream<'static, Result<Frame, Status>>;
    type ProposeStream = BoxStream<'static, Result<ProposeReply, Status>>;

    async fn call(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let caller = self.caller(&request)?;
        let frame = request.into_inner();
        self.check(caller, &frame)?;
        self.dispatch(frame).await
    }

    /// Each is handed to the replica in the order of the stream before the one before it is answered: those that come
    /// together share a sync of the log. No task of its own, as in `propose`.
    async fn append(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let caller = self.caller(&request)?;
        let (api, fault) = (self.clone(), self.0.fault.clone());
        let mut waits = false;
        let answers = request
            .into_inner()
            .map(move |frame| {
                let frame = frame?;
                api.check(caller, &frame)?;
                if frame.kind() != Kind::AppendEntries {
                    return Err(Status::invalid_argument("only appends belong here"));
                }
                let request: AppendEntriesRequest<Types> = parse(&frame)?;
                waits |= !request.entries.is_empty();
                Ok((api.clone(), frame, request, waits))
            })
            .map(|parsed| async {
                let (api, frame, request, waits) = parsed?;
                PeerApi::append(&api, frame, request, waits).await
            })
            .buffered(APPENDS_IN_FLIGHT_MAX)
            .take_until(async move { fault.happened().await });
        Ok(Response::new(answers.boxed()))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<Frame>, Status> {
        let caller = self.caller(&request)?;
        self.receive_snapshot(caller, request.into_inner()).await
    }

    /// No task of its own: the stream of replies is what drives the proposals, and ends with its connection or with
    /// the replica.
    async fn propose(
        &self,
        request: Request<Streaming<ProposeRequest>>,
    ) -> Result<Response<Self::ProposeStream>, Status> {
        self.caller(&request)?;
        let (api, fault) = (self.clone(), self.0.fault.clone());
        let requests = request
            .into_inner()
            .take_while(|request| future::ready(request.is_ok()));
        let replies = requests
            .filter_map(|request| future::ready(request.ok()))
            .map(move |request| {
                let api = api.clone();
                async move { Ok(api.commit(request).await) }
            })
            .buffer_unordered(PROPOSALS_IN_FLIGHT_MAX)
            .take_until(async move { fault.happened().await });
        Ok(Response::new(replies.boxed()))
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexReply>, Status> {
        self.caller(&request)?;
        let ReadIndexRequest { cluster_id, target } = request.into_inner();
        self.meant_for_us(&cluster_id, target)?;
        let result = match self
            .0
            .read_index_here(Instant::now() + READ_INDEX_MAX)
            .await
        {
            LeaderRead::Index(index) => read_index_reply::Result::Index(index.0),
            LeaderRead::NotLeader => {
                let leader = self.0.leader().map_or(0, |leader| leader.0);
                let not_leader = conclave_proto::peer::v1::NotLeader { leader_id: leader };
                read_index_reply::Result::NotLeader(not_leader)
            }
            LeaderRead::NoQuorum(why) => return Err(Status::aborted(why)),
        };
        self.is_running()?;
        Ok(Response::new(ReadIndexReply {
            result: Some(result),
        }))
    }
}
