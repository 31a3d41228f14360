//! Decrypts, and gives out nothing that has not been authenticated.

use super::chunks::{ChunkReader, fill};
use super::{Context, StreamSummary, bytes, reading, writing};
use crate::client::Client;
use crate::error::ClientError;
use crate::limits::{CHUNKS_READ_AHEAD, SINGLE_CIPHERTEXT_BYTES_MAX};
use crate::v1;
use conclave_crypto::stream::SEALED_CHUNK_BYTES;
use conclave_crypto::{CryptoError, DataKey, StreamHeader, StreamOpener};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

const PREFIX_BYTES: usize = StreamHeader::PREFIX_BYTES;

/// Whose ciphertext it is, as far as the caller says.
struct Terms<'a> {
    key: Option<&'a str>,
    context: &'a Context,
}

impl Client {
    /// Decrypts what [`Client::encrypt_stream`] or [`Client::encrypt`] made. If `key` is given, the
    /// ciphertext must be of that key. Each byte that `writer` gets is authentic and in its place;
    /// but that a stream was cut short is known only at its end, so use nothing of it before this
    /// answers `Ok`.
    ///
    /// # Errors
    /// [`ClientError::Truncated`], [`ClientError::ChunkDamaged`] and
    /// [`ClientError::NotACiphertext`] by what is wrong with the input; [`ClientError::Call`] if
    /// the cluster refuses; [`ClientError::Io`] of `reader` and `writer`.
    pub async fn decrypt_stream(
        &self,
        key: Option<&str>,
        context: &Context,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> Result<StreamSummary, ClientError> {
        let terms = Terms { key, context };
        let mut prefix = [0; PREFIX_BYTES];
        let have = fill(&mut reader, &mut prefix).await.map_err(reading)?;
        let summary = if StreamHeader::is_stream(&prefix) {
            let header = read_header(&mut reader, &prefix, have).await?;
            self.decrypt_chunks(&terms, &header, reader, &mut writer)
                .await?
        } else {
            self.decrypt_whole(&terms, &prefix[..have], reader, &mut writer)
                .await?
        };
        writer.flush().await.map_err(writing)?;
        Ok(summary)
    }

    async fn decrypt_whole(
        &self,
        terms: &Terms<'_>,
        prefix: &[u8],
        mut reader: impl AsyncRead + Unpin,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<StreamSummary, ClientError> {
        let mut ciphertext = vec![0; SINGLE_CIPHERTEXT_BYTES_MAX + 1];
        ciphertext[..prefix.len()].copy_from_slice(prefix);
        let more = fill(&mut reader, &mut ciphertext[prefix.len()..])
            .await
            .map_err(reading)?;
        ciphertext.truncate(prefix.len() + more);
        if ciphertext.is_empty() {
            return Err(ClientError::NotACiphertext { why: "it is empty" });
        }
        if is_text(ciphertext[0]) {
            return Err(ClientError::NotACiphertext { why: "it is text" });
        }
        if ciphertext.len() > SINGLE_CIPHERTEXT_BYTES_MAX {
            let why = "it is larger than one message, and does not begin like a stream";
            return Err(ClientError::NotACiphertext { why });
        }
        let opened = self.decrypt(terms.request(ciphertext)).await?;
        writer
            .write_all(opened.plaintext.expose())
            .await
            .map_err(writing)?;
        Ok(StreamSummary {
            key: opened.key,
            version: opened.version,
            plaintext_bytes: bytes(opened.plaintext.len()),
        })
    }

    async fn decrypt_chunks(
        &self,
        terms: &Terms<'_>,
        header: &StreamHeader,
        reader: impl AsyncRead + Unpin,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<StreamSummary, ClientError> {
        let wrapped = self
            .decrypt(terms.request(header.wrapped_data_key().to_vec()))
            .await?;
        let why = "what its header holds is not a data key";
        let data_key = DataKey::from_slice(wrapped.plaintext.expose())
            .map_err(|_| ClientError::NotACiphertext { why })?;
        let mut opener = StreamOpener::new(&data_key, header);
        let mut chunks = ChunkReader::new(reader, SEALED_CHUNK_BYTES, CHUNKS_READ_AHEAD, &[]);
        let mut offset_bytes = bytes(header.encode().len());
        let mut plaintext_bytes = 0;
        loop {
            let (chunk, last) = chunks.next().await.map_err(reading)?;
            let end = offset_bytes + bytes(chunk.len());
            let chunk = opener
                .open_chunk(chunk, last)
                .map_err(|error| damage(error, last, offset_bytes, end))?;
            writer.write_all(chunk.expose()).await.map_err(writing)?;
            plaintext_bytes += bytes(chunk.len());
            offset_bytes = end;
            if last {
                break;
            }
        }
        opener.finish().map_err(ClientError::Crypto)?;
        Ok(StreamSummary {
            key: wrapped.key,
            version: wrapped.version,
            plaintext_bytes,
        })
    }
}

impl Terms<'_> {
    fn request(&self, ciphertext: Vec<u8>) -> v1::DecryptRequest {
        v1::DecryptRequest {
            key: self.key.unwrap_or_default().to_owned(),
            ciphertext,
            context: self.context.clone(),
            ..v1::DecryptRequest::default()
        }
    }
}

async fn read_header(
    reader: &mut (impl AsyncRead + Unpin),
    prefix: &[u8; PREFIX_BYTES],
    have: usize,
) -> Result<StreamHeader, ClientError> {
    let short = |have: usize| ClientError::Truncated {
        actual_bytes: bytes(have),
    };
    if have < PREFIX_BYTES {
        return Err(short(have));
    }
    let len = StreamHeader::len_from_prefix(prefix).map_err(ClientError::Crypto)?;
    let mut header = vec![0; len];
    header[..PREFIX_BYTES].copy_from_slice(prefix);
    let more = fill(reader, &mut header[PREFIX_BYTES..])
        .await
        .map_err(reading)?;
    if PREFIX_BYTES + more < len {
        return Err(short(PREFIX_BYTES + more));
    }
    let (header, _) = StreamHeader::parse(&header).map_err(ClientError::Crypto)?;
    Ok(header)
}

/// Whether it begins a text, as base64 is one. The first byte of a message is its format, a small number.
fn is_text(first: u8) -> bool {
    first.is_ascii_graphic()
}

/// A cut inside the last chunk and a change of it cannot be told apart; both mean that the end is
/// not genuine.
fn damage(error: CryptoError, last: bool, offset_bytes: u64, end: u64) -> ClientError {
    if error == CryptoError::StreamTrailing {
        return ClientError::Crypto(error);
    }
    if last {
        ClientError::Truncated { actual_bytes: end }
    } else {
        ClientError::ChunkDamaged { offset_bytes }
    }
}
