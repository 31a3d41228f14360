//! One caller: the next call when the last is answered.

use super::service::{UNARY, request};
use crate::meter::{Tally, Window};
use anyhow::{Result, ensure};
use conclave_proto::v1::{EncryptRequest, EncryptResponse};
use http::uri::PathAndQuery;
use std::time::Instant;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

/// Calls until the window is over.
pub(super) async fn call(channel: Channel, window: Window) -> Result<Tally> {
    let mut grpc = Grpc::new(channel);
    let mut tally = Tally::default();
    while !window.is_over() {
        let began = Instant::now();
        grpc.ready().await?;
        let codec = ProstCodec::<EncryptRequest, EncryptResponse>::default();
        let path = PathAndQuery::from_static(UNARY);
        let answer = grpc.unary(Request::new(request()), path, codec).await?;
        tally.call(&window, began.elapsed());
        ensure!(answer.get_ref().version == 1, "another answer came");
    }
    Ok(tally)
}
