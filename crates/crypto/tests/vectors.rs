//! The published vectors are what this code makes, and an independent implementation agrees.
//!
//! `CONCLAVE_WRITE_VECTORS=1` writes the files anew: only for a new format, never to make this
//! pass.
#![allow(clippy::unwrap_used, reason = "a test that is wrong may panic")]

#[path = "vectors/message.rs"]
mod message;
#[path = "vectors/stream.rs"]
mod stream;

use serde::Serialize;
use std::path::PathBuf;
use std::process::Command;

fn format_dir() -> PathBuf {
    // Relative to the package, where tests run: what was built in one clone may be run in another.
    PathBuf::from("../../docs/format")
}

/// `len` bytes that look random and are the same everywhere.
fn bytes(label: &str, len: usize) -> Vec<u8> {
    let blocks = (0u32..).flat_map(|block| {
        let input = [label.as_bytes(), &block.to_be_bytes()].concat();
        ring::digest::digest(&ring::digest::SHA256, &input)
            .as_ref()
            .to_vec()
    });
    blocks.take(len).collect()
}

fn array<const N: usize>(label: &str) -> [u8; N] {
    bytes(label, N).try_into().unwrap()
}

fn compare(file: &str, vectors: &impl Serialize) {
    let path = format_dir().join("vectors").join(file);
    let made = serde_json::to_string_pretty(vectors).unwrap() + "\n";
    if std::env::var_os("CONCLAVE_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert!(
        published == made,
        "{file}: the code no longer makes what is published"
    );
}

#[test]
fn messages_are_as_published() {
    let vectors = message::all();
    assert!(vectors.vectors.len() >= 20);
    vectors.check();
    compare("message-v1.json", &vectors);
}

#[test]
fn streams_are_as_published() {
    let vectors = stream::all();
    vectors.check();
    compare("stream-v1.json", &vectors);
}

#[test]
fn an_independent_implementation_agrees() {
    let python = std::env::var_os("CONCLAVE_PYTHON").unwrap_or_else(|| "python3".into());
    let how = "install Python 3 and its package 'cryptography' (Debian: python3-cryptography; \
               elsewhere: pip install cryptography), and name another interpreter by \
               CONCLAVE_PYTHON";
    let probe = Command::new(&python)
        .args(["-c", "import cryptography"])
        .output();
    assert!(
        probe.is_ok_and(|probe| probe.status.success()),
        "{}: {how}",
        python.display()
    );
    let check = Command::new(&python)
        .arg(format_dir().join("check_vectors.py"))
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&check.stdout),
        String::from_utf8_lossy(&check.stderr),
    );
    assert!(check.status.success(), "{out}\n{err}");
    let (messages, streams) = (message::all().vectors.len(), stream::all().vectors.len());
    let expected = format!("{messages} message vectors and {streams} stream vectors agree");
    assert_eq!(out.trim_end(), expected, "the script must have read all");
}
