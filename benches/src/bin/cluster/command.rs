//! What the program can be told.

use anyhow::{Error, Result, bail};
use conclave_chaos::real::NODES;
use std::str::FromStr;

/// One line of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    State,
    Kill(Vec<u64>),
    Terminate(Vec<u64>),
    Start(Vec<u64>),
    Unseal(Vec<u64>),
    Failover,
    Handover,
    ColdStart,
}

impl FromStr for Command {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["state"] => Self::State,
            ["kill", which] => Self::Kill(nodes(which)?),
            ["term", which] => Self::Terminate(nodes(which)?),
            ["start", which] => Self::Start(nodes(which)?),
            ["unseal", which] => Self::Unseal(nodes(which)?),
            ["failover"] => Self::Failover,
            ["handover"] => Self::Handover,
            ["cold-start"] => Self::ColdStart,
            _ => bail!("no such command: {line:?}; see cluster --help"),
        })
    }
}

fn nodes(which: &str) -> Result<Vec<u64>> {
    if which == "all" {
        return Ok(NODES.collect());
    }
    match which.parse() {
        Ok(id) if NODES.contains(&id) => Ok(vec![id]),
        _ => bail!("a node is 1, 2, 3 or all, not {which:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_refused() {
        assert_eq!("kill 2".parse::<Command>().unwrap(), Command::Kill(vec![2]));
        assert_eq!(
            " unseal  all".parse::<Command>().unwrap(),
            Command::Unseal(vec![1, 2, 3])
        );
        for bad in ["", "kill", "kill 4", "kill 0", "stop all", "state 1"] {
            assert!(bad.parse::<Command>().is_err(), "{bad:?}");
        }
    }
}
