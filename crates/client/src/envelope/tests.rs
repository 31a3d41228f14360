//! Round trips, and what damage does.

use super::{Context, StreamSummary};
use crate::limits::SINGLE_PLAINTEXT_BYTES_MAX;
use crate::testing::TestCluster;
use crate::{Client, ClientError};
use conclave_crypto::stream::{CHUNK_BYTES, MAGIC, SEALED_CHUNK_BYTES};
use std::time::Duration;

/// Magic, format, length, the test cluster's two bytes of wrapped key, salt.
const HEADER_BYTES: usize = 8 + 1 + 4 + 2 + 32;

fn client() -> Client {
    let mut cluster = TestCluster::default();
    cluster.serving([]);
    cluster.client(Duration::from_secs(20))
}

fn context() -> Context {
    Context::from([("order".to_owned(), "17".to_owned())])
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

async fn seal(client: &Client, plaintext: &[u8]) -> Vec<u8> {
    let mut ciphertext = Vec::new();
    let summary = client
        .encrypt_stream("a/b", &context(), plaintext, &mut ciphertext)
        .await;
    let plaintext_bytes = u64::try_from(plaintext.len()).unwrap();
    assert_eq!(
        summary.unwrap(),
        StreamSummary {
            key: "a/b".into(),
            version: 1,
            plaintext_bytes
        }
    );
    ciphertext
}

/// What came out, and how it ended.
async fn open(client: &Client, ciphertext: &[u8]) -> (Vec<u8>, Result<(), ClientError>) {
    let mut out = Vec::new();
    let done = client
        .decrypt_stream(None, &context(), ciphertext, &mut out)
        .await;
    (out, done.map(drop))
}

#[tokio::test]
async fn any_size_comes_back() {
    let client = client();
    let (one, chunk) = (SINGLE_PLAINTEXT_BYTES_MAX, CHUNK_BYTES);
    for len in [
        0,
        1,
        one,
        one + 1,
        chunk,
        chunk + 1,
        3 * chunk,
        40 * chunk + 7,
    ] {
        let plaintext = plaintext(len);
        let ciphertext = seal(&client, &plaintext).await;
        assert_eq!(ciphertext.starts_with(MAGIC), len > one, "{len}");
        let (opened, done) = open(&client, &ciphertext).await;
        done.unwrap();
        assert!(opened == plaintext, "{len}");
    }
}

#[tokio::test]
async fn every_truncation_is_found_and_what_came_out_is_authentic() {
    let client = client();
    let plaintext = plaintext(2 * CHUNK_BYTES + 5);
    let ciphertext = seal(&client, &plaintext).await;
    let chunks = HEADER_BYTES + SEALED_CHUNK_BYTES;
    for len in [
        8,
        HEADER_BYTES - 1,
        HEADER_BYTES,
        HEADER_BYTES + 1,
        chunks - 1,
        chunks,
        chunks + 1,
        chunks + 16,
        chunks + SEALED_CHUNK_BYTES,
        ciphertext.len() - 1,
    ] {
        let (opened, done) = open(&client, &ciphertext[..len]).await;
        let actual = u64::try_from(len).unwrap();
        assert!(
            matches!(done, Err(ClientError::Truncated { actual_bytes }) if actual_bytes == actual),
            "{len}: {done:?}"
        );
        assert!(
            plaintext.starts_with(&opened) && opened.len() % CHUNK_BYTES == 0,
            "{len}"
        );
    }
}

#[tokio::test]
async fn every_change_is_found_before_its_chunk_comes_out() {
    let client = client();
    let plaintext = plaintext(3 * CHUNK_BYTES);
    let ciphertext = seal(&client, &plaintext).await;
    for at in (0..HEADER_BYTES).chain((HEADER_BYTES..ciphertext.len()).step_by(9_973)) {
        let mut changed = ciphertext.clone();
        changed[at] ^= 0x40;
        let (opened, done) = open(&client, &changed).await;
        assert!(done.is_err(), "byte {at}");
        let before = at.saturating_sub(HEADER_BYTES) / SEALED_CHUNK_BYTES * CHUNK_BYTES;
        assert!(
            opened.len() <= before && plaintext.starts_with(&opened),
            "byte {at}"
        );
    }
}

#[tokio::test]
async fn moved_repeated_and_appended_chunks_are_found() {
    let client = client();
    let plaintext = plaintext(3 * CHUNK_BYTES + 9);
    let ciphertext = seal(&client, &plaintext).await;
    let (header, body) = ciphertext.split_at(HEADER_BYTES);
    let chunks: Vec<&[u8]> = body.chunks(SEALED_CHUNK_BYTES).collect();
    for order in [
        vec![1, 0, 2, 3],
        vec![0, 0, 1, 2, 3],
        vec![0, 2, 3],
        vec![3],
        vec![0, 1, 2, 3, 3],
    ] {
        let mixed = order.iter().flat_map(|&place| chunks[place]).copied();
        let mixed: Vec<u8> = header.iter().copied().chain(mixed).collect();
        let (opened, done) = open(&client, &mixed).await;
        assert!(done.is_err(), "{order:?}");
        assert!(plaintext.starts_with(&opened), "{order:?}");
    }
}

#[tokio::test]
async fn another_context_or_key_opens_nothing() {
    let client = client();
    for len in [10, SINGLE_PLAINTEXT_BYTES_MAX + 1] {
        let ciphertext = seal(&client, &plaintext(len)).await;
        let mut out = Vec::new();
        let none = Context::new();
        let done = client
            .decrypt_stream(None, &none, &*ciphertext, &mut out)
            .await;
        assert!(matches!(done, Err(ClientError::Call(_))));
        let done = client
            .decrypt_stream(Some("a/c"), &context(), &*ciphertext, &mut out)
            .await;
        assert!(matches!(done, Err(ClientError::Call(_))));
        assert!(out.is_empty());
        let done = client
            .decrypt_stream(Some("a/b"), &context(), &*ciphertext, &mut out)
            .await;
        assert_eq!(done.unwrap().plaintext_bytes, u64::try_from(len).unwrap());
    }
}

#[tokio::test]
async fn what_is_no_ciphertext_is_not_sent() {
    let client = client();
    for bad in [Vec::new(), vec![1; 70_000], b"AQGPFORceg==\n".to_vec()] {
        let (opened, done) = open(&client, &bad).await;
        assert!(
            matches!(done, Err(ClientError::NotACiphertext { .. })),
            "{done:?}"
        );
        assert!(opened.is_empty());
    }
}
