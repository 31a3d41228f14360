//! A few trials of each kind that every machine can do, by the program that does thousands: see docs/havoc.md.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::env;
use std::process::Command;

/// How many trials there are of each kind, instead of the few.
const ROUNDS: &str = "CONCLAVE_ROUNDS";

#[test]
fn nothing_acknowledged_is_lost_when_nodes_are_killed() -> Result<()> {
    let counts = havoc("kill", 6)?;
    ensure!(counts["processes killed"].as_u64() >= Some(6), "{counts}");
    Ok(())
}

#[test]
fn a_damaged_node_says_so_or_has_all_that_it_had() -> Result<()> {
    havoc("damage", 8).map(drop)
}

#[test]
fn a_node_that_stood_still_is_bound_by_what_happened_meanwhile() -> Result<()> {
    havoc("freeze", 2).map(drop)
}

#[test]
fn nothing_hangs_on_a_clock() -> Result<()> {
    havoc("clock", 3).map(drop)
}

#[test]
fn nodes_that_do_not_reach_each_other_promise_nothing_that_does_not_hold() -> Result<()> {
    havoc("partition", 3).map(drop)
}

#[test]
fn a_wrong_call_is_told_from_a_violation() -> Result<()> {
    let ran = Command::new(env!("CARGO_BIN_EXE_havoc"))
        .args(["kill", "--trials", "0"])
        .output()?;
    ensure!(ran.status.code() == Some(2), "{ran:?}");
    Ok(())
}

/// What was counted in trials that found nothing; null if this machine cannot do them.
fn havoc(kind: &str, trials: u64) -> Result<Value> {
    let trials = env::var(ROUNDS).map_or(Ok(trials), |text| text.parse())?;
    let ran = Command::new(env!("CARGO_BIN_EXE_havoc"))
        .args([kind, "--trials", &trials.to_string(), "--json"])
        .output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(
        ran.status.code() == Some(0),
        "havoc {kind} ended with {}:\n{said}",
        ran.status
    );
    let mut reports: Value = serde_json::from_slice(&ran.stdout)?;
    let report = reports.get_mut(0).context("a report")?;
    if let Some(why) = report["skipped"].as_str() {
        eprintln!("SKIPPED: {kind}: {why}");
        return Ok(Value::Null);
    }
    ensure!(report["trials"].as_u64() == Some(trials), "{report}");
    Ok(report["counts"].take())
}
