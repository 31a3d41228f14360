//! The peer port's way to whichever replica runs now.

use crate::context::NodeContext;
use conclave_proto::peer::v1::peer_service_server::PeerService;
use conclave_proto::peer::v1::{
    Frame, ProposeReply, ProposeRequest, ReadIndexReply, ReadIndexRequest, SnapshotChunk,
};
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

pub(crate) struct PeerGate(pub(crate) Arc<NodeContext>);

impl PeerGate {
    /// A node whose storage failed answers its peers `UNAVAILABLE`.
    fn replica(&self) -> Result<conclave_raft::Replica, Status> {
        self.0.replica.get().map_err(Status::from)
    }
}

type Replies<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl PeerService for PeerGate {
    async fn call(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        self.replica()?.peer_api().call(request).await
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<Frame>, Status> {
        self.replica()?.peer_api().install_snapshot(request).await
    }

    type AppendStream = Replies<Frame>;

    async fn append(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Replies<Frame>>, Status> {
        self.replica()?.peer_api().append(request).await
    }

    type ProposeStream = Replies<ProposeReply>;

    async fn propose(
        &self,
        request: Request<Streaming<ProposeRequest>>,
    ) -> Result<Response<Replies<ProposeReply>>, Status> {
        self.replica()?.peer_api().propose(request).await
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexReply>, Status> {
        self.replica()?.peer_api().read_index(request).await
    }
}
