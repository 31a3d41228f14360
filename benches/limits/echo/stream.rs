//! One stream with a fixed number of messages in flight: the next one when any is answered.

use super::service::{Answered, Asked, STREAM, request};
use crate::meter::{Tally, Window};
use anyhow::{Context as _, Result};
use http::uri::PathAndQuery;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

fn asked(id: usize) -> Result<Asked> {
    Ok(Asked {
        id: u64::try_from(id)?,
        request: Some(request()),
    })
}

/// Asks until the window is over. Each place in flight has an id of its own.
pub(super) async fn call(channel: Channel, in_flight: usize, window: Window) -> Result<Tally> {
    let mut grpc = Grpc::new(channel);
    let (ask, outgoing) = mpsc::channel(in_flight);
    grpc.ready().await?;
    let codec = ProstCodec::<Asked, Answered>::default();
    let outgoing = Request::new(ReceiverStream::new(outgoing));
    let path = PathAndQuery::from_static(STREAM);
    let mut answers = grpc.streaming(outgoing, path, codec).await?.into_inner();
    let mut began = vec![Instant::now(); in_flight];
    for id in 0..in_flight {
        ask.send(asked(id)?).await?;
    }
    let mut tally = Tally::default();
    while !window.is_over() {
        let answered = answers.message().await?.context("the stream ended")?;
        let id = usize::try_from(answered.id)?;
        let since = began.get_mut(id).context("an answer to nothing")?;
        let now = Instant::now();
        tally.call(&window, now.duration_since(*since));
        *since = now;
        ask.send(asked(id)?).await?;
    }
    Ok(tally)
}
