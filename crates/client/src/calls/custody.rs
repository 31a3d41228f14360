//! `CustodyService`. All but `custody_init` concern the node that answers: choose it with
//! [`Client::node`](crate::Client::node).

use super::unary;
use crate::v1::custody_service_client::CustodyServiceClient;

unary! { CustodyServiceClient<_>:
    /// Draws the root key, splits it among custodians, and answers their encrypted shares. Once in
    /// a cluster's life.
    custody_init = init(InitRequest) -> InitResponse;
    /// Submits one share to a sealed node.
    submit_share = submit_share(SubmitShareRequest) -> SubmitShareResponse;
    /// Makes a node forget the shares submitted to it so far.
    cancel_unseal = cancel(CancelRequest) -> CancelResponse;
    /// Drops the root key from a node.
    seal = seal(SealRequest) -> SealResponse;
    /// A node's seal, and the custody of the cluster.
    custody_status = status(CustodyStatusRequest) -> CustodyStatus;
}
