//! The two ports: clients on one, nodes on the other.

use crate::context::NodeContext;
use crate::limits::{
    CALLS_PER_CONNECTION_MAX, HEADER_BYTES_MAX, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT,
    PENDING_RESETS_MAX, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX,
};
use crate::peer_gate::PeerGate;
use crate::services::{AccessApi, AuditApi, ClusterApi, CryptoApi, CustodyApi, KeyApi};
use crate::stopping::stopped;
use conclave_env::Incoming;
use conclave_proto::peer::v1::peer_service_server::PeerServiceServer;
use conclave_proto::v1::access_service_server::AccessServiceServer;
use conclave_proto::v1::audit_service_server::AuditServiceServer;
use conclave_proto::v1::cluster_service_server::ClusterServiceServer;
use conclave_proto::v1::crypto_service_server::CryptoServiceServer;
use conclave_proto::v1::custody_service_server::CustodyServiceServer;
use conclave_proto::v1::key_service_server::KeyServiceServer;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::transport::Server;

fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
}

macro_rules! bounded {
    ($server:ident, $api:expr) => {
        $server::new($api)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX)
    };
}

/// Serves clients until the node stops.
pub(crate) async fn clients(
    context: Arc<NodeContext>,
    incoming: Incoming,
    stopping: watch::Receiver<bool>,
) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let watcher = tokio::spawn(crate::health::watch(
        context.clone(),
        reporter,
        stopping.clone(),
    ));
    let reflection = context.config.reflection.then(|| {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(conclave_proto::DESCRIPTORS)
            .build_v1()
            .expect("our own descriptors are well-formed")
    });
    let served = server()
        .add_service(health)
        .add_optional_service(reflection)
        .add_service(bounded!(AccessServiceServer, AccessApi(context.clone())))
        .add_service(bounded!(AuditServiceServer, AuditApi(context.clone())))
        .add_service(bounded!(ClusterServiceServer, ClusterApi(context.clone())))
        .add_service(bounded!(CryptoServiceServer, CryptoApi(context.clone())))
        .add_service(bounded!(CustodyServiceServer, CustodyApi(context.clone())))
        .add_service(bounded!(KeyServiceServer, KeyApi(context)))
        .serve_with_incoming_shutdown(incoming, stopped(stopping))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the client port failed");
    }
    watcher.abort();
}

/// Serves the other nodes until it is aborted: their streams have no end of their own.
pub(crate) async fn peers(context: Arc<NodeContext>, incoming: Incoming) {
    let service = PeerServiceServer::new(PeerGate(context))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(RESPONSE_BYTES_MAX);
    let served = server().add_service(service).serve_with_incoming(incoming);
    if let Err(error) = served.await {
        tracing::error!(%error, "the peer port failed");
    }
}
