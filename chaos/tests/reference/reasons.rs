//! The reasons of refusals, with their codes, texts and remedies.

use crate::samples;
use anyhow::{Result, ensure};
use conclave_client::remedy;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tonic::Code;

const HEAD: &str = "\
# Reasons

A refused call has a gRPC code, a text that says what was wrong, and in `google.rpc.ErrorInfo` (domain `conclave.v1`) a reason for
programs: it stays the same when the text changes. The records of the audit log say the same reasons. `conclave` prints the text
and what to do about it; with `--output json`, the reason too. The names and numbers in the texts are examples.

| reason | code | says | what to do |
|---|---|---|---|
";

/// What is known of a reason.
struct Row {
    code: Code,
    texts: Vec<String>,
}

/// All reasons.
pub(crate) struct Reasons(BTreeMap<&'static str, Row>);

impl Reasons {
    /// As the server has them.
    pub(crate) fn read() -> Result<Self> {
        let mut rows: BTreeMap<&'static str, Row> = BTreeMap::new();
        for error in samples::all() {
            let (reason, code) = (error.reason(), error.code());
            let row = rows.entry(reason).or_insert(Row {
                code,
                texts: Vec::new(),
            });
            ensure!(row.code == code, "{reason} is {code:?} and {:?}", row.code);
            let text = error.to_string();
            if !row.texts.contains(&text) {
                row.texts.push(text);
            }
        }
        Ok(Self(rows))
    }

    /// In their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    pub(crate) fn has(&self, reason: &str) -> bool {
        self.0.contains_key(reason)
    }

    /// Whether a reason has the name of a gRPC code.
    pub(crate) fn is_code(reason: &str) -> bool {
        (0..=16).any(|code| code_name(Code::from(code)) == reason)
    }

    /// Those of which it is said what to do by their code only.
    pub(crate) fn with_general_remedy(&self) -> Vec<&'static str> {
        let rows = self.0.iter();
        let general = rows.filter(|(reason, row)| remedy(reason, row.code) == remedy("", row.code));
        general.map(|(reason, _)| *reason).collect()
    }

    /// The page.
    pub(crate) fn page(&self) -> String {
        let mut page = HEAD.to_owned();
        for (reason, row) in &self.0 {
            let anchor = reason.to_lowercase();
            let (texts, to_do) = (row.texts.join("<br>"), remedy(reason, row.code));
            let _ = writeln!(
                page,
                "| <a id=\"{anchor}\"></a>`{reason}` | {} | {} | {} |",
                code_name(row.code),
                cell(&texts),
                cell(to_do)
            );
        }
        page
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*")
}

/// `INVALID_ARGUMENT`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}
