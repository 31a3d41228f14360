//! Shows on standard error how far a long input has been read.

use crate::limits::WORTH_A_BAR_BYTES;
use crate::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// A reader that moves a bar.
pub(crate) struct Progress<R> {
    inner: R,
    bar: ProgressBar,
}

impl<R> Progress<R> {
    /// `len` is the input's length if it is known.
    pub(crate) fn new(inner: R, len: Option<u64>, output: Output) -> Self {
        let long = len.is_none_or(|len| len >= WORTH_A_BAR_BYTES);
        let wanted = long && !output.is_json() && io::stderr().is_terminal();
        let bar = match (wanted, len) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(len)) => ProgressBar::new(len).with_style(style(
                "{bar:40} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
            )),
            (true, None) => {
                ProgressBar::no_length().with_style(style("{bytes} so far, {binary_bytes_per_sec}"))
            }
        };
        Self { inner, bar }
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Progress<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let ended = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        self.bar
            .inc(u64::try_from(buf.filled().len() - before).unwrap_or(0));
        Poll::Ready(ended)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is one of ours")
}
