//! What the hosts of a run share, and how they reach the nodes.

use super::leap::Leap;
use super::machine::api;
use super::network::{SimNetwork, Wires};
use super::plan::Plan;
use crate::history::Recorder;
use conclave_client::{Client, ClientConfig};
use conclave_core::PrincipalName;
use conclave_env::RemoteIdentity;
use conclave_env::mem::MemEntropy;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the hosts of a run share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// What was drawn.
    pub(crate) plan: Arc<Plan>,
    /// All wires.
    pub(crate) wires: Wires,
    /// The history.
    pub(crate) recorder: Recorder,
    /// Whether custodians unsealed a node, and the usual roles were given: clients begin.
    pub(crate) is_founded: Arc<AtomicBool>,
    /// Whether clients are to stop.
    pub(crate) is_over: Arc<AtomicBool>,
    /// Of all clocks.
    pub(crate) leap: Arc<Leap>,
    /// Counts plaintexts, so that no two are equal.
    pub(crate) plaintexts: Arc<AtomicU64>,
    /// Clients whose uses share a stream, and clients that make single calls.
    pub(crate) clients: Arc<[AtomicU64; 2]>,
}

/// Simulated time since the run began.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

impl Shared {
    /// A principal's client of all nodes, which begins at `first`, on the host that calls this.
    pub(crate) fn client(
        &self,
        principal: &str,
        first: u64,
        entropy: u64,
        deadline: Duration,
    ) -> Client {
        let nodes = self.plan.nodes;
        let endpoints = (0..nodes).map(|step| api((first + step) % nodes + 1));
        self.connect(principal, endpoints.collect(), entropy, deadline)
    }

    /// A principal's client of one node.
    pub(crate) fn client_at(
        &self,
        principal: &str,
        node: u64,
        entropy: u64,
        deadline: Duration,
    ) -> Client {
        self.connect(principal, vec![api(node)], entropy, deadline)
    }

    fn connect(
        &self,
        principal: &str,
        endpoints: Vec<String>,
        entropy: u64,
        deadline: Duration,
    ) -> Client {
        let name = PrincipalName::new(principal).expect("our own names are valid");
        let network = SimNetwork::new(RemoteIdentity::Principal(name), self.wires.clone());
        let (is_single, connections) = (
            entropy.is_multiple_of(3),
            if entropy.is_multiple_of(5) { 2 } else { 1 },
        );
        self.clients[usize::from(is_single)].fetch_add(1, Ordering::Relaxed);
        let entropy = Arc::new(MemEntropy::new(entropy));
        let config = ClientConfig::new(endpoints, Arc::new(network), entropy);
        let config = ClientConfig {
            shares_stream: !is_single,
            connections,
            ..config
        };
        Client::connect(config.with_deadline(deadline)).expect("our own addresses are valid")
    }
}
