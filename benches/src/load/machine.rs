//! What the kernel says of processes and of the machine: CPU time, memory, disk writes. Read from `/proc` only.

use super::real;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

/// The unit of CPU times in `/proc`: `USER_HZ`, which is part of the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of the whole machine since it was started, in ticks of all its cores together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// With time that the host took away.
    pub busy: u64,
    /// Busy, idle and waiting.
    pub total: u64,
}

impl Machine {
    /// As of now.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("read /proc/stat: this needs Linux")?;
        Self::parse(&text).context("/proc/stat does not begin with a line of CPU times")
    }

    fn parse(text: &str) -> Option<Self> {
        let numbers = text
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace();
        let ticks: Vec<u64> = numbers.take(8).map_while(|one| one.parse().ok()).collect();
        let [_, _, _, idle, waiting, ..] = ticks.as_slice() else {
            return None;
        };
        let total: u64 = ticks.iter().sum();
        Some(Self {
            busy: total - idle - waiting,
            total,
        })
    }
}

/// User and system time of a process with all its threads, in ticks; none if it is gone.
fn process_ticks(pid: &str) -> Option<u64> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, in parentheses, may hold anything; fields 14 and 15 come behind it.
fn parse_stat(text: &str) -> Option<u64> {
    let (_, behind) = text.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn number_behind(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

fn rss_kib(pid: u32) -> Option<u64> {
    number_behind(
        &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        "VmRSS:",
    )
}

fn disk_bytes(pid: u32) -> Option<u64> {
    number_behind(
        &fs::read_to_string(format!("/proc/{pid}/io")).ok()?,
        "write_bytes:",
    )
}

/// What one node used while it was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeUsage {
    /// CPU time.
    pub cpu_seconds: f64,
    /// Resident memory at the begin.
    pub rss_begin_mib: f64,
    /// The most resident memory, as seen twice a second.
    pub rss_peak_mib: f64,
    /// Bytes that it had written to disks; none if the kernel does not tell us.
    pub disk_bytes: Option<u64>,
}

/// What was used while it was measured.
#[derive(Clone, Debug)]
pub struct Usage {
    /// By process id.
    pub nodes: BTreeMap<u32, NodeUsage>,
    /// CPU time of this process.
    pub client_cpu_seconds: f64,
    /// Share of the machine's CPU time that was used.
    pub busy_percent: f64,
    /// Share that neither the nodes nor this process used.
    pub others_percent: f64,
}

#[derive(Debug)]
struct Watched {
    begin_ticks: u64,
    seen_ticks: u64,
    begin_disk_bytes: Option<u64>,
    begin_kib: u64,
    peak_kib: u64,
}

/// Looks at nodes and machine from one instant to another.
#[derive(Debug)]
pub struct Meter {
    begun: Instant,
    machine: Machine,
    client_ticks: u64,
    nodes: BTreeMap<u32, Watched>,
}

impl Meter {
    /// Begins.
    ///
    /// # Errors
    /// If one of the processes is not there.
    pub fn begin(pids: &[u32]) -> Result<Self> {
        let watch = |pid: &u32| {
            let gone = || format!("there is no process {pid}: correct --pid");
            let begin_ticks = process_ticks(&pid.to_string()).with_context(gone)?;
            let begin_kib = rss_kib(*pid).unwrap_or_default();
            let begin_disk_bytes = disk_bytes(*pid);
            let (seen_ticks, peak_kib) = (begin_ticks, begin_kib);
            Ok((
                *pid,
                Watched {
                    begin_ticks,
                    seen_ticks,
                    begin_disk_bytes,
                    begin_kib,
                    peak_kib,
                },
            ))
        };
        Ok(Self {
            begun: Instant::now(),
            machine: Machine::read()?,
            client_ticks: process_ticks("self").context("read /proc/self/stat")?,
            nodes: pids.iter().map(watch).collect::<Result<_>>()?,
        })
    }

    /// Has a look in between: a peak of memory, and the CPU time of a node that may end before we do.
    pub fn look(&mut self) {
        for (pid, node) in &mut self.nodes {
            let ticks = process_ticks(&pid.to_string()).unwrap_or_default();
            node.seen_ticks = node.seen_ticks.max(ticks);
            node.peak_kib = node.peak_kib.max(rss_kib(*pid).unwrap_or_default());
        }
    }

    /// Ends.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn end(mut self) -> Result<Usage> {
        self.look();
        let machine = Machine::read()?;
        let client = process_ticks("self").context("read /proc/self/stat")? - self.client_ticks;
        let span = machine.total.saturating_sub(self.machine.total).max(1);
        let busy = machine.busy.saturating_sub(self.machine.busy);
        let nodes_ticks: u64 = self
            .nodes
            .values()
            .map(|node| node.seen_ticks - node.begin_ticks)
            .sum();
        let others = busy.saturating_sub(client + nodes_ticks);
        let percent = |ticks: u64| 100.0 * real(ticks) / real(span);
        let mib = |kib: u64| real(kib) / 1024.0;
        let usage = |(pid, node): (&u32, &Watched)| {
            let written = disk_bytes(*pid).zip(node.begin_disk_bytes);
            let usage = NodeUsage {
                cpu_seconds: real(node.seen_ticks - node.begin_ticks) / TICKS_PER_SECOND,
                rss_begin_mib: mib(node.begin_kib),
                rss_peak_mib: mib(node.peak_kib),
                disk_bytes: written.map(|(end, begin)| end.saturating_sub(begin)),
            };
            (*pid, usage)
        };
        Ok(Usage {
            nodes: self.nodes.iter().map(usage).collect(),
            client_cpu_seconds: real(client) / TICKS_PER_SECOND,
            busy_percent: percent(busy),
            others_percent: percent(others),
        })
    }

    /// When it began.
    pub fn begun(&self) -> Instant {
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_look_like_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 1 0 9";
        assert_eq!(parse_stat(stat), Some(175));
        assert_eq!(parse_stat("7 (x"), None);
    }

    #[test]
    fn idle_and_waiting_are_not_busy() {
        let text = "cpu  10 1 5 100 20 0 2 3 0 0\ncpu0 1 1 1 1 1 1 1 1\n";
        assert_eq!(
            Machine::parse(text),
            Some(Machine {
                busy: 21,
                total: 141
            })
        );
        assert_eq!(Machine::parse("intr 5"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let pid = std::process::id();
        let usage = Meter::begin(&[pid]).unwrap().end().unwrap();
        assert!(usage.nodes[&pid].rss_peak_mib > 0.1);
        assert!(Meter::begin(&[u32::MAX]).is_err());
    }
}
