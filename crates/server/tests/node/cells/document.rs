//! The table as a document: `docs/cells.md`, from what the node did.

use super::Seen;
use super::spec::{Call, InHsm, Outcome, algorithms, row_of};
use super::subjects::{KEY_STATES, VERSION_STATES};
use conclave_core::{KeyState, Purpose};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

const HEAD: &str = "\
# Every cell

What becomes of each operation on each key in each state, as a node did it: a test (`crates/server/tests/node/cells.rs`)
tries all of operation, algorithm, protection, state of the key, state of the version and role, holds the outcome against
[lifecycle.md](lifecycle.md) and [algorithms.md](algorithms.md), and writes this page. `CONCLAVE_REWRITE_GOLDEN=1` has it
written anew.

A cell is `yes`, or the reason of the refusal. Two outcomes, `A / B`, are that of a caller who holds the role user, and that
of one who holds use-compromised as well. Who holds neither is refused in every cell: PERMISSION_DENIED, reason
`PERMISSION_DENIED`. The same holds for each algorithm of the purpose, at each protection that it is offered at, and for a
version that is not the primary one and is named, or made what is given.

A key for another purpose refuses an operation in every state: FAILED_PRECONDITION, reason `KEY_PURPOSE`. A version is
never PRE_ACTIVE, only a key is; no data key can be registered under it (`–`). The versions of a destroyed key are DESTROYED.
";

/// Where the document is.
pub(super) fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "docs", "cells.md"]
        .iter()
        .collect()
}

/// The document.
pub(super) fn render(
    created: &BTreeMap<(String, &'static str), Outcome>,
    seen: &BTreeMap<Purpose, Seen>,
    outcomes: &BTreeSet<Outcome>,
) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## Algorithms\n\nWhether a key can be created.\n\n");
    text.push_str("| purpose | algorithm | SOFTWARE | HSM |\n|---|---|---|---|\n");
    for algorithm in algorithms() {
        let (purpose, in_hsm) = row_of(algorithm);
        let name = algorithm.as_str();
        let at = |protection| created[&(name.to_owned(), protection)].to_string();
        let in_hsm = match in_hsm {
            InHsm::Yes | InHsm::Never => at("HSM"),
            InHsm::IfItHas(_) => "if the HSM has it; else `HSM_NOT_OFFERED`".to_owned(),
        };
        writeln!(
            text,
            "| {purpose} | {name} | {} | {in_hsm} |",
            at("SOFTWARE")
        )
        .unwrap();
    }
    for (purpose, seen) in seen {
        write!(text, "\n## {purpose}\n\n{}", table(*purpose, seen)).unwrap();
    }
    text.push_str("\n## Reasons\n\n| reason | code |\n|---|---|\n");
    let reasons: BTreeSet<_> = outcomes
        .iter()
        .chain(created.values())
        .filter_map(row)
        .collect();
    text.extend(reasons);
    text
}

fn row(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Done => None,
        Outcome::Refused(code, reason) => Some(format!("| `{reason}` | {} |\n", screaming(code))),
    }
}

/// `FailedPrecondition` as gRPC spells it.
fn screaming(code: &str) -> String {
    let mut out = String::new();
    for letter in code.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

/// The versions' states of a row, and its cells.
type Row = (Vec<KeyState>, Vec<String>);

/// Rows of one key's state that are equal are one row, and so are rows of several keys' states.
fn table(purpose: Purpose, seen: &Seen) -> String {
    let calls: Vec<_> = Call::all()
        .into_iter()
        .filter(|call| call.purpose() == purpose)
        .collect();
    let mut rows: Vec<(Vec<KeyState>, String, Vec<String>)> = Vec::new();
    for key in KEY_STATES {
        for (versions, cells) in rows_of(key, &calls, seen) {
            let reachable = VERSION_STATES
                .into_iter()
                .filter(|version| is_reachable(key, *version));
            let versions = if versions.len() == reachable.count() {
                "any".to_owned()
            } else {
                list(&versions)
            };
            let equal = rows
                .iter_mut()
                .find(|(_, its, those)| *its == versions && *those == cells);
            match equal {
                Some((keys, ..)) => keys.push(key),
                None => rows.push((vec![key], versions, cells)),
            }
        }
    }
    let titles: Vec<_> = calls.iter().map(|call| call.title()).collect();
    let mut text = format!("| key | version | {} |\n", titles.join(" | "));
    writeln!(text, "|---|---|{}", "---|".repeat(titles.len())).unwrap();
    for (keys, versions, cells) in rows {
        writeln!(
            text,
            "| {} | {versions} | {} |",
            list(&keys),
            cells.join(" | ")
        )
        .unwrap();
    }
    text
}

fn rows_of(key: KeyState, calls: &[Call], seen: &Seen) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    // In the order of the key's states.
    for version in KEY_STATES {
        if !is_reachable(key, version) {
            continue;
        }
        let row: Vec<_> = calls
            .iter()
            .map(|call| match seen.get(&(key, version, *call)) {
                None => "–".to_owned(),
                Some([one, other]) if one == other => one.to_string(),
                Some([one, other]) => format!("{one} / {other}"),
            })
            .collect();
        match rows.iter_mut().find(|(_, those)| *those == row) {
            Some((versions, _)) => versions.push(version),
            None => rows.push((vec![version], row)),
        }
    }
    rows
}

fn is_reachable(key: KeyState, version: KeyState) -> bool {
    VERSION_STATES.contains(&version)
        && (key != KeyState::Destroyed || version == KeyState::Destroyed)
}

fn list(states: &[KeyState]) -> String {
    let names: Vec<_> = states.iter().map(|state| state.as_str()).collect();
    names.join(", ")
}
