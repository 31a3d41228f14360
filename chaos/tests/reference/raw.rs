//! Calls by name, with messages put together field by field.

use bytes::{Buf as _, BufMut as _};
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// How long an answer may take.
const CALL_MAX: Duration = Duration::from_secs(20);

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// Calls, and gives the answer, or the first message of a stream; nothing if it has none.
pub(crate) async fn call(
    channel: Channel,
    path: &str,
    message: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let mut grpc = Grpc::new(channel);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let path: PathAndQuery = path.parse().expect("services and calls have such names");
    let mut request = Request::new(message);
    request.set_timeout(CALL_MAX);
    let answer = grpc.server_streaming(request, path, Raw).await?;
    Ok(answer.into_inner().message().await?.unwrap_or_default())
}

/// A field of a message, as it is sent.
pub(crate) enum Value {
    Number(u64),
    /// A text, bytes, or a message.
    Bytes(Vec<u8>),
}

/// Adds a field to a message.
pub(crate) fn put(message: &mut Vec<u8>, number: u32, value: &Value) {
    let number = u64::from(number);
    match value {
        Value::Number(value) => {
            varint(message, number << 3);
            varint(message, *value);
        }
        Value::Bytes(bytes) => {
            varint(message, number << 3 | 2);
            varint(message, u64::try_from(bytes.len()).expect("it is short"));
            message.extend_from_slice(bytes);
        }
    }
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            message.push(low);
            return;
        }
        message.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_proto::v1;
    use prost::Message as _;

    #[test]
    fn messages_are_put_together() {
        let mut message = Vec::new();
        put(&mut message, 2, &Value::Bytes(b"a/b".to_vec()));
        put(&mut message, 3, &Value::Number(300));
        let expected = v1::EncryptRequest {
            key: "a/b".to_owned(),
            version: 300,
            ..v1::EncryptRequest::default()
        };
        assert_eq!(v1::EncryptRequest::decode(&message[..]).unwrap(), expected);
    }
}
