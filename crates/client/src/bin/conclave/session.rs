//! What a command works with.

use crate::cli::Global;
use crate::connection::{self, Settings};
use crate::error::CliError;
use crate::limits::CUSTODY_DEADLINE;
use crate::output::Output;
use conclave_client::limits::DEADLINE_DEFAULT;
use conclave_client::{Client, ClientConfig};
use conclave_env::os::{OsEntropy, TlsNetwork};
use std::sync::Arc;
use std::time::Duration;

/// Options and output of this run.
pub(crate) struct Session {
    global: Global,
    /// Where results go.
    pub(crate) output: Output,
}

impl Session {
    pub(crate) fn new(global: Global, output: Output) -> Self {
        Self { global, output }
    }

    /// A client with the usual deadline.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        self.open(DEADLINE_DEFAULT)
    }

    /// A client with time for ceremonies.
    pub(crate) fn custody_client(&self) -> Result<Client, CliError> {
        self.open(CUSTODY_DEADLINE)
    }

    fn open(&self, deadline: Duration) -> Result<Client, CliError> {
        let Settings {
            endpoints,
            ca,
            cert,
            cert_key,
        } = connection::resolve(&self.global)?;
        let network =
            TlsNetwork::from_files(&ca, &cert, &cert_key).map_err(|error| CliError::Tls {
                problem: error.to_string(),
            })?;
        let config = ClientConfig::new(endpoints, Arc::new(network), Arc::new(OsEntropy::new()))
            .with_deadline(self.global.timeout.unwrap_or(deadline));
        Ok(Client::connect(config)?)
    }
}
