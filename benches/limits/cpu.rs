//! CPU time as the kernel counts it: of threads by their name, of this process, and of all others.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::time::Duration;

/// What `/proc` counts in, on every Linux of today.
const TICK_MS: u64 = 10;
/// A reading can come out empty while its thread is being set up.
const READINGS_MAX: usize = 10;

/// Of all threads of this process whose names begin with `prefix`.
pub(crate) fn of_threads(prefix: &str) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        // A thread that has just ended is none of those that work.
        let Ok(name) = fs::read_to_string(path.join("comm")) else {
            continue;
        };
        if name.starts_with(prefix) {
            sum += read_schedstat(&path.join("schedstat").display().to_string())?;
        }
    }
    Ok(sum)
}

fn read_schedstat(path: &str) -> Result<Duration> {
    for _ in 0..READINGS_MAX {
        let text = fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))?;
        if let Some(time) = parse_schedstat(&text) {
            return Ok(time);
        }
    }
    bail!("{path} does not say how long the thread ran: CPU time needs a kernel with SCHED_INFO")
}

/// Nanoseconds on a CPU, nanoseconds waited for one, slices.
fn parse_schedstat(text: &str) -> Option<Duration> {
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// The machine's CPU time in use, and this process's part of it.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    busy: Duration,
    own: Duration,
}

impl Machine {
    /// As it is now.
    pub(crate) fn now() -> Result<Self> {
        let all = fs::read_to_string("/proc/stat")?;
        let own = fs::read_to_string("/proc/self/stat")?;
        Ok(Self {
            busy: parse_busy(&all).context("/proc/stat has an unknown form")?,
            own: parse_own(&own).context("/proc/self/stat has an unknown form")?,
        })
    }

    /// CPU time that other processes (and neighbours of this machine) have used since `before`.
    pub(crate) fn others_since(&self, before: &Self) -> Duration {
        let own = self.own.saturating_sub(before.own);
        self.busy.saturating_sub(before.busy).saturating_sub(own)
    }
}

fn ticks(text: &str) -> Option<Duration> {
    let count: u64 = text.parse().ok()?;
    Some(Duration::from_millis(count.checked_mul(TICK_MS)?))
}

/// All of the first line but idle and waiting for I/O; guests are counted in user already.
fn parse_busy(text: &str) -> Option<Duration> {
    let line = text.lines().next()?;
    let fields: Vec<Duration> = line.split_whitespace().skip(1).map_while(ticks).collect();
    let [user, nice, system, _, _, irq, softirq, steal, ..] = fields[..] else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

/// User and system time; the name before them, in parentheses, can hold anything.
fn parse_own(text: &str) -> Option<Duration> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some(ticks(fields.next()?)? + ticks(fields.next()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::TryRecvError;

    #[test]
    fn the_kernels_lines_are_understood() {
        assert_eq!(
            parse_schedstat("547116567 49305196 84\n"),
            Some(Duration::from_nanos(547_116_567))
        );
        assert_eq!(parse_schedstat(""), None);
        let stat = "cpu  10 1 5 900 30 2 3 4 0 0\ncpu0 5 0 2 450 15 1 1 2 0 0\n";
        assert_eq!(parse_busy(stat), Some(Duration::from_millis(250)));
        let own = "7 (a) b) R 1 7 7 0 -1 4194304 2845 6507 1 0 54 6 5 0 20 0 1 0 45731";
        assert_eq!(parse_own(own), Some(Duration::from_millis(600)));
    }

    #[test]
    fn a_busy_thread_is_seen() {
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let busy = std::thread::Builder::new().name("busy-one".to_owned());
        let thread = busy
            .spawn(move || while is_done.try_recv() == Err(TryRecvError::Empty) {})
            .unwrap();
        while of_threads("busy-").unwrap() < Duration::from_millis(20) {}
        assert_eq!(of_threads("idle-").unwrap(), Duration::ZERO);
        drop(done);
        thread.join().unwrap();
    }
}
