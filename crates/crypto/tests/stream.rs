//! Streams from outside: a whole one opens; cut, reordered, repeated or extended ones are named.
#![allow(clippy::unwrap_used, reason = "a test that is wrong may panic")]

use conclave_crypto::stream::{CHUNK_BYTES, SEALED_CHUNK_BYTES};
use conclave_crypto::{CryptoError, DataKey, StreamHeader, StreamOpener, StreamSealer};
use proptest::prelude::*;

fn data_key(byte: u8) -> DataKey {
    DataKey::from_fn(|out| out.fill(byte))
}

fn header() -> StreamHeader {
    StreamHeader::new(vec![5; 134], [6; 32]).unwrap()
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn seal(plaintext: &[u8]) -> Vec<Vec<u8>> {
    let mut sealer = StreamSealer::new(&data_key(1), &header());
    let mut chunks: Vec<_> = plaintext.chunks(CHUNK_BYTES).collect();
    let last = chunks.pop().unwrap_or_default();
    let mut stream: Vec<_> = chunks
        .into_iter()
        .map(|chunk| sealer.seal_chunk(chunk, false).unwrap())
        .collect();
    stream.push(sealer.seal_chunk(last, true).unwrap());
    stream
}

/// As a reader does: the chunk behind which the input ends is the last.
fn open(bytes: &[u8], key: &DataKey, header: &StreamHeader) -> Result<Vec<u8>, CryptoError> {
    let mut opener = StreamOpener::new(key, header);
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(rest.len().min(SEALED_CHUNK_BYTES));
        out.extend_from_slice(opener.open_chunk(chunk, behind.is_empty())?.expose());
        rest = behind;
    }
    opener.finish().map(|()| out)
}

fn open_chunks(chunks: &[Vec<u8>]) -> Result<Vec<u8>, CryptoError> {
    open(&chunks.concat(), &data_key(1), &header())
}

#[test]
fn whole_streams_open_at_every_border() {
    for len in [
        0,
        1,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        3 * CHUNK_BYTES,
        200_000,
    ] {
        let sealed = seal(&plaintext(len));
        assert_eq!(sealed.len(), len.div_ceil(CHUNK_BYTES).max(1));
        assert_eq!(open_chunks(&sealed), Ok(plaintext(len)), "{len}");
    }
}

#[test]
fn a_stream_cut_at_a_chunk_is_truncated() {
    let sealed = seal(&plaintext(3 * CHUNK_BYTES + 9));
    for chunks in 0..sealed.len() {
        assert_eq!(
            open_chunks(&sealed[..chunks]),
            Err(CryptoError::StreamTruncated),
            "{chunks}"
        );
    }
}

#[test]
fn a_stream_cut_within_a_chunk_does_not_open() {
    let bytes = seal(&plaintext(CHUNK_BYTES + 40)).concat();
    for len in (1..bytes.len())
        .step_by(4_099)
        .chain(SEALED_CHUNK_BYTES + 1..bytes.len())
    {
        assert!(
            open(&bytes[..len], &data_key(1), &header()).is_err(),
            "cut to {len}"
        );
    }
}

#[test]
fn chunks_can_be_neither_moved_nor_repeated_nor_dropped() {
    let sealed = seal(&plaintext(4 * CHUNK_BYTES));
    let pick = |order: &[usize]| {
        open_chunks(&order.iter().map(|i| sealed[*i].clone()).collect::<Vec<_>>())
    };
    assert_eq!(pick(&[0, 1, 2, 3]), Ok(plaintext(4 * CHUNK_BYTES)));
    for order in [
        &[1, 0, 2, 3][..],
        &[0, 0, 1, 2, 3],
        &[0, 2, 3],
        &[1, 2, 3],
        &[0, 1, 3],
        &[3],
    ] {
        assert_eq!(pick(order), Err(CryptoError::DoesNotOpen), "{order:?}");
    }
    assert_eq!(pick(&[0, 1, 2, 3, 3]), Err(CryptoError::StreamTrailing));
}

