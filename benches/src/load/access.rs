//! How the load reaches the cluster. What the client library offers for it is chosen here and nowhere else.

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use conclave_client::{Client, ClientConfig};
use conclave_env::os::{OsEntropy, TlsNetwork};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where the cluster is, and who calls it. As for `conclave`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct Access {
    /// A node, HOST:PORT; repeat it for several, the first one that answers is used
    #[arg(
        long = "endpoint",
        env = "CONCLAVE_ENDPOINTS",
        value_delimiter = ',',
        required = true
    )]
    #[arg(value_name = "HOST:PORT")]
    pub endpoints: Vec<String>,
    /// The cluster's certificate authority, a PEM file
    #[arg(long, env = "CONCLAVE_CA", value_name = "FILE")]
    pub ca: PathBuf,
    /// Your certificate, a PEM file
    #[arg(long, env = "CONCLAVE_CERT", value_name = "FILE")]
    pub cert: PathBuf,
    /// Its private key, a PEM file
    #[arg(long, env = "CONCLAVE_CERT_KEY", value_name = "FILE")]
    pub cert_key: PathBuf,
    /// Put load on this node only; repeat it for several, connections are spread over them
    #[arg(long = "node", value_name = "HOST:PORT")]
    pub nodes: Vec<String>,
    /// How many connections; callers are spread over them
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// One gRPC call for each request, instead of the library's own choice
    #[arg(long)]
    pub unary: bool,
    /// How long one request may take, retries included, in seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=60))]
    pub deadline_seconds: u64,
}

/// The clients of one run.
pub(super) struct Connected {
    /// One for each connection.
    pub(super) clients: Vec<Client>,
    /// How requests travel.
    pub(super) transport: &'static str,
}

/// A client for each connection. With `--node`, connection i begins at node i modulo their number and knows no other
/// nodes; else each begins at the first endpoint and moves on as the library does.
pub(super) fn connect(access: &Access) -> Result<Connected> {
    let Access {
        ca, cert, cert_key, ..
    } = access;
    let network = TlsNetwork::from_files(ca, cert, cert_key)
        .context("read --ca, --cert and --cert-key, or the variables of the same names")?;
    let (network, entropy) = (Arc::new(network), Arc::new(OsEntropy::new()));
    ensure!(!access.endpoints.is_empty(), "give at least one --endpoint");
    let clients = (0..access.connections as usize).map(|place| {
        let endpoints = match access.nodes.as_slice() {
            [] => access.endpoints.clone(),
            nodes => vec![nodes[place % nodes.len()].clone()],
        };
        let mut config = ClientConfig::new(endpoints, network.clone(), entropy.clone())
            .with_deadline(Duration::from_secs(access.deadline_seconds));
        if access.unary {
            config = config.with_single_calls();
        }
        Ok(Client::connect(config)?)
    });
    Ok(Connected {
        clients: clients.collect::<Result<_>>()?,
        transport: if access.unary {
            "single calls"
        } else {
            "a stream"
        },
    })
}
