//! A report for people.

use super::report::Report;
use std::io::{self, Write};

/// Writes it, one figure a line.
///
/// # Errors
/// If the output does not take it.
pub fn write_table(report: &Report, to: &mut impl Write) -> io::Result<()> {
    let mut line = |name: &str, value: String| writeln!(to, "{name:<26}{value}");
    line("operation", what(report))?;
    line("load", how(report))?;
    line(
        "requests",
        format!("{} in {:.2} s", report.requests, report.seconds),
    )?;
    line(
        "requests a second",
        format!("{:.0}", report.requests_per_second),
    )?;
    if report.batch > 1 {
        line("items a second", format!("{:.0}", report.items_per_second))?;
    }
    if let Some(it) = report.latency_ms {
        let text = format!(
            "p50 {:.3}   p90 {:.3}   p99 {:.3}   p99.9 {:.3}   max {:.3}   mean {:.3}",
            it.p50, it.p90, it.p99, it.p999, it.max, it.mean
        );
        line("latency, ms", text)?;
    }
    if report.not_sent > 0 {
        line("due and not sent", report.not_sent.to_string())?;
    }
    line("failed", report.failed.to_string())?;
    for (reason, error) in &report.errors {
        line(
            &format!("  {reason}"),
            format!("{} times, first: {}", error.count, error.first),
        )?;
    }
    write_cost(report, to)
}

/// What the requests cost.
fn write_cost(report: &Report, to: &mut impl Write) -> io::Result<()> {
    let mut line = |name: &str, value: String| writeln!(to, "{name:<26}{value}");
    let optional = |value: Option<f64>, digits: usize, why: &str| {
        value.map_or_else(|| why.to_owned(), |value| format!("{value:.digits$}"))
    };
    let no_pid = "not measured: give --pid for each node";
    line(
        "node CPU µs a request",
        optional(report.node_cpu_us_per_request, 1, no_pid),
    )?;
    line(
        "client CPU µs a request",
        optional(report.client_cpu_us_per_request, 1, "-"),
    )?;
    line(
        "disk bytes a request",
        optional(report.disk_bytes_per_request, 0, "not measured"),
    )?;
    for (pid, node) in &report.processes {
        let text = format!(
            "CPU {:.2} s, RSS {:.1} MiB at first, {:.1} MiB at most",
            node.cpu_seconds, node.rss_begin_mib, node.rss_peak_mib
        );
        line(&format!("  process {pid}"), text)?;
    }
    if let Some(raft) = report.raft {
        let each = optional(raft.records_per_entry, 1, "-");
        let text = format!(
            "{each} ({} records, {} entries)",
            raft.audit_records, raft.entries
        );
        line("audit records an entry", text)?;
    }
    line(
        "syncs a second",
        optional(report.syncs_per_second, 0, "not known"),
    )?;
    let noise = match (report.others_cpu_percent, report.noisy) {
        (Some(others), Some(noisy)) => {
            format!("{others:.1} %{}", if noisy { "   NOISY" } else { "" })
        }
        _ => no_pid.to_owned(),
    };
    line("CPU used by others", noise)
}

fn what(report: &Report) -> String {
    let name = serde_json::to_string(&report.operation).unwrap_or_default();
    let batch = if report.batch > 1 {
        format!("{} x ", report.batch)
    } else {
        String::new()
    };
    let protection = serde_json::to_string(&report.protection).unwrap_or_default();
    let text = format!(
        "{name}, {batch}{} bytes, key {}, protection {protection}",
        report.payload_bytes, report.key
    );
    text.replace('"', "")
}

fn how(report: &Report) -> String {
    let pace = match report.rate {
        Some(rate) => format!("open loop at {rate}/s"),
        None => "closed loop".to_owned(),
    };
    format!(
        "{pace}, {} callers, {} connections, {} to {}",
        report.callers,
        report.connections,
        report.transport,
        report.nodes.join(", ")
    )
}
