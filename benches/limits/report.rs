//! What was measured, as a table or as JSON lines.

use anyhow::Result;
use serde::Serialize;
use std::io::Write as _;

/// One measure. A figure that has no meaning for it is missing.
#[derive(Serialize)]
pub(crate) struct Line {
    /// What was measured.
    pub(crate) limit: String,
    /// Calls in a second.
    pub(crate) rate_per_s: f64,
    /// The median call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<f64>,
    /// One call in a hundred takes longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<f64>,
    /// CPU time of a call: of the server, or of whoever works if there is no server.
    pub(crate) cpu_us: f64,
    /// CPU time of a call at the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cpu_us: Option<f64>,
    /// CPU time of the machine that went to others meanwhile; above a few per cent the rate is too low.
    pub(crate) others_cpu_percent: f64,
}

/// Writes each line as soon as it is measured.
pub(crate) struct Report {
    is_json: bool,
}

impl Report {
    /// Begins.
    ///
    /// # Errors
    /// If nobody reads what is written.
    pub(crate) fn new(is_json: bool) -> Result<Self> {
        if !is_json {
            writeln!(
                std::io::stdout(),
                "{:<34} {:>12} {:>10} {:>10} {:>9} {:>10} {:>7}",
                "limit",
                "calls/s",
                "p50 us",
                "p99 us",
                "CPU us",
                "client us",
                "others"
            )?;
        }
        Ok(Self { is_json })
    }

    /// One more.
    ///
    /// # Errors
    /// If nobody reads what is written.
    pub(crate) fn add(&mut self, line: &Line) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.is_json {
            writeln!(out, "{}", serde_json::to_string(line)?)?;
        } else {
            let figure = |value: Option<f64>| value.map_or("-".to_owned(), |it| format!("{it:.2}"));
            writeln!(
                out,
                "{:<34} {:>12.0} {:>10} {:>10} {:>9} {:>10} {:>6.0}%",
                line.limit,
                line.rate_per_s,
                figure(line.p50_us),
                figure(line.p99_us),
                figure(Some(line.cpu_us)),
                figure(line.client_cpu_us),
                line.others_cpu_percent,
            )?;
        }
        out.flush()?;
        Ok(())
    }
}
