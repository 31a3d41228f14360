//! The vectors of `docs/format/vectors/stream-v1.json`. Bytes made by a rule keep the file small.

use super::{array, bytes};
use conclave_crypto::stream::{CHUNK_BYTES, SEALED_CHUNK_BYTES};
use conclave_crypto::{CryptoError, DataKey, StreamHeader, StreamOpener, StreamSealer};
use ring::digest::{SHA256, digest};
use serde::Serialize;

/// The file.
#[derive(Serialize)]
pub(crate) struct Vectors {
    format: &'static str,
    /// In the order in which they are published.
    pub(crate) vectors: Vec<Vector>,
}

/// The plaintext is `plaintext_bytes` bytes, byte i being i mod 251. The stream is given by its
/// length and SHA-256, and in full if it is short. `breaks` are what must not open, made of it.
#[derive(Serialize)]
pub(crate) struct Vector {
    name: &'static str,
    data_key: String,
    wrapped_data_key: String,
    salt: String,
    plaintext_bytes: usize,
    stream_bytes: usize,
    stream_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    /// Orders of the stream's chunks, from 0, that must not open.
    broken_orders: Vec<Vec<usize>>,
    #[serde(skip)]
    whole: Vec<u8>,
}

impl Vectors {
    /// Each opens whole, and in no broken order.
    pub(crate) fn check(&self) {
        for vector in &self.vectors {
            let data_key = DataKey::from_slice(&hex::decode(&vector.data_key).unwrap()).unwrap();
            let (header, chunks) = StreamHeader::parse(&vector.whole).unwrap();
            let opened = open(&data_key, &header, chunks);
            assert_eq!(
                opened,
                Ok(plaintext(vector.plaintext_bytes)),
                "{}",
                vector.name
            );
            let chunks: Vec<_> = chunks.chunks(SEALED_CHUNK_BYTES).collect();
            for order in &vector.broken_orders {
                let broken: Vec<_> = order.iter().map(|at| chunks[*at]).collect();
                assert!(
                    open(&data_key, &header, &broken.concat()).is_err(),
                    "{order:?}"
                );
            }
        }
    }
}

fn open(key: &DataKey, header: &StreamHeader, chunks: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut opener = StreamOpener::new(key, header);
    let count = chunks.len().div_ceil(SEALED_CHUNK_BYTES);
    let mut out = Vec::new();
    for (at, chunk) in chunks.chunks(SEALED_CHUNK_BYTES).enumerate() {
        out.extend_from_slice(opener.open_chunk(chunk, at + 1 == count)?.expose());
    }
    opener.finish().map(|()| out)
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn vector(name: &'static str, plaintext_bytes: usize, broken_orders: &[&[usize]]) -> Vector {
    let data_key: [u8; 32] = array(&format!("{name}/data key"));
    let wrapped = bytes(&format!("{name}/wrapped"), 134);
    let salt: [u8; 32] = array(&format!("{name}/stream salt"));
    let header = StreamHeader::new(wrapped.clone(), salt).unwrap();
    let mut sealer = StreamSealer::new(&DataKey::from_slice(&data_key).unwrap(), &header);
    let plaintext = plaintext(plaintext_bytes);
    let count = plaintext_bytes.div_ceil(CHUNK_BYTES).max(1);
    let mut whole = header.encode();
    for at in 0..count {
        let end = plaintext_bytes.min((at + 1) * CHUNK_BYTES);
        let chunk = sealer.seal_chunk(&plaintext[at * CHUNK_BYTES..end], at + 1 == count);
        whole.extend(chunk.unwrap());
    }
    Vector {
        name,
        data_key: hex::encode(data_key),
        wrapped_data_key: hex::encode(wrapped),
        salt: hex::encode(salt),
        plaintext_bytes,
        stream_bytes: whole.len(),
        stream_sha256: hex::encode(digest(&SHA256, &whole)),
        stream: (whole.len() < 400).then(|| hex::encode(&whole)),
        broken_orders: broken_orders.iter().map(|order| order.to_vec()).collect(),
        whole,
    }
}

/// All vectors, from nothing but labels.
pub(crate) fn all() -> Vectors {
    let vectors = vec![
        vector("empty", 0, &[&[], &[0, 0]]),
        vector("100 bytes", 100, &[&[]]),
        vector("one chunk exactly", CHUNK_BYTES, &[&[], &[0, 0]]),
        vector(
            "one chunk and a byte",
            CHUNK_BYTES + 1,
            &[&[0], &[1], &[1, 0]],
        ),
        vector(
            "three chunks and some",
            3 * CHUNK_BYTES + 4_096,
            &[
                &[0, 1, 2],
                &[0, 2, 1, 3],
                &[0, 1, 1, 2, 3],
                &[0, 1, 3],
                &[1, 2, 3],
                &[0, 0, 1, 2, 3],
            ],
        ),
    ];
    Vectors {
        format: "conclave stream format 1",
        vectors,
    }
}
