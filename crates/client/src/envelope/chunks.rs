//! Cuts input into chunks of one size, and knows which is the last.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

/// Reads ahead by several chunks; its buffer is wiped in the end, because it may hold plaintext.
pub(super) struct ChunkReader<R> {
    reader: R,
    chunk_bytes: usize,
    buffer: Zeroizing<Vec<u8>>,
    start: usize,
    end: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> ChunkReader<R> {
    /// Begins with what was read from `reader` already, which is at most `read_ahead` chunks.
    pub(super) fn new(reader: R, chunk_bytes: usize, read_ahead: usize, already: &[u8]) -> Self {
        let mut buffer = Zeroizing::new(vec![0; chunk_bytes * (read_ahead + 1)]);
        buffer[..already.len()].copy_from_slice(already);
        Self {
            reader,
            chunk_bytes,
            buffer,
            start: 0,
            end: already.len(),
            ended: false,
        }
    }

    /// The next chunk, and whether it is the last. The last one may be shorter, and is empty only
    /// if nothing else came; asked again, it gives an empty last chunk.
    pub(super) async fn next(&mut self) -> io::Result<(&[u8], bool)> {
        // One byte more than a chunk tells that the chunk is not the last.
        while self.end - self.start <= self.chunk_bytes && !self.ended {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            let count = self.reader.read(&mut self.buffer[self.end..]).await?;
            self.end += count;
            self.ended = count == 0;
        }
        let have = self.end - self.start;
        let take = have.min(self.chunk_bytes);
        let chunk = self.start..self.start + take;
        self.start += take;
        Ok((&self.buffer[chunk], have <= self.chunk_bytes))
    }
}

/// Reads until `out` is full or the input ends; tells how much there was.
pub(super) async fn fill(
    reader: &mut (impl AsyncRead + Unpin),
    out: &mut [u8],
) -> io::Result<usize> {
    let mut have = 0;
    while have < out.len() {
        match reader.read(&mut out[have..]).await? {
            0 => break,
            count => have += count,
        }
    }
    Ok(have)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most `step` bytes a read.
    struct Slow<'a> {
        rest: &'a [u8],
        step: usize,
    }

    impl AsyncRead for Slow<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            let count = self.step.min(self.rest.len()).min(buf.remaining());
            let (now, rest) = self.rest.split_at(count);
            buf.put_slice(now);
            self.rest = rest;
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn chunks_are_full_but_the_last_and_lose_nothing() {
        let input: Vec<u8> = (0..=255).cycle().take(100).collect();
        for len in [0, 1, 9, 10, 11, 19, 20, 21, 39, 40, 100] {
            for step in [1, 7, 10, 1_000] {
                for already in [0, len.min(11)] {
                    let (first, rest) = input[..len].split_at(already);
                    let mut reader = ChunkReader::new(Slow { rest, step }, 10, 3, first);
                    let mut seen = Vec::new();
                    loop {
                        let (chunk, last) = reader.next().await.unwrap();
                        assert!(chunk.len() == 10 || last);
                        assert!(!chunk.is_empty() || len == 0);
                        seen.extend_from_slice(chunk);
                        if last {
                            break;
                        }
                    }
                    assert_eq!(seen, &input[..len], "{len} bytes, {step} a read");
                }
            }
        }
    }
}
