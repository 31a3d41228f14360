//! What a client is given.

use crate::error::ClientError;
use crate::limits::{ATTEMPT_MAX, CONNECTIONS_MAX, DEADLINE_DEFAULT, ENDPOINTS_MAX};
use conclave_env::os::{OsEntropy, TlsNetwork};
use conclave_env::{Entropy, Network};
use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a client is given.
#[derive(Clone)]
pub struct ClientConfig {
    /// Nodes, `host:port` each. The client begins with the first one.
    pub endpoints: Vec<String>,
    /// Opens authenticated connections.
    pub network: Arc<dyn Network>,
    /// Draws request ids, salts and the jitter of pauses.
    pub entropy: Arc<dyn Entropy>,
    /// How long a call may take, all attempts together.
    pub deadline: Duration,
    /// How long one attempt may take while there is another node to try.
    pub attempt: Duration,
    /// HTTP/2 connections to each node that is spoken to; calls take them in turn.
    pub connections: usize,
    /// Whether uses of keys share one stream a connection, which is many times as fast as a call each.
    pub shares_stream: bool,
}

impl ClientConfig {
    /// With the default deadline, and one connection a node, whose stream all uses share.
    pub fn new(
        endpoints: Vec<String>,
        network: Arc<dyn Network>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            endpoints,
            network,
            entropy,
            deadline: DEADLINE_DEFAULT,
            attempt: ATTEMPT_MAX,
            connections: 1,
            shares_stream: true,
        }
    }

    /// As the command line's variables say it: the nodes in `CONCLAVE_ENDPOINTS`, parted by commas, and PEM files with the
    /// authorities, our certificate and its private key in `CONCLAVE_CA`, `CONCLAVE_CERT` and `CONCLAVE_CERT_KEY`.
    ///
    /// # Errors
    /// [`ClientError::Variable`] names one that is not set, [`ClientError::Tls`] says what is wrong with a file.
    pub fn from_environment() -> Result<Self, ClientError> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let given = |name| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.ok_or(ClientError::Variable { name })
        };
        let file = |name| given(name).map(PathBuf::from);
        let endpoints = given("CONCLAVE_ENDPOINTS")?;
        let endpoints = endpoints
            .split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty());
        let endpoints = endpoints.map(str::to_owned).collect();
        let (ca, cert) = (file("CONCLAVE_CA")?, file("CONCLAVE_CERT")?);
        let network = TlsNetwork::from_files(&ca, &cert, &file("CONCLAVE_CERT_KEY")?);
        let network = network.map_err(|error| ClientError::Tls {
            problem: error.to_string(),
        })?;
        Ok(Self::new(
            endpoints,
            Arc::new(network),
            Arc::new(OsEntropy::new()),
        ))
    }

    /// With another deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// With several connections to each node that is spoken to: one carries a few hundred uses at a time.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// With a call for each use, as a client without this library makes it.
    #[must_use]
    pub fn with_single_calls(mut self) -> Self {
        self.shares_stream = false;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        if self.endpoints.is_empty() || self.endpoints.len() > ENDPOINTS_MAX {
            return Err(ClientError::EndpointCount {
                actual: self.endpoints.len(),
            });
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            return Err(ClientError::ConnectionCount {
                actual: self.connections,
            });
        }
        self.endpoints
            .iter()
            .try_for_each(|endpoint| check_endpoint(endpoint))
    }
}

/// `host:port`, with an IPv6 address in brackets.
pub(crate) fn check_endpoint(endpoint: &str) -> Result<(), ClientError> {
    let wrong = || ClientError::Endpoint {
        endpoint: endpoint.to_owned(),
    };
    let authority: http::uri::Authority = endpoint.parse().map_err(|_| wrong())?;
    let plain = authority.as_str() == endpoint && !endpoint.contains('@');
    let whole = plain && !authority.host().is_empty() && authority.port_u16().is_some();
    if whole { Ok(()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_environment_lacks_is_named() {
        let set = |names: &'static [&str]| {
            let variable = |name: &str| names.contains(&name).then(|| "/nowhere".to_owned());
            let Err(error) = ClientConfig::from_variables(variable) else {
                panic!("there is no such file");
            };
            error.to_string()
        };
        for (names, missing) in [
            (&[][..], "CONCLAVE_ENDPOINTS"),
            (&["CONCLAVE_ENDPOINTS", "CONCLAVE_CA"], "CONCLAVE_CERT"),
            (
                &["CONCLAVE_ENDPOINTS", "CONCLAVE_CA", "CONCLAVE_CERT"],
                "CONCLAVE_CERT_KEY",
            ),
        ] {
            assert_eq!(set(names), format!("the variable {missing} is not set"));
        }
        let all = set(&[
            "CONCLAVE_ENDPOINTS",
            "CONCLAVE_CA",
            "CONCLAVE_CERT",
            "CONCLAVE_CERT_KEY",
        ]);
        assert!(all.contains("/nowhere cannot be read"), "{all}");
    }

    #[test]
    fn endpoints_are_host_and_port() {
        for good in ["127.0.0.1:7101", "node1.example:443", "[::1]:7101"] {
            assert!(check_endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "node1",
            "https://node1:7101",
            "a@b:1",
            ":7101",
            "node1:99999",
            "node1:x",
        ] {
            assert!(check_endpoint(bad).is_err(), "{bad}");
        }
    }
}
