//! SoftHSM tokens, each in a directory of its own with a configuration of its own.

use anyhow::{Context as _, Result, ensure};
use conclave_env::Entropy as _;
use conclave_env::os::OsEntropy;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MODULES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// A token of one node.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its label.
    pub label: String,
    /// Where it keeps its objects.
    pub objects: PathBuf,
    /// For the environment variable `SOFTHSM2_CONF`.
    pub conf: PathBuf,
    /// Holds the user PIN.
    pub pin_file: PathBuf,
    /// The PKCS#11 module.
    pub module: PathBuf,
}

impl Token {
    /// A new token under `dir`, with a random PIN.
    ///
    /// # Errors
    /// If SoftHSM is not installed, or refuses.
    pub fn create(dir: &Path, label: &str) -> Result<Self> {
        let module = MODULES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file());
        let module = module.context("SoftHSM is missing: apt-get install softhsm2")?;
        let objects = dir.join("objects");
        fs::create_dir_all(&objects)?;
        let conf = dir.join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            objects.display()
        );
        fs::write(&conf, text)?;
        let pin_file = dir.join("pin");
        let (pin, officer_pin) = (draw_pin(), draw_pin());
        fs::write(&pin_file, &pin)?;
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label])
            .args(["--pin", &pin, "--so-pin", &officer_pin])
            .env("SOFTHSM2_CONF", &conf)
            .output()
            .context("softhsm2-util does not run: apt-get install softhsm2")?;
        let said = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "softhsm2-util made no token: {said}");
        Ok(Self {
            label: label.to_owned(),
            objects,
            conf,
            pin_file,
            module,
        })
    }

    /// The user PIN.
    ///
    /// # Errors
    /// If its file is gone.
    pub fn pin(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.pin_file)?)
    }
}

fn draw_pin() -> String {
    let mut bytes = [0; 12];
    OsEntropy::new().fill(&mut bytes);
    hex::encode(bytes)
}
