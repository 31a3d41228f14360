//! `docs/reference/cli.md`: what `conclave help` says of each command. `CONCLAVE_REWRITE_GOLDEN=1` has it written anew.

use crate::cli::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use std::fmt::Write as _;
use std::path::Path;

const PAGE: &str = "../../docs/reference/cli.md";

const HEAD: &str = "\
# The command line

What `conclave help COMMAND` says, made from the program by a test. How to do what is in [the guides](../guides/README.md).
";

fn page(mut cli: Command) -> String {
    cli.build();
    let mut text = format!("{HEAD}\n## conclave\n\n");
    let globals = arguments(cli.get_arguments().filter(|it| it.is_global_set()));
    let _ = write!(text, "Options of every command:\n\n{globals}");
    after(&cli, &mut text);
    let mut contents = String::new();
    let mut commands = String::new();
    for command in cli.get_subcommands().filter(|it| it.get_name() != "help") {
        describe(command, "conclave", &mut contents, &mut commands);
    }
    let _ = write!(text, "\n| command | |\n|---|---|\n{contents}{commands}");
    text
}

/// Leaves have a chapter each, groups have not.
fn describe(command: &Command, path: &str, contents: &mut String, text: &mut String) {
    let path = format!("{path} {}", command.get_name());
    if command.has_subcommands() {
        let inner = command.get_subcommands();
        inner
            .filter(|it| it.get_name() != "help")
            .for_each(|it| describe(it, &path, contents, text));
        return;
    }
    let about = command.get_about().map(ToString::to_string);
    let about = escaped(&about.unwrap_or_default());
    let anchor = path.replace(' ', "-");
    let _ = writeln!(contents, "| [{path}](#{anchor}) | {about} |");
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = write!(text, "\n## {path}\n\n{about}.\n\n    {usage}\n");
    let own = arguments(command.get_arguments().filter(|it| !it.is_global_set()));
    if !own.is_empty() {
        let _ = write!(text, "\n{own}");
    }
    after(command, text);
}

fn arguments<'a>(all: impl Iterator<Item = &'a Arg>) -> String {
    let rows: Vec<String> = all
        .filter(|it| !matches!(it.get_action(), ArgAction::Help | ArgAction::Version))
        .map(row)
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("| argument | |\n|---|---|\n{}", rows.concat())
}

fn row(argument: &Arg) -> String {
    let mut help = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let values = argument.get_possible_values();
    let values: Vec<&str> = values
        .iter()
        .map(clap::builder::PossibleValue::get_name)
        .collect();
    if !values.is_empty() && argument.get_action().takes_values() {
        let _ = write!(help, ": {}", values.join(", "));
    }
    let defaults = argument.get_default_values();
    let defaults: Vec<_> = defaults.iter().map(|it| it.to_string_lossy()).collect();
    if argument.get_action().takes_values() && defaults.iter().any(|it| !it.is_empty()) {
        let _ = write!(help, " [default: {}]", defaults.join(" "));
    }
    format!("| `{argument}` | {} |\n", escaped(&help))
}

/// Examples and what else stands at the end.
fn after(command: &Command, text: &mut String) {
    let Some(help) = command.get_after_help() else {
        return;
    };
    text.push('\n');
    for line in help.to_string().lines() {
        if line.is_empty() {
            text.push('\n');
        } else {
            let _ = writeln!(text, "    {line}");
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('*', "\\*")
        .replace('<', "\\<")
}

#[test]
fn the_reference_of_commands_is_that_of_the_program() {
    let page = page(Cli::command());
    let path = Path::new(PAGE);
    if std::env::var("CONCLAVE_REWRITE_GOLDEN").is_ok_and(|it| it == "1") {
        std::fs::write(path, &page).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        page,
        "docs/reference/cli.md is not what the program says: look at the difference, and run with CONCLAVE_REWRITE_GOLDEN=1"
    );
}
