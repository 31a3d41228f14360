//! `conclaved`: a node. Parses the command line, builds the real environment, and runs until it is told to stop.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use conclave_core::NodeId;
use conclave_env::os::{
    Import, OsClock, OsEntropy, Pin, Pkcs11Config, Pkcs11Hsm, Residency, RocksStorage, TlsNetwork,
    harden_process,
};
use conclave_env::{Entropy, Env, Hsm, RemoteIdentity};
use conclave_server::config::{self, Config, LogFormat};
use conclave_server::{ConfigError, Node};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

/// A node of a Conclave cluster.
///
/// Runs until SIGTERM or SIGINT, then stops in order within 10 seconds. The configuration file is
/// described in docs/configuration.md.
#[derive(Parser)]
#[command(name = "conclaved", version, after_help = EXAMPLES)]
struct Arguments {
    /// The node's configuration file (TOML).
    #[arg(long, value_name = "FILE", global = true, required = false)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Task>,
}

const EXAMPLES: &str = "\
Examples:
  conclaved format --config node.toml   prepare the data directory, once in a node's life
  conclaved check --config node.toml    see whether configuration, certificates and HSM are right
  conclaved --config node.toml          run the node";

#[derive(Subcommand)]
enum Task {
    /// Prepare an empty data directory for this node, once in its life.
    ///
    /// A node that lost its data directory must not be formatted again under its old id: take it
    /// out of the cluster and let it join under a new one.
    Format,
    /// Check the configuration, the certificates and the HSM, and start nothing.
    Check,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let hardened = harden_process();
    let Some(path) = arguments.config else {
        return fail(2, "--config FILE is needed: see `conclaved --help`");
    };
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(error) => return fail(2, &error.to_string()),
    };
    if let Err(error) = start_log(&config, &path) {
        return fail(2, &error.to_string());
    }
    for (measure, error) in hardened.failures {
        tracing::warn!(
            measure,
            error,
            "the process could not be hardened in one respect"
        );
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("the runtime does not start: {error}")),
    };
    let done = runtime.block_on(async {
        match arguments.command {
            None => run(config).await,
            Some(Task::Format) => format(&config).await,
            Some(Task::Check) => check(&config),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

/// Threads for everything but the disk and the HSM, which have their own and get one of the cores. Where cores are few, a
/// thread more costs more in handing over than it does in work (docs/performance.md).
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.saturating_sub(1).max(1)
}

/// Says on standard error why the program ends.
fn fail(code: u8, why: &str) -> ExitCode {
    use std::io::Write as _;
    // There is nowhere left to say that standard error is closed.
    drop(writeln!(std::io::stderr(), "conclaved: {why}"));
    ExitCode::from(code)
}

fn start_log(config: &Config, path: &Path) -> Result<(), ConfigError> {
    // openraft tells every step at `info`; who names it in `log.level` gets what is asked for.
    let level = &config.log.level;
    let quiet = if level.contains("openraft") {
        ""
    } else {
        ",openraft=warn"
    };
    let filter = EnvFilter::try_new(format!("{level}{quiet}")).map_err(|e| ConfigError::Value {
        path: path.to_owned(),
        field: "log.level",
        rule: e.to_string(),
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let env = real_env(&config)?;
    let node = Node::start(env, config).await?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("told to stop");
    node.shutdown().await;
    Ok(())
}

async fn format(config: &Config) -> anyhow::Result<()> {
    let storage = RocksStorage::new(&config.data_dir);
    conclave_raft::format(&storage, config.cluster, config.node).await?;
    tracing::info!(node = %config.node, data_dir = %config.data_dir.display(), "formatted");
    Ok(())
}

fn check(config: &Config) -> anyhow::Result<()> {
    let env = real_env(config)?;
    tracing::info!(
        hsm = env.hsm.description(),
        "configuration, certificates and HSM are right"
    );
    Ok(())
}

fn real_env(config: &Config) -> anyhow::Result<Env> {
    let tls = &config.tls;
    let network = TlsNetwork::from_files(&tls.ca, &tls.cert, &tls.key)?;
    check_identity(network.identity(), config.node, &tls.cert)?;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
    Ok(Env {
        clock: Arc::new(OsClock),
        entropy: entropy.clone(),
        network: Arc::new(network.with_connections_max(config.connections_max)),
        storage: Arc::new(RocksStorage::new(&config.data_dir)),
        hsm: open_hsm(&config.hsm, entropy)?,
    })
}

/// Refuses a certificate that would let this node pass for another one, or for nobody.
fn check_identity(identity: &RemoteIdentity, node: NodeId, cert: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        *identity == RemoteIdentity::Node(node),
        "tls.cert {} names {identity:?}, and this is node {node}: its URI subject alternative name \
         must be conclave://node/{node}",
        cert.display()
    );
    Ok(())
}

/// Sessions of the PKCS#11 module beside the one that owns the keys.
const HSM_THREADS: usize = 2;
/// Calls that may wait for the PKCS#11 module.
const HSM_QUEUE_MAX: usize = 1_024;

fn open_hsm(hsm: &config::Hsm, entropy: Arc<dyn Entropy>) -> anyhow::Result<Arc<dyn Hsm>> {
    match hsm {
        config::Hsm::Software => {
            tracing::warn!(
                "hsm.kind is software: the root key is in this process's memory, and no hardware \
                 protects it"
            );
            Ok(Arc::new(conclave_env::mem::MemHsm::new(entropy)))
        }
        config::Hsm::Pkcs11 {
            module,
            token,
            pin_file,
            residency,
            import,
        } => {
            let pin = std::fs::read_to_string(pin_file)
                .with_context(|| format!("hsm.pin_file {} cannot be read", pin_file.display()))?;
            let pin = Zeroizing::new(pin);
            let config = Pkcs11Config {
                module: module.clone(),
                token: token.clone(),
                pin: Pin::new(pin.trim_end().to_owned()),
                residency: match residency {
                    config::Residency::Session => Residency::Session,
                    config::Residency::Token => Residency::Token,
                },
                import: match import {
                    config::Import::CreateObject => Import::CreateObject,
                    config::Import::UnwrapRsa => Import::UnwrapRsa,
                },
                threads: HSM_THREADS,
                queue_max: HSM_QUEUE_MAX,
            };
            Ok(Arc::new(Pkcs11Hsm::open(config)?))
        }
    }
}
