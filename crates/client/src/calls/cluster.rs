//! `ClusterService`.

use super::unary;
use crate::v1::cluster_service_client::ClusterServiceClient;

unary! { ClusterServiceClient<_>:
    /// How the node that answers is. Choose it with [`Client::node`](crate::Client::node).
    cluster_status = status(ClusterStatusRequest) -> NodeStatus;
    /// The nodes of the cluster.
    members = members(MembersRequest) -> MembersResponse;
}
