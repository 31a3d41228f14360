//! Proposals of a follower: one long-lived stream to the leader, many in flight, answered in any order.

use super::{Dialer, quote};
use crate::limits::{PROPOSALS_IN_FLIGHT_MAX, STREAM_OPEN_MAX};
use crate::status::ReplicaStatus;
use bytes::Bytes;
use conclave_core::NodeId;
use conclave_proto::peer::v1::propose_reply::Result as Reply;
use conclave_proto::peer::v1::{NotLeader, ProposeReply, ProposeRequest};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// What became of a proposal.
#[derive(Debug)]
pub(crate) enum Answered {
    /// Committed and applied; the encoded outcome.
    Outcome(Bytes),
    /// Certainly not in the log: whoever was asked does not lead.
    NotLeader(Option<NodeId>),
    /// Certainly not in the log.
    NotProposed(String),
    /// Perhaps in the log.
    Unknown(String),
    /// Perhaps in the log; this node failed.
    Stopped(String),
}

/// As the leader sends it.
pub(super) fn committed_to_reply(answered: Answered) -> Reply {
    match answered {
        Answered::Outcome(outcome) => Reply::Outcome(outcome),
        Answered::NotLeader(leader) => not_leader(leader),
        Answered::NotProposed(_) => not_leader(None),
        Answered::Unknown(why) | Answered::Stopped(why) => Reply::Unavailable(why),
    }
}

pub(super) fn not_leader(leader: Option<NodeId>) -> Reply {
    Reply::NotLeader(NotLeader {
        leader_id: leader.map_or(0, |leader| leader.0),
    })
}

fn reply_to_answered(reply: Option<Reply>) -> Answered {
    match reply {
        Some(Reply::Outcome(outcome)) => Answered::Outcome(outcome),
        Some(Reply::NotLeader(NotLeader { leader_id })) => {
            Answered::NotLeader(Some(NodeId(leader_id)).filter(|leader| leader.0 != 0))
        }
        Some(Reply::Unavailable(why)) => Answered::Unknown(quote(&why)),
        None => Answered::Unknown("the leader's answer is of a newer version".to_owned()),
    }
}

struct Job {
    command: Bytes,
    deadline: Instant,
    answer: oneshot::Sender<Answered>,
}

/// The streams to nodes that lead or led.
pub(crate) struct Links {
    dialer: Arc<Dialer>,
    status: Arc<watch::Sender<ReplicaStatus>>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    jobs: BTreeMap<NodeId, mpsc::Sender<Job>>,
    tasks: JoinSet<()>,
    is_closed: bool,
}

impl Links {
    pub(crate) fn new(dialer: Arc<Dialer>, status: Arc<watch::Sender<ReplicaStatus>>) -> Self {
        Self {
            dialer,
            status,
            open: Mutex::default(),
        }
    }

    /// Has the leader commit a command.
    pub(crate) async fn propose(
        &self,
        leader: NodeId,
        address: &str,
        command: Bytes,
        deadline: Instant,
    ) -> Answered {
        let Some(jobs) = self.jobs(leader, address) else {
            return Answered::NotProposed("this node is stopping".to_owned());
        };
        let (answer, answered) = oneshot::channel();
        match timeout_at(
            deadline,
            jobs.send(Job {
                command,
                deadline,
                answer,
            }),
        )
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                return Answered::NotProposed(format!("the stream to leader {leader} broke"));
            }
            Err(_) => {
                let why = format!("too many proposals wait for leader {leader}");
                return Answered::NotProposed(why);
            }
        }
        match timeout_at(deadline, answered).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Answered::Unknown(format!("the stream to leader {leader} was closed")),
            Err(_) => Answered::Unknown(format!("leader {leader} did not answer in time")),
        }
    }

    /// The queue of the stream to a node, opened if there is none; `None` when closed.
    fn jobs(&self, leader: NodeId, address: &str) -> Option<mpsc::Sender<Job>> {
        let mut open = self.open.lock();
        if open.is_closed {
            return None;
        }
        let existing = open.jobs.get(&leader).filter(|jobs| !jobs.is_closed());
        if let Some(jobs) = existing {
            return Some(jobs.clone());
        }
        while open.tasks.try_join_next().is_some() {}
        let (jobs, waiting) = mpsc::channel(PROPOSALS_IN_FLIGHT_MAX);
        let link = Link {
            dialer: Arc::clone(&self.dialer),
            leader,
            address: address.to_owned(),
            status: self.status.subscribe(),
            waiting,
            in_flight: BTreeMap::new(),
        };
        open.tasks.spawn(link.run());
        open.jobs.insert(leader, jobs.clone());
        Some(jobs)
    }

    /// Ends all streams; what is in flight on them is unknown.
    pub(crate) async fn close(&self) {
        let mut tasks = {
            let mut open = self.open.lock();
            open.is_closed = true;
            open.jobs.clear();
            std::mem::take(&mut open.tasks)
        };
        tasks.shutdown().await;
    }
}

