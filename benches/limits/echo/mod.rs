//! Bare tonic over the product's own TLS: a server that answers at once, and clients that do nothing else, on the same
//! cores. Messages have the size of an Encrypt of 32 bytes.

mod service;
mod stream;
mod unary;

use crate::meter::{Tally, Threads, Window};
use crate::report::{Line, Report};
use anyhow::{Context as _, Result};
use conclave_chaos::real::{Pki, channel};
use conclave_env::os::TlsNetwork;
use conclave_env::{Audience, Network};
use service::Echo;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Server};

const SERVER: &str = "echo-server";
const CLIENT: &str = "echo-client";

/// Connections, and calls under way on each.
const UNARY: [(usize, usize); 3] = [(1, 1), (64, 1), (8, 8)];
/// Connections with one stream each, and messages in flight on it.
const STREAM: [(usize, usize); 2] = [(1, 1), (8, 8)];

/// Unary calls and streams of several shapes.
///
/// # Errors
/// If the server cannot listen or a call fails.
pub(crate) fn measure(length: Duration, report: &mut Report) -> Result<()> {
    for (connections, calls) in UNARY {
        let name = format!("tonic unary, {connections} x {calls}");
        report.add(&Pair::start()?.unary(name, connections, calls, length)?)?;
    }
    for (connections, in_flight) in STREAM {
        let name = format!("tonic stream, {connections} x {in_flight}");
        report.add(&Pair::start()?.stream(name, connections, in_flight, length)?)?;
    }
    Ok(())
}

/// A server, and a runtime for clients.
struct Pair {
    client: Runtime,
    /// Its threads serve for as long as it lives.
    _server: Runtime,
    network: Arc<dyn Network>,
    address: String,
}

/// As `conclaved` has it.
fn runtime(threads: &str) -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.enable_all().thread_name(threads).build()?)
}

impl Pair {
    fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let pki = Pki::create(dir.path())?;
        let (node, app) = (pki.node(1, Ipv4Addr::LOCALHOST)?, pki.principal("app")?);
        let serving = TlsNetwork::from_files(&pki.ca(), &node.cert, &node.key)?;
        let network = TlsNetwork::from_files(&pki.ca(), &app.cert, &app.key)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let address = format!("127.0.0.1:{port}");
        let server = runtime(SERVER)?;
        let incoming = server.block_on(serving.listen(&address, Audience::Clients))?;
        server.spawn(
            Server::builder()
                .add_service(Echo)
                .serve_with_incoming(incoming),
        );
        Ok(Self {
            client: runtime(CLIENT)?,
            _server: server,
            network: Arc::new(network),
            address,
        })
    }

    fn channel(&self) -> Result<Channel> {
        let _inside = self.client.enter();
        channel(Arc::clone(&self.network), &self.address)
    }

    fn unary(
        &self,
        name: String,
        connections: usize,
        calls: usize,
        length: Duration,
    ) -> Result<Line> {
        let (window, mut callers) = (Window::default(), JoinSet::new());
        for _ in 0..connections {
            let channel = self.channel()?;
            for _ in 0..calls {
                let caller = unary::call(channel.clone(), window.clone());
                callers.spawn_on(caller, self.client.handle());
            }
        }
        self.finish(name, length, &window, callers)
    }

    fn stream(
        &self,
        name: String,
        connections: usize,
        in_flight: usize,
        length: Duration,
    ) -> Result<Line> {
        let (window, mut callers) = (Window::default(), JoinSet::new());
        for _ in 0..connections {
            let caller = stream::call(self.channel()?, in_flight, window.clone());
            callers.spawn_on(caller, self.client.handle());
        }
        self.finish(name, length, &window, callers)
    }

    fn finish(
        &self,
        name: String,
        length: Duration,
        window: &Window,
        mut callers: JoinSet<Result<Tally>>,
    ) -> Result<Line> {
        let threads = Threads {
            workers: SERVER,
            clients: Some(CLIENT),
        };
        let cost = window.watch(length, &threads);
        let mut tally = Tally::default();
        self.client.block_on(async {
            while let Some(called) = callers.join_next().await {
                tally.merge(called.context("a caller ended by a bug")??);
            }
            anyhow::Ok(())
        })?;
        tally.into_line(name, &cost?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_streams_are_answered() {
        let length = Duration::from_millis(300);
        let pair = Pair::start().unwrap();
        let line = pair.unary("unary".to_owned(), 2, 2, length).unwrap();
        assert!(line.rate_per_s > 10.0 && line.client_cpu_us.is_some());
        let line = pair.stream("stream".to_owned(), 2, 4, length).unwrap();
        assert!(line.rate_per_s > 10.0 && line.p99_us.is_some());
    }
}
