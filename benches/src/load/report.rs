//! What came of a run.

use super::machine::{NodeUsage, Usage};
use super::nodes::Counted;
use super::plan::{Operation, Plan, Protection};
use super::real;
use super::tally::Tally;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long requests took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half of them took less.
    pub p50: f64,
    /// 90 % of them took less.
    pub p90: f64,
    /// 99 % of them took less.
    pub p99: f64,
    /// 99.9 % of them took less.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

impl Latency {
    /// None if nothing was answered.
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let ms = |ns: u64| real(ns) / 1e6;
        (!histogram.is_empty()).then(|| Self {
            p50: ms(histogram.value_at_quantile(0.5)),
            p90: ms(histogram.value_at_quantile(0.9)),
            p99: ms(histogram.value_at_quantile(0.99)),
            p999: ms(histogram.value_at_quantile(0.999)),
            max: ms(histogram.max()),
            mean: histogram.mean() / 1e6,
        })
    }
}

/// Failures of one reason.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorReport {
    /// How many.
    pub count: u64,
    /// The text of the first.
    pub first: String,
}

/// What the cluster committed meanwhile, warm-up excluded.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Raft {
    /// Log entries.
    pub entries: u64,
    /// Audit records.
    pub audit_records: u64,
    /// Audit records of one entry, on average.
    pub records_per_entry: Option<f64>,
}

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What each request asked for.
    pub operation: Operation,
    /// The key.
    pub key: String,
    /// Its protection.
    pub protection: Protection,
    /// How requests travelled.
    pub transport: &'static str,
    /// The nodes that got the load; the endpoints if none was named.
    pub nodes: Vec<String>,
    /// Bytes of each plaintext.
    pub payload_bytes: u32,
    /// Messages of each request.
    pub batch: u32,
    /// Requests under way at once.
    pub callers: u32,
    /// Connections.
    pub connections: u32,
    /// Requests that fell due each second; none in a closed loop.
    pub rate: Option<f64>,
    /// How long was measured.
    pub seconds: f64,
    /// Good answers.
    pub requests: u64,
    /// Messages, keys or draws in them.
    pub items: u64,
    /// Good answers a second.
    pub requests_per_second: f64,
    /// Messages, keys or draws a second.
    pub items_per_second: f64,
    /// How long requests took.
    pub latency_ms: Option<Latency>,
    /// Failures.
    pub failed: u64,
    /// Failures by reason.
    pub errors: BTreeMap<String, ErrorReport>,
    /// Requests of an open loop that were still waiting for a caller at the end; their latencies are missing above.
    pub not_sent: u64,
    /// CPU time of all nodes for each good answer; none without process ids.
    pub node_cpu_us_per_request: Option<f64>,
    /// CPU time of this program for each good answer.
    pub client_cpu_us_per_request: Option<f64>,
    /// Bytes that all nodes wrote to disks for each good answer.
    pub disk_bytes_per_request: Option<f64>,
    /// Each node, by process id.
    pub processes: BTreeMap<u32, NodeUsage>,
    /// What the cluster committed; none if no node could be asked.
    pub raft: Option<Raft>,
    /// Syncs of disks for the log, all nodes together; none if no node answered.
    pub syncs_per_second: Option<f64>,
    /// Share of the machine's CPU time that was used.
    pub machine_busy_percent: f64,
    /// Share that neither nodes nor this program used; none without process ids.
    pub others_cpu_percent: Option<f64>,
    /// Whether others used so much that the figures should not be trusted; none without process ids.
    pub noisy: Option<bool>,
}

/// What a report is made of.
pub(super) struct Measured {
    pub(super) transport: &'static str,
    pub(super) length: Duration,
    pub(super) tally: Tally,
    pub(super) usage: Usage,
    pub(super) counted: Option<Counted>,
    pub(super) not_sent: u64,
}

impl Report {
    pub(super) fn new(plan: &Plan, measured: Measured) -> Self {
        let Measured {
            transport,
            length,
            tally,
            usage,
            counted,
            not_sent,
        } = measured;
        let seconds = length.as_secs_f64();
        let watched = !usage.nodes.is_empty();
        let each = |sum: f64| (tally.requests > 0).then(|| sum / real(tally.requests));
        let cpu_seconds: f64 = usage.nodes.values().map(|node| node.cpu_seconds).sum();
        let disk_bytes: Option<u64> = usage.nodes.values().map(|node| node.disk_bytes).sum();
        let others = watched.then_some(usage.others_percent);
        let per_second = |count: u64| real(count) / seconds.max(f64::MIN_POSITIVE);
        let named = if plan.access.nodes.is_empty() {
            &plan.access.endpoints
        } else {
            &plan.access.nodes
        };
        let error = |(reason, (count, first)): (&String, &(u64, String))| {
            (
                reason.clone(),
                ErrorReport {
                    count: *count,
                    first: first.clone(),
                },
            )
        };
        Self {
            operation: plan.operation,
            key: plan.key.clone(),
            protection: plan.protection,
            transport,
            nodes: named.clone(),
            payload_bytes: plan.payload_bytes,
            batch: plan.items(),
            callers: plan.callers,
            connections: plan.access.connections,
            rate: plan.rate,
            seconds,
            requests: tally.requests,
            items: tally.items,
            requests_per_second: per_second(tally.requests),
            items_per_second: per_second(tally.items),
            latency_ms: Latency::of(&tally.latency),
            failed: tally.failed(),
            errors: tally.errors.iter().map(error).collect(),
            not_sent,
            node_cpu_us_per_request: each(1e6 * cpu_seconds).filter(|_| watched),
            client_cpu_us_per_request: each(1e6 * usage.client_cpu_seconds),
            disk_bytes_per_request: disk_bytes
                .filter(|_| watched)
                .and_then(|sum| each(real(sum))),
            processes: usage.nodes,
            raft: counted.map(Raft::of),
            syncs_per_second: counted.map(|counted| counted.syncs_per_second),
            machine_busy_percent: usage.busy_percent,
            others_cpu_percent: others,
            noisy: others.map(|percent| percent > plan.quiet_percent),
        }
    }
}

impl Raft {
    fn of(counted: Counted) -> Self {
        let Counted {
            entries, records, ..
        } = counted;
        Self {
            entries,
            audit_records: records,
            records_per_entry: (entries > 0).then(|| real(records) / real(entries)),
        }
    }
}
