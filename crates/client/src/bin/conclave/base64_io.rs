//! Base64 as a stream: what `base64 -w0` writes and `base64 -d` reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are encoded or decoded at once; a multiple of 3 and 4.
const STEP_BYTES: usize = 48 * 1024;

/// Encodes; shut it down to write the end and a line feed.
pub(crate) struct Base64Writer<W> {
    inner: W,
    /// Up to two bytes that wait for a third.
    waiting: Vec<u8>,
    encoded: Vec<u8>,
    written: usize,
    ended: bool,
}

impl<W: AsyncWrite + Unpin> Base64Writer<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            waiting: Vec::new(),
            encoded: Vec::new(),
            written: 0,
            ended: false,
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.encoded.len() {
            let rest = &self.encoded[self.written..];
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.encoded.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Base64Writer<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let take = buf.len().min(STEP_BYTES);
        let mut plain = std::mem::take(&mut self.waiting);
        plain.extend_from_slice(&buf[..take]);
        let rest = plain.split_off(plain.len() - plain.len() % 3);
        self.encoded = STANDARD.encode(&plain).into_bytes();
        self.waiting = rest;
        Poll::Ready(Ok(take))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            ready!(self.poll_drain(cx))?;
            self.encoded = STANDARD.encode(&self.waiting).into_bytes();
            self.encoded.push(b'\n');
            self.ended = true;
        }
        ready!(self.poll_drain(cx))?;
        // Standard output, shut down, forgets what was not flushed.
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Decodes; white space is skipped.
pub(crate) struct Base64Reader<R> {
    inner: R,
    raw: Vec<u8>,
    /// Up to three characters that wait for a fourth.
    waiting: Vec<u8>,
    decoded: Vec<u8>,
    given: usize,
}

impl<R: AsyncRead + Unpin> Base64Reader<R> {
    pub(crate) fn new(inner: R) -> Self {
        let raw = vec![0; STEP_BYTES];
        Self {
            inner,
            raw,
            waiting: Vec::new(),
            decoded: Vec::new(),
            given: 0,
        }
    }

    /// Takes what was read over; an empty read is the end.
    fn decode(&mut self, count: usize) -> io::Result<()> {
        let wrong = |text| io::Error::new(io::ErrorKind::InvalidData, text);
        if count == 0 && !self.waiting.is_empty() {
            return Err(wrong("the base64 text is cut short"));
        }
        let visible = self.raw[..count]
            .iter()
            .filter(|byte| !byte.is_ascii_whitespace());
        self.waiting.extend(visible);
        let rest = self
            .waiting
            .split_off(self.waiting.len() - self.waiting.len() % 4);
        self.decoded = STANDARD
            .decode(&self.waiting)
            .map_err(|_| wrong("it is not base64"))?;
        self.given = 0;
        self.waiting = rest;
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Base64Reader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.given == this.decoded.len() {
            let mut raw = ReadBuf::new(&mut this.raw);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut raw))?;
            let count = raw.filled().len();
            this.decode(count)?;
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let rest = &this.decoded[this.given..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        this.given += count;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Like tokio's standard output: what is not flushed before the shutdown is lost.
    #[derive(Default)]
    struct Forgetful {
        pending: Vec<u8>,
        flushed: Vec<u8>,
    }

    impl AsyncWrite for Forgetful {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.pending.extend_from_slice(buf);
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            let pending = std::mem::take(&mut self.pending);
            self.flushed.extend(pending);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn encoded(parts: &[&[u8]]) -> Vec<u8> {
        let mut out = Forgetful::default();
        let mut writer = Base64Writer::new(&mut out);
        for part in parts {
            writer.write_all(part).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        out.flushed
    }

    async fn decoded(text: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Base64Reader::new(text)
            .read_to_end(&mut out)
            .await
            .map(|_| out)
    }

    #[tokio::test]
    async fn parts_are_encoded_as_a_whole() {
        assert_eq!(encoded(&[]).await, b"\n");
        assert_eq!(encoded(&[b"a", b"bc", b"de"]).await, b"YWJjZGU=\n");
        let large = vec![7; 3 * STEP_BYTES + 1];
        let text = encoded(&[&large[..=STEP_BYTES], &large[STEP_BYTES + 1..]]).await;
        assert_eq!(text, format!("{}\n", STANDARD.encode(&large)).into_bytes());
        assert_eq!(decoded(&text).await.unwrap(), large);
    }

    #[tokio::test]
    async fn lines_are_joined_and_rubbish_is_refused() {
        assert_eq!(decoded(b" YWJj\r\nZ\nGU=\n").await.unwrap(), b"abcde");
        assert_eq!(decoded(b"").await.unwrap(), b"");
        for bad in [b"YWJ".as_slice(), b"YW!j", b"YQ==YQ=="] {
            let kind = decoded(bad).await.map_err(|error| error.kind());
            assert_eq!(kind, Err(io::ErrorKind::InvalidData), "{bad:?}");
        }
    }
}
