//! The service, as generated code would have it. An answer is not made of what was asked: it only has the right size.

use conclave_proto::v1::{EncryptRequest, EncryptResponse};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The path of unary calls.
pub(super) const UNARY: &str = "/conclave.limits.Echo/Unary";
/// The path of streams.
pub(super) const STREAM: &str = "/conclave.limits.Echo/Stream";

const KEY: &str = "payments/card-pan";

/// An Encrypt of 32 bytes: 71 bytes.
pub(super) fn request() -> EncryptRequest {
    EncryptRequest {
        request_id: vec![0xA5; 16],
        key: KEY.to_owned(),
        plaintext: vec![3; 32],
        ..EncryptRequest::default()
    }
}

/// Its answer: 158 bytes.
fn response() -> EncryptResponse {
    EncryptResponse {
        ciphertext: vec![7; 32 + conclave_crypto::OVERHEAD_BYTES],
        key: KEY.to_owned(),
        version: 1,
    }
}

/// A request on a stream.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Asked {
    /// Comes back with the answer.
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    /// What is asked.
    #[prost(message, optional, tag = "2")]
    pub(super) request: Option<EncryptRequest>,
}

/// An answer on a stream.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Answered {
    /// The request's.
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    /// The answer.
    #[prost(message, optional, tag = "2")]
    pub(super) response: Option<EncryptResponse>,
}

/// The service.
#[derive(Clone)]
pub(super) struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "conclave.limits.Echo";
}

impl UnaryService<EncryptRequest> for Echo {
    type Response = EncryptResponse;
    type Future = Ready<Result<Response<EncryptResponse>, Status>>;

    fn call(&mut self, _: Request<EncryptRequest>) -> Self::Future {
        ready(Ok(Response::new(response())))
    }
}

impl StreamingService<Asked> for Echo {
    type Response = Answered;
    type ResponseStream = BoxStream<'static, Result<Answered, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, asked: Request<Streaming<Asked>>) -> Self::Future {
        let answers = asked.into_inner().map(|asked| {
            Ok(Answered {
                id: asked?.id,
                response: Some(response()),
            })
        });
        ready(Ok(Response::new(answers.boxed())))
    }
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(if request.uri().path() == STREAM {
                let codec = ProstCodec::<Answered, Asked>::default();
                Grpc::new(codec).streaming(Self, request).await
            } else {
                let codec = ProstCodec::<EncryptResponse, EncryptRequest>::default();
                Grpc::new(codec).unary(Self, request).await
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn messages_have_the_size_of_an_encrypt() {
        assert_eq!(request().encoded_len(), 71);
        assert_eq!(response().encoded_len(), 158);
    }
}