#[test]
fn what_is_appended_is_found() {
    let sealed = seal(&plaintext(CHUNK_BYTES));
    let longer = [sealed.concat(), vec![0; 100]].concat();
    assert_eq!(
        open(&longer, &data_key(1), &header()),
        Err(CryptoError::StreamTrailing)
    );
    let other = [sealed.concat(), seal(b"other").concat()].concat();
    assert_eq!(
        open(&other, &data_key(1), &header()),
        Err(CryptoError::StreamTrailing)
    );
    let short = [seal(b"short").concat(), vec![0; 100]].concat();
    assert_eq!(
        open(&short, &data_key(1), &header()),
        Err(CryptoError::DoesNotOpen)
    );
}

#[test]
fn every_changed_byte_is_found_in_header_and_chunk() {
    let sealed = seal(b"a short text");
    let whole = [header().encode(), sealed.concat()].concat();
    let open_whole = |bytes: &[u8]| {
        let (header, chunks) = StreamHeader::parse(bytes)?;
        open(chunks, &data_key(1), &header)
    };
    assert_eq!(open_whole(&whole), Ok(b"a short text".to_vec()));
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(open_whole(&changed).is_err(), "byte {at}");
        assert!(open_whole(&whole[..at]).is_err(), "cut to {at}");
    }
    assert!(open(&sealed.concat(), &data_key(2), &header()).is_err());
}

#[test]
fn headers_are_read_by_their_prefix() {
    let bytes = [header().encode(), b"chunks".to_vec()].concat();
    let prefix = bytes.first_chunk().unwrap();
    assert_eq!(StreamHeader::len_from_prefix(prefix), Ok(bytes.len() - 6));
    assert_eq!(
        StreamHeader::parse(&bytes),
        Ok((header(), b"chunks".as_slice()))
    );
    assert!(StreamHeader::is_stream(&bytes));
    assert!(!StreamHeader::is_stream(b"CONCLAV"));
    let huge = *b"CONCLAVE\x01\xff\xff\xff\xff";
    assert!(matches!(
        StreamHeader::len_from_prefix(&huge),
        Err(CryptoError::TooLarge { .. })
    ));
    let newer = *b"CONCLAVE\x02\0\0\0\x01";
    assert_eq!(
        StreamHeader::len_from_prefix(&newer),
        Err(CryptoError::UnknownFormat(2))
    );
    let foreign = *b"conclave\x01\0\0\0\x01";
    assert_eq!(
        StreamHeader::len_from_prefix(&foreign),
        Err(CryptoError::UnknownFormat(b'c'))
    );
    assert!(matches!(
        StreamHeader::new(vec![0; 4_097], [0; 32]),
        Err(CryptoError::TooLarge { .. })
    ));
}

#[test]
fn a_sealer_makes_only_what_an_opener_takes() {
    let mut sealer = StreamSealer::new(&data_key(1), &header());
    let refused = |actual| {
        Err(CryptoError::ChunkLength {
            chunk: CHUNK_BYTES,
            actual,
        })
    };
    assert_eq!(sealer.seal_chunk(b"short", false), refused(5));
    assert_eq!(
        sealer.seal_chunk(&plaintext(CHUNK_BYTES + 1), true),
        refused(CHUNK_BYTES + 1)
    );
    assert!(sealer.seal_chunk(&plaintext(CHUNK_BYTES), false).is_ok());
    assert_eq!(sealer.seal_chunk(b"", true), refused(0));
    assert!(sealer.seal_chunk(b"end", true).is_ok());
    assert_eq!(
        sealer.seal_chunk(b"more", true),
        Err(CryptoError::StreamEnded)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_length_comes_back_and_any_flip_does_not(
        len in 0usize..3 * CHUNK_BYTES, at: prop::sample::Index, bit in 0u8..8,
    ) {
        let mut bytes = seal(&plaintext(len)).concat();
        prop_assert_eq!(open(&bytes, &data_key(1), &header()), Ok(plaintext(len)));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(
            open(&bytes, &data_key(1), &header()),
            Err(CryptoError::DoesNotOpen)
        );
    }
}
