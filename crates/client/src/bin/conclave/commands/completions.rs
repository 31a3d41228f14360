//! `conclave completions`.

use crate::cli::Cli;
use crate::error::CliError;
use crate::output;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

pub(crate) const HELP: &str = "\
Examples:
  conclave completions bash > ~/.local/share/bash-completion/completions/conclave
  conclave completions zsh > ~/.zfunc/_conclave
  conclave completions fish > ~/.config/fish/completions/conclave.fish";

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "conclave", &mut script);
    output::bytes(&script)
}
