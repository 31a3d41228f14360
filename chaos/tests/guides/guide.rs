//! What a guide shows: commands, and what they print.

use anyhow::{Context as _, Result};
use std::fs;
use std::iter::Peekable;

const DIR: &str = "../docs/guides";
/// Before each line of a block of code.
const INDENT: &str = "    ";
/// Before each command; blocks without one are not run.
const PROMPT: &str = "$ ";

/// A command, and what the guide says that it prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Where it stands, from 1.
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) expected: Vec<String>,
}

impl Step {
    /// Whether the command is to fail: what it prints says so.
    pub(crate) fn is_refused(&self) -> bool {
        self.expected.iter().any(|line| line.starts_with("error: "))
    }
}

/// A page of `docs/guides`.
pub(crate) struct Guide {
    /// Its name there.
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) steps: Vec<Step>,
}

impl Guide {
    /// All of them, in the order of their names.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(DIR).context(DIR)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.strip_suffix(".md").is_some() {
                files.push(name);
            }
        }
        files.sort();
        let read = |file: String| {
            let text = fs::read_to_string(format!("{DIR}/{file}")).context(file.clone())?;
            let steps = steps(&text);
            Ok(Self { file, text, steps })
        };
        files.into_iter().map(read).collect()
    }
}

/// The commands of a page. What a command prints ends with the block, or with the next command.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut in_block = false;
    while let Some((number, line)) = lines.next() {
        match line.strip_prefix(INDENT) {
            Some(code) => match code.strip_prefix(PROMPT) {
                Some(command) => {
                    in_block = true;
                    steps.push(Step {
                        line: number + 1,
                        command: whole(command, &mut lines),
                        expected: Vec::new(),
                    });
                }
                None if in_block => printed(&mut steps, code),
                None => {}
            },
            // A block goes on behind an empty line.
            None if line.trim().is_empty() && in_block => printed(&mut steps, ""),
            None => in_block = false,
        }
    }
    for step in &mut steps {
        while step.expected.last().is_some_and(String::is_empty) {
            step.expected.pop();
        }
    }
    steps
}

fn printed(steps: &mut [Step], line: &str) {
    if let Some(step) = steps.last_mut() {
        step.expected.push(line.to_owned());
    }
}

/// A command with the lines that continue it.
fn whole<'a>(first: &str, lines: &mut Peekable<impl Iterator<Item = (usize, &'a str)>>) -> String {
    let mut command = first.to_owned();
    while command.ends_with('\\')
        && let Some((_, more)) = lines.next()
    {
        command.push('\n');
        command.push_str(more.strip_prefix(INDENT).unwrap_or(more));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_what_they_print() {
        let text = "\
Say

    $ echo a \\
        b
    a b

    c

    $ false

then

    not run
    $ true
    error: no
end
";
        let step = |line, command: &str, expected: &[&str]| Step {
            line,
            command: command.to_owned(),
            expected: expected.iter().map(|&it| it.to_owned()).collect(),
        };
        let expected = [
            step(3, "echo a \\\n    b", &["a b", "", "c"]),
            step(9, "false", &[]),
            step(14, "true", &["error: no"]),
        ];
        assert_eq!(steps(text), expected);
        assert!(expected[2].is_refused() && !expected[1].is_refused());
    }
}
