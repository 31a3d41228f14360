//! A SoftHSM token for one run. The module finds its tokens by an environment variable of the process, so the program
//! runs itself once more with that variable set.

use anyhow::{Context as _, Result, bail};
use conclave_chaos::real::Token;
use conclave_env::os::{Import, Pin, Pkcs11Config, Residency};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use zeroize::Zeroizing;

const LABEL: &str = "benches";
const CONF: &str = "SOFTHSM2_CONF";
const MODULE: &str = "CONCLAVE_BENCHES_MODULE";
const PIN_FILE: &str = "CONCLAVE_BENCHES_PIN_FILE";

/// A token that this process can reach.
pub struct Seat {
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// Of the token.
    pub label: &'static str,
    /// The user's.
    pub pin: Zeroizing<String>,
}

impl Seat {
    /// How a node with so many sessions beside the owner's would use the token.
    pub fn config(&self, threads: usize) -> Pkcs11Config {
        Pkcs11Config {
            module: self.module.clone(),
            token: self.label.to_owned(),
            pin: Pin::new(self.pin.to_string()),
            residency: Residency::Session,
            import: Import::CreateObject,
            threads,
            queue_max: 1024,
        }
    }
}

/// Calls `run` in a process that has a new token, which goes away with that process. What it answers is what `main`
/// should.
///
/// # Errors
/// If SoftHSM is missing, or what `run` answers.
pub fn with_token(run: impl FnOnce(&Seat) -> Result<()>) -> Result<ExitCode> {
    if let Some(module) = std::env::var_os(MODULE) {
        let pin_file = std::env::var_os(PIN_FILE).context("the PIN's file is set beside")?;
        let pin = Zeroizing::new(std::fs::read_to_string(pin_file)?);
        let module = PathBuf::from(module);
        run(&Seat {
            module,
            label: LABEL,
            pin,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let dir = tempfile::tempdir()?;
    let token = Token::create(dir.path(), LABEL)?;
    let variables: [(&str, OsString); 3] = [
        (CONF, token.conf.into()),
        (MODULE, token.module.into()),
        (PIN_FILE, token.pin_file.into()),
    ];
    let status = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .envs(variables)
        .status()?;
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => Ok(ExitCode::from(code)),
        Some(Err(_)) | None => bail!("the run with a token ended by {status}"),
    }
}