/// One stream.
struct Link {
    dialer: Arc<Dialer>,
    leader: NodeId,
    address: String,
    status: watch::Receiver<ReplicaStatus>,
    waiting: mpsc::Receiver<Job>,
    in_flight: BTreeMap<u64, oneshot::Sender<Answered>>,
}

impl Link {
    async fn run(mut self) {
        // Never full: whatever is in it is also in flight.
        let (requests, outgoing) = mpsc::channel(PROPOSALS_IN_FLIGHT_MAX);
        let (mut client, line) = self.dialer.client(self.leader, &self.address);
        let opening = client.propose(ReceiverStream::new(outgoing));
        let why = match timeout(STREAM_OPEN_MAX, opening).await {
            Ok(Ok(replies)) => self.serve(requests, replies.into_inner()).await,
            Ok(Err(status)) => {
                self.dialer.note(self.leader, line, &status);
                quote(status.message())
            }
            Err(_) => "it cannot be reached".to_owned(),
        };
        self.fail(&why);
    }

    /// Works until the stream breaks or the leader is another; says which.
    async fn serve(
        &mut self,
        requests: mpsc::Sender<ProposeRequest>,
        mut replies: Streaming<ProposeReply>,
    ) -> String {
        let mut last_id = 0;
        let mut status = self.status.clone();
        let leader = self.leader;
        loop {
            let has_room = self.in_flight.len() < PROPOSALS_IN_FLIGHT_MAX;
            tokio::select! {
                biased;
                moved = has_moved(&mut status, leader) => return moved,
                reply = replies.message() => match reply {
                    Ok(Some(ProposeReply { id, result })) => {
                        if let Some(answer) = self.in_flight.remove(&id) {
                            // Whoever gave up waiting does not mind.
                            drop(answer.send(reply_to_answered(result)));
                        }
                    }
                    Ok(None) => return "it closed the stream".to_owned(),
                    Err(status) => return quote(status.message()),
                },
                job = self.waiting.recv(), if has_room => {
                    let Some(job) = job else { return "this node is stopping".to_owned() };
                    last_id += 1;
                    self.send(last_id, job, &requests);
                }
            }
        }
    }

    fn send(&mut self, id: u64, job: Job, requests: &mpsc::Sender<ProposeRequest>) {
        let Job {
            command,
            deadline,
            answer,
        } = job;
        let left = deadline.saturating_duration_since(Instant::now());
        if answer.is_closed() || left.is_zero() {
            let why = "the deadline passed before it could be sent".to_owned();
            drop(answer.send(Answered::NotProposed(why)));
            return;
        }
        let request = ProposeRequest {
            id,
            cluster_id: self.dialer.cluster.as_bytes().to_vec().into(),
            target: self.leader.0,
            command,
            deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        };
        if requests.try_send(request).is_ok() {
            self.in_flight.insert(id, answer);
        } else {
            let why = format!("the stream to leader {} broke", self.leader);
            drop(answer.send(Answered::NotProposed(why)));
        }
    }

    /// What was sent is unknown, what waits was certainly not proposed.
    fn fail(&mut self, why: &str) {
        let why = format!("leader {}: {why}", self.leader);
        for answer in std::mem::take(&mut self.in_flight).into_values() {
            drop(answer.send(Answered::Unknown(why.clone())));
        }
        self.waiting.close();
        while let Ok(job) = self.waiting.try_recv() {
            drop(job.answer.send(Answered::NotProposed(why.clone())));
        }
    }
}

/// Waits until this node knows of another leader: what is in flight to the old one may never be answered.
async fn has_moved(status: &mut watch::Receiver<ReplicaStatus>, leader: NodeId) -> String {
    let moved = status
        .wait_for(|status| status.leader.is_some_and(|now| now != leader))
        .await;
    match moved {
        Ok(_) => "another node leads now".to_owned(),
        Err(_) => "this node is stopping".to_owned(),
    }
}
