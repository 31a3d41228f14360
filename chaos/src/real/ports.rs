//! Free ports on loopback. Binding to port 0 and letting go is a race with every other test, so ports
//! come from a range that belongs to this process, below those that the system gives out by itself.

use anyhow::{Context as _, Result};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 17_000;
const PER_PROCESS: u32 = 120;
const PROCESSES: u32 = 128;

static DRAWN: AtomicU32 = AtomicU32::new(0);

/// A port on loopback that nobody listens on and that no other test of this process was given.
///
/// # Errors
/// If none is left.
pub(super) fn draw() -> Result<u16> {
    let base = FIRST + std::process::id() % PROCESSES * PER_PROCESS;
    for _ in 0..PER_PROCESS {
        let port = base + DRAWN.fetch_add(1, Ordering::Relaxed) % PER_PROCESS;
        let port = u16::try_from(port).context("a port has 16 bits")?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port from {base} on is free")
}
