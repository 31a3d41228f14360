//! What came of a run, for people and for programs.

use super::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What came of the trials of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Which kind.
    pub kind: Kind,
    /// Draws repeat from it.
    pub seed: u64,
    /// Trials that were done.
    pub trials: u64,
    /// Why none could be done here.
    pub skipped: Option<String>,
    /// What was counted, by its name.
    pub counts: BTreeMap<String, u64>,
    /// What must not happen, and did.
    pub violations: Vec<String>,
    /// How long it took.
    pub took_ms: u64,
}

impl Report {
    /// Of no trial yet.
    pub fn new(kind: Kind, seed: u64) -> Self {
        Self {
            kind,
            seed,
            trials: 0,
            skipped: None,
            counts: BTreeMap::new(),
            violations: Vec::new(),
            took_ms: 0,
        }
    }

    /// Of a kind that cannot be done here.
    pub fn skipped(kind: Kind, seed: u64, why: impl fmt::Display) -> Self {
        let skipped = Some(why.to_string());
        Self {
            skipped,
            ..Self::new(kind, seed)
        }
    }

    /// Counts one more.
    pub fn count(&mut self, name: impl Into<String>) {
        self.count_many(name, 1);
    }

    /// Counts some more.
    pub fn count_many(&mut self, name: impl Into<String>, many: u64) {
        *self.counts.entry(name.into()).or_default() += many;
    }

    /// Notes what is wrong after a trial, and says so at once.
    pub fn blame(&mut self, trial: u64, broken: impl IntoIterator<Item = String>) {
        for text in broken {
            let text = format!("{} trial {trial} of seed {}: {text}", self.kind, self.seed);
            eprintln!("VIOLATION: {text}");
            self.violations.push(text);
        }
    }

    /// Whether everything held.
    pub fn is_well(&self) -> bool {
        self.violations.is_empty()
    }

    /// Notes how long it took.
    pub fn took(&mut self, time: Duration) {
        self.took_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.skipped {
            return write!(f, "{}: SKIPPED: {why}", self.kind);
        }
        write!(
            f,
            "{}: {} trials in {} s, seed {}: {} violations",
            self.kind,
            self.trials,
            self.took_ms / 1_000,
            self.seed,
            self.violations.len()
        )?;
        for (name, count) in &self.counts {
            write!(f, "\n  {count:>8}  {name}")?;
        }
        Ok(())
    }
}
