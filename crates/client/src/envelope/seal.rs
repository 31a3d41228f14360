//! Encrypts.

use super::chunks::{ChunkReader, fill};
use super::{Context, StreamSummary, bytes, reading, writing};
use crate::client::Client;
use crate::error::ClientError;
use crate::limits::{CHUNKS_READ_AHEAD, SINGLE_PLAINTEXT_BYTES_MAX};
use crate::v1;
use conclave_crypto::stream::CHUNK_BYTES;
use conclave_crypto::{DataKey, StreamHeader, StreamSealer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

/// Bytes of the data key of a stream.
const DATA_KEY_BYTES: u32 = 32;

impl Client {
    /// Encrypts all that `reader` gives under `key` and `context`, in constant memory. What
    /// `writer` took before an error is of no use. Buffers of ours that held plaintext are wiped,
    /// those of `reader` are its own matter.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the cluster refuses; [`ClientError::Io`] of `reader` and `writer`.
    pub async fn encrypt_stream(
        &self,
        key: &str,
        context: &Context,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> Result<StreamSummary, ClientError> {
        let mut first = Zeroizing::new(vec![0; SINGLE_PLAINTEXT_BYTES_MAX + 1]);
        let have = fill(&mut reader, &mut first).await.map_err(reading)?;
        let summary = if have <= SINGLE_PLAINTEXT_BYTES_MAX {
            self.encrypt_whole(key, context, &first[..have], &mut writer)
                .await?
        } else {
            let chunks = ChunkReader::new(reader, CHUNK_BYTES, CHUNKS_READ_AHEAD, &first[..have]);
            self.encrypt_chunks(key, context, chunks, &mut writer)
                .await?
        };
        writer.flush().await.map_err(writing)?;
        Ok(summary)
    }

    async fn encrypt_whole(
        &self,
        key: &str,
        context: &Context,
        plaintext: &[u8],
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<StreamSummary, ClientError> {
        let request = v1::EncryptRequest {
            key: key.to_owned(),
            plaintext: plaintext.to_vec(),
            context: context.clone(),
            ..v1::EncryptRequest::default()
        };
        let answer = self.encrypt(request).await?;
        writer
            .write_all(&answer.ciphertext)
            .await
            .map_err(writing)?;
        Ok(StreamSummary {
            key: answer.key,
            version: answer.version,
            plaintext_bytes: bytes(plaintext.len()),
        })
    }

    async fn encrypt_chunks(
        &self,
        key: &str,
        context: &Context,
        mut chunks: ChunkReader<impl AsyncRead + Unpin>,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<StreamSummary, ClientError> {
        let request = v1::GenerateDataKeyRequest {
            key: key.to_owned(),
            length: DATA_KEY_BYTES,
            context: context.clone(),
            ..v1::GenerateDataKeyRequest::default()
        };
        let drawn = self.generate_data_key(request).await?;
        let wrong = |_| ClientError::BadAnswer {
            what: "a data key of another length than asked for",
        };
        let data_key = DataKey::from_slice(drawn.plaintext.expose()).map_err(wrong)?;
        let header =
            StreamHeader::new(drawn.ciphertext, self.random()).map_err(ClientError::Crypto)?;
        writer.write_all(&header.encode()).await.map_err(writing)?;
        let mut sealer = StreamSealer::new(&data_key, &header);
        let mut plaintext_bytes = 0;
        loop {
            let (chunk, last) = chunks.next().await.map_err(reading)?;
            plaintext_bytes += bytes(chunk.len());
            let chunk = sealer
                .seal_chunk(chunk, last)
                .map_err(ClientError::Crypto)?;
            writer.write_all(&chunk).await.map_err(writing)?;
            if last {
                break;
            }
        }
        Ok(StreamSummary {
            key: drawn.key,
            version: drawn.version,
            plaintext_bytes,
        })
    }
}
