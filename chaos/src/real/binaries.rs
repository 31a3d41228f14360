//! Where the programs under test are.

use anyhow::{Context as _, Result, ensure};
use std::env;
use std::path::PathBuf;

/// The directory of the programs, if it is not where the test itself was built.
const BIN_DIR: &str = "CONCLAVE_BIN_DIR";

/// The path of `conclaved` or `conclave`.
///
/// # Errors
/// If it was not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let dir = if let Some(dir) = env::var_os(BIN_DIR) {
        PathBuf::from(dir)
    } else {
        let this = env::current_exe().context("the path of this program")?;
        let here = this.parent().context("a program is in a directory")?;
        // A test is in target/release/deps, a program beside the others.
        let built = if here.ends_with("deps") {
            here.parent()
        } else {
            Some(here)
        };
        built
            .context("the test is not in a target directory")?
            .to_owned()
    };
    let path = dir.join(name);
    ensure!(
        path.is_file(),
        "{} is missing: run `cargo build --release --workspace --bins`, or set {BIN_DIR}",
        path.display()
    );
    Ok(path)
}
