//! Real nodes in a simulated, hostile world: docs/simulation.md. More seeds by hand:
//! `cargo run -p conclave-chaos --release --bin simulate -- --seeds 200`.

use anyhow::{Result, ensure};
use conclave_chaos::real::binary;
use std::process::Command;

/// The same seeds each time: a failure is the change's, and not the draw's.
fn simulate(arguments: &[&str]) -> Result<()> {
    let output = Command::new(binary("simulate")?).args(arguments).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    eprintln!("{}\n{}", text(&output.stderr), text(&output.stdout));
    ensure!(
        output.status.success(),
        "simulate {arguments:?}: {}",
        output.status
    );
    Ok(())
}

#[test]
fn all_promises_hold_in_sixty_seeds_that_reach_everything() -> Result<()> {
    simulate(&["--seeds", "60", "--from", "1", "--minutes", "3"])
}

#[test]
fn twenty_seeds_replay_to_the_byte() -> Result<()> {
    simulate(&[
        "--seeds",
        "20",
        "--from",
        "1000",
        "--minutes",
        "1",
        "--twice",
    ])
}

#[test]
fn seeds_that_once_found_something_hold() -> Result<()> {
    // Relative to the package, where tests run: what was built in one clone may be run in another.
    let known = "seeds.txt";
    simulate(&["--known", known])
}
