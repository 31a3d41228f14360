//! A cluster as its user sees it: one thing to call, whichever node answers.

use crate::calls::{Message, Use};
use crate::channel::Node;
use crate::config::ClientConfig;
use crate::error::{CallFailure, ClientError};
use crate::limits::ATTEMPTS_MAX;
use crate::pool::Pool;
use crate::retry::{Verdict, judge, pause};
use conclave_env::{Entropy, Network};
use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, TimeoutExpired};

/// The header that counts the attempts at one request, from 0.
const ATTEMPT_HEADER: &str = "conclave-attempt";
/// Bytes of a request id.
pub(crate) const REQUEST_ID_BYTES: usize = 16;

/// Calls a cluster. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    network: Arc<dyn Network>,
    entropy: Arc<dyn Entropy>,
    deadline: Duration,
    attempt: Duration,
    connections: usize,
    shares_stream: bool,
}

impl Client {
    /// A client of the given nodes. Connects when it is first used, inside a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`] if an endpoint is not `host:port`, [`ClientError::EndpointCount`]
    /// if there is none or there are too many, [`ClientError::ConnectionCount`] likewise.
    pub fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        config.check()?;
        let ClientConfig {
            endpoints,
            network,
            entropy,
            deadline,
            attempt,
            connections,
            shares_stream,
        } = config;
        let open =
            |address: &String| Node::new(address, Arc::clone(&network), connections).map(Arc::new);
        let nodes = endpoints.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self {
            pool: Arc::new(Pool::new(nodes)),
            network,
            entropy,
            deadline,
            attempt,
            connections,
            shares_stream,
        })
    }

    /// This client, with another deadline for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            deadline,
            ..self.clone()
        }
    }

    /// A client of one node, `host:port`, that never turns to another.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`] if that is not an address.
    pub fn node(&self, address: &str) -> Result<Self, ClientError> {
        let node = if let Some(node) = self.pool.find(address) {
            node
        } else {
            let network = Arc::clone(&self.network);
            Arc::new(Node::new(address, network, self.connections)?)
        };
        Ok(Self {
            pool: Arc::new(Pool::new(vec![node])),
            ..self.clone()
        })
    }

    /// The nodes that this client was given.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.pool.addresses()
    }

    /// A fresh request id.
    pub fn request_id(&self) -> [u8; REQUEST_ID_BYTES] {
        self.random()
    }

    /// Lets the next call begin at another node.
    pub(crate) fn leave_current(&self) {
        self.pool.leave(self.pool.current());
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// How long a call may take, all attempts together.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Makes one call, at as many nodes as it takes. All attempts carry the same message, hence the
    /// same request id. The message kept for them is wiped at the end; the transport's own buffers
    /// are not ours to wipe.
    pub(crate) async fn call<M, R, F>(
        &self,
        mut message: M,
        invoke: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, ClientError>
    where
        M: Message,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        message.identify(|| self.request_id().to_vec());
        let prepare = || message.clone();
        let answer = self.attempts(prepare, invoke).await;
        message.wipe();
        answer
    }

    /// Makes one use of a key, on a stream that it shares with others unless the client was told to make single calls; at
    /// as many nodes as it takes, as [`Client::call`] does.
    pub(crate) async fn use_key<U: Use>(&self, mut message: U) -> Result<U::Answer, ClientError> {
        if !self.shares_stream {
            return self.call(message, U::single).await;
        }
        message.identify(|| self.request_id().to_vec());
        let ask = |node: &Node, attempt, time| {
            let (session, asked) = (node.session(), message.clone().into_use());
            async move {
                let result = session.ask(asked, attempt, time).await?;
                U::answer(result)
                    .ok_or_else(|| Status::internal("the reply is to something that was not asked"))
            }
        };
        let answer = self.try_nodes(ask).await;
        message.wipe();
        answer
    }

    /// Tries until one attempt succeeds, one is refused for good, or time is up.
    pub(crate) async fn attempts<M, R, F>(
        &self,
        prepare: impl Fn() -> M,
        invoke: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, ClientError>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.try_nodes(|node, attempt, time| {
            let answer = invoke(node.channel(), stamped(prepare(), attempt, time));
            async { answer.await.map(Response::into_inner) }
        })
        .await
    }

    async fn try_nodes<R, F>(
        &self,
        ask: impl Fn(&Node, u32, Duration) -> F,
    ) -> Result<R, ClientError>
    where
        F: Future<Output = Result<R, Status>>,
    {
        let end = Instant::now() + self.deadline;
        let mut place = self.pool.current();
        let mut hopeless = 0;
        let mut attempt = 0;
        loop {
            let node = self.pool.node(place);
            let time = self.attempt_time(end);
            let answer = tokio::time::timeout(time, ask(node, attempt, time)).await;
            let status = match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) if !is_silence(&status) => status,
                Ok(Err(_)) | Err(_) => silence(node.address(), time),
            };
            attempt += 1;
            let verdict = judge(&status);
            if verdict != Verdict::Final {
                place = self.pool.leave(place);
            }
            hopeless = if verdict == Verdict::OnlyElsewhere {
                hopeless + 1
            } else {
                0
            };
            let give_up = verdict == Verdict::Final
                || hopeless >= self.pool.len()
                || attempt >= ATTEMPTS_MAX
                || !self.pause_before(attempt, end).await;
            if give_up {
                let failure = CallFailure::from_status(&status, node.address(), attempt);
                return Err(ClientError::Call(Box::new(failure)));
            }
        }
    }

    /// How long the next attempt may take.
    fn attempt_time(&self, end: Instant) -> Duration {
        let rest = end.saturating_duration_since(Instant::now());
        if self.pool.len() == 1 {
            rest
        } else {
            rest.min(self.attempt)
        }
    }

    /// Pauses when every node has been tried; false if the deadline passes before another attempt
    /// could be made.
    async fn pause_before(&self, attempt: u32, end: Instant) -> bool {
        let nodes = u32::try_from(self.pool.len()).unwrap_or(u32::MAX);
        if attempt.is_multiple_of(nodes) {
            let [jitter] = self.random();
            let wake = Instant::now() + pause(attempt / nodes, jitter);
            if wake >= end {
                return false;
            }
            tokio::time::sleep_until(wake).await;
        }
        Instant::now() < end
    }
}

fn stamped<M>(message: M, attempt: u32, time: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
        .metadata_mut()
        .insert(ATTEMPT_HEADER, MetadataValue::<Ascii>::from(attempt));
    request
}

/// The transport keeps the same time as we do, and may notice first.
fn is_silence(status: &Status) -> bool {
    let mut next = status.source();
    while let Some(error) = next {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn silence(address: &str, time: Duration) -> Status {
    let text = format!(
        "node {address} did not answer within {} ms",
        time.as_millis()
    );
    Status::new(Code::DeadlineExceeded, text)
}
