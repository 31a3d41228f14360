//! One `conclaved` process. It is signalled by its own process id only, and dies with its owner.

use super::binaries::binary;
use super::poll::until_in;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How a process ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The exit code, if it was not a signal.
    pub code: Option<i32>,
    /// Whether it left a core dump.
    pub dumped_core: bool,
    /// From the signal to the end, or from the start if there was none.
    pub took: Duration,
    /// All that the process ever wrote to standard error, earlier lives included.
    pub log: String,
}

/// One node of a cluster, running or not.
#[derive(Debug)]
pub struct Node {
    id: u64,
    config: PathBuf,
    log: PathBuf,
    softhsm_conf: PathBuf,
    /// The program that starts it and its arguments; empty: it is started as it is.
    prefix: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    child: Option<Child>,
}

impl Node {
    /// A node that is configured by `config`, whose directory gets its log.
    pub fn new(id: u64, config: &Path, softhsm_conf: &Path) -> Self {
        let log = config.with_file_name("log");
        let (config, softhsm_conf) = (config.to_owned(), softhsm_conf.to_owned());
        Self {
            id,
            config,
            log,
            softhsm_conf,
            prefix: Vec::new(),
            environment: Vec::new(),
            child: None,
        }
    }

    /// Lets its next lives begin through another program, which must become the node without a fork.
    pub fn start_through(&mut self, prefix: Vec<OsString>) {
        self.prefix = prefix;
    }

    /// Gives its next lives these variables.
    pub fn with_environment(&mut self, environment: Vec<(OsString, OsString)>) {
        self.environment = environment;
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Whether its process was started and has not been seen to end.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// The process id of the running node.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self
            .child
            .as_ref()
            .with_context(|| format!("node {} does not run", self.id))?
            .id())
    }

    /// What it has logged, over all its lives.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How long its log is by now, in bytes.
    pub fn log_bytes(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// What it has logged behind so many bytes.
    pub fn log_since(&self, bytes: u64) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(bytes))?;
            file.read_to_end(&mut text)
        });
        drop(read);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Runs `conclaved TASK` to its end.
    ///
    /// # Errors
    /// If it does not end within 20 seconds.
    pub async fn run_task(&self, task: &str) -> Result<Exit> {
        let begun = Instant::now();
        let child = self.command(Some(task))?.spawn()?;
        self.ended(child, begun, Duration::from_secs(20)).await
    }

    /// Prepares its data directory.
    ///
    /// # Errors
    /// If `conclaved format` fails.
    pub async fn format(&self) -> Result<()> {
        let exit = self.run_task("format").await?;
        match exit.code {
            Some(0) => Ok(()),
            _ => bail!("conclaved format failed: {}", exit.log),
        }
    }

    /// Starts its process and does not wait for anything.
    ///
    /// # Errors
    /// If it runs already, or cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("node {} runs already", self.id);
        }
        self.child = Some(
            self.command(None)?
                .spawn()
                .context("conclaved does not start")?,
        );
        Ok(())
    }

    /// Starts its process and waits until it ends by itself.
    ///
    /// # Errors
    /// If it does not end within 20 seconds.
    pub async fn run_to_its_end(&mut self) -> Result<Exit> {
        let begun = Instant::now();
        self.spawn()?;
        let child = self.child.take().context("it was just started")?;
        self.ended(child, begun, Duration::from_secs(20)).await
    }

    /// Whether the process has ended by itself.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn has_ended(&mut self) -> Result<bool> {
        match &mut self.child {
            None => Ok(true),
            Some(child) => Ok(child.try_wait()?.is_some()),
        }
    }

    /// How the process ended, if it ended by itself since it was started. It counts as not started then.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn reap(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// SIGKILL if it runs, and waits for the end.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn stop_now(&mut self) -> Result<()> {
        if self.reap()?.is_none() && self.child.is_some() {
            self.kill()?;
        }
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        let mut child = self.child.take().context("it was just signalled")?;
        child.wait()?;
        Ok(())
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// If it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// If it does not end within 20 seconds.
    pub async fn terminate(&mut self) -> Result<Exit> {
        self.end_by(Signal::TERM).await
    }

    /// Sends a signal that ends the process, and waits for the end.
    ///
    /// # Errors
    /// If it does not end within 20 seconds.
    pub async fn end_by(&mut self, signal: Signal) -> Result<Exit> {
        let begun = Instant::now();
        self.signal(signal)?;
        let child = self.child.take().context("it was just signalled")?;
        self.ended(child, begun, Duration::from_secs(20)).await
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    fn command(&self, task: Option<&str>) -> Result<Command> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let program = binary("conclaved")?;
        let mut command = match self.prefix.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.args(task).arg("--config").arg(&self.config);
        command.env("SOFTHSM2_CONF", &self.softhsm_conf);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // A core dump, if there were one, would be found in the node's own directory.
        command.current_dir(
            self.config
                .parent()
                .context("a configuration has a directory")?,
        );
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Ok(command)
    }

    async fn ended(&self, mut child: Child, begun: Instant, limit: Duration) -> Result<Exit> {
        let what = format!("the end of node {}", self.id);
        let waited = until_in(limit, &what, async || child.try_wait().ok().flatten()).await;
        let status: ExitStatus = match waited {
            Ok(status) => status,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        Ok(Exit {
            code: status.code(),
            dumped_core: status.core_dumped(),
            took: begun.elapsed(),
            log: self.log(),
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already, and then there is nothing to do.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
