//! What happened in a run, line by line: printed if asked for, and hashed, so that two runs can be compared.

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// The last lines that are kept for whoever looks at a failure.
const TAIL_LINES: usize = 60;

/// A trace. Clones write the same one.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    out: Option<Box<dyn Write + Send>>,
    hash: Sha256,
    tail: VecDeque<String>,
    lines: u64,
}

impl Trace {
    /// A trace that also goes to `out`, if there is one.
    pub(crate) fn new(out: Option<Box<dyn Write + Send>>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            out,
            hash: Sha256::new(),
            tail: VecDeque::new(),
            lines: 0,
        })))
    }

    /// Writes a line.
    pub(crate) fn line(&self, at: Duration, text: &str) {
        let line = format!("{:>8} {text}", at.as_millis());
        let mut inner = self.0.lock();
        inner.hash.update(line.as_bytes());
        inner.hash.update(b"\n");
        inner.lines += 1;
        if let Some(out) = &mut inner.out
            && writeln!(out, "{line}").is_err()
        {
            // Whoever read it has gone away.
            inner.out = None;
        }
        inner.tail.push_back(line);
        if inner.tail.len() > TAIL_LINES {
            inner.tail.pop_front();
        }
    }

    /// A hash of all lines.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.0.lock().hash.clone().finalize().into()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.0.lock().tail.iter().cloned().collect()
    }

    /// Hands on what is still held back.
    pub(crate) fn flush(&self) {
        if let Some(out) = &mut self.0.lock().out {
            let _ = out.flush();
        }
    }
}
