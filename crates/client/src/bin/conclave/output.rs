//! The one place that writes results to standard output, and notes and errors to standard error.

use crate::error::CliError;
use clap::ValueEnum;
use serde_json::{Value, json};
use std::io::{self, IsTerminal as _, Write as _};

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Where results go.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints a result, in the form that was asked for.
    pub(crate) fn print(
        self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), CliError> {
        let shown = match self.format {
            Format::Text => printable(text().trim_end()),
            Format::Json => json().to_string(),
        };
        bytes(format!("{shown}\n").as_bytes())
    }

    /// Says something beside the result. Programs need no notes.
    pub(crate) fn note(self, text: &str) {
        if !self.is_json() {
            say(&printable(text));
        }
    }

    /// Says why the command failed.
    pub(crate) fn error(self, error: &CliError) {
        say(&self.describe(error));
    }

    fn describe(self, error: &CliError) -> String {
        match self.format {
            Format::Text => printable(&format!("error: {error}\nwhat to do: {}", error.remedy())),
            Format::Json => describe_json(error).to_string(),
        }
    }
}

fn describe_json(error: &CliError) -> Value {
    let mut shown = json!({
        "message": error.to_string(),
        "reason": error.reason(),
        "remedy": error.remedy(),
    });
    if let CliError::Client(error) = error
        && let Some(call) = error.call()
    {
        shown["code"] = json!(format!("{:?}", call.code));
        shown["endpoint"] = json!(call.endpoint);
        shown["attempts"] = json!(call.attempts);
    }
    json!({ "error": shown })
}

/// Writes bytes to standard output as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(CliError::stdout)
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Nothing can be done about a standard error that does not take it.
fn say(text: &str) {
    let mut out = io::stderr().lock();
    drop(writeln!(out, "{text}"));
}

/// Without control characters: what a node says cannot steer the terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let text = Output::new(Format::Text).describe(&CliError::Terminal);
        assert_eq!(
            text,
            "error: the result is binary and standard output is a terminal\n\
             what to do: add --out FILE, or send it into a pipe; encrypt writes text with --base64"
        );
        let json = Output::new(Format::Json).describe(&CliError::Terminal);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["error"]["reason"], "TERMINAL");
    }

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(
            printable("a\u{1b}[2J\u{9b}b\nc"),
            "a\u{fffd}[2J\u{fffd}b\nc"
        );
    }
}
