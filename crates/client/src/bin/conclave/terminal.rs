//! Plaintext for a terminal: only if it is a short text that cannot steer it.

use crate::error::CliError;
use crate::limits::TERMINAL_TEXT_BYTES_MAX;
use crate::output;
use conclave_client::{ClientError, StreamSummary};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use zeroize::Zeroizing;

/// Collects what is decrypted.
pub(crate) struct TerminalText {
    bytes: Zeroizing<Vec<u8>>,
    too_long: bool,
}

impl Default for TerminalText {
    fn default() -> Self {
        // Large enough at once: growing would leave plaintext behind in freed memory.
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(TERMINAL_TEXT_BYTES_MAX)),
            too_long: false,
        }
    }
}

impl TerminalText {
    /// Prints the text, if that is what came.
    pub(crate) fn show(&self, done: Result<StreamSummary, ClientError>) -> Result<(), CliError> {
        if self.too_long {
            return Err(CliError::Terminal);
        }
        done?;
        if !is_text(&self.bytes) {
            return Err(CliError::Terminal);
        }
        output::bytes(&self.bytes)?;
        if self.bytes.ends_with(b"\n") {
            Ok(())
        } else {
            output::bytes(b"\n")
        }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(harmless))
}

impl AsyncWrite for TerminalText {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.bytes.len() + buf.len() > TERMINAL_TEXT_BYTES_MAX {
            self.too_long = true;
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        self.bytes.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_text_is_text() {
        assert!(is_text("4111 é\n\tx".as_bytes()));
        assert!(!is_text(b"\x1b[2J"));
        assert!(!is_text(b"\xff\xfe"));
    }
}
