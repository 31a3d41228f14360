//! A leader's entries for one follower: a stream each way, several appends under way, answered in their order.
//!
//! An append of its own would cost a call, and the next one would wait until the follower's disk has the last.

use super::dialer::{Dialer, Line};
use super::out::{Destination, garbled, late, unreachable};
use crate::codec::{decode_payload, encode_payload};
use crate::limits::{APPEND_PATIENCE, APPENDS_IN_FLIGHT_MAX, COMMIT_NEWS_HELD_MAX};
use crate::types::{LogId, Types};
use conclave_proto::peer::v1::{Frame, Kind};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

type Answer = Result<StreamAppendResult<Types>, RPCError<Types>>;

/// The answers to `requests`, in their order, up to the first that is an error. The stream to the follower is opened
/// with the first request, and each must be answered `within` so long, or [`APPEND_PATIENCE`] if it carries entries:
/// openraft gives an append the time of a heartbeat, but a slow disk must not look like a dead node.
pub(super) fn answers<S>(
    dialer: Arc<Dialer>,
    to: Destination,
    requests: S,
    within: Duration,
) -> BoxStream<'static, Answer>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    let appends = Appends {
        dialer,
        to,
        requests: requests.fuse(),
        within,
        opened: None,
        under_way: VecDeque::new(),
        held: None,
        has_failed: false,
    };
    let answers = stream::unfold(appends, |mut appends| async move {
        appends.next().await.map(|answer| (answer, appends))
    });
    answers.boxed()
}

/// What was sent and is not answered.
struct UnderWay {
    prev: Option<LogId>,
    last: Option<LogId>,
    deadline: Instant,
}

/// An open stream.
struct Opened {
    frames: mpsc::Sender<Frame>,
    replies: Streaming<Frame>,
    line: Line,
}

struct Appends<S> {
    dialer: Arc<Dialer>,
    to: Destination,
    requests: stream::Fuse<S>,
    within: Duration,
    /// `None` before the first request.
    opened: Option<Opened>,
    under_way: VecDeque<UnderWay>,
    /// News of a commit only, and when it goes out at the latest.
    held: Option<(AppendEntriesRequest<Types>, Instant)>,
    has_failed: bool,
}

impl<S> Appends<S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    async fn next(&mut self) -> Option<Answer> {
        if self.has_failed {
            return None;
        }
        let answer = self.work().await?;
        self.has_failed |= !matches!(answer, Ok(Ok(_)));
        Some(answer)
    }

    /// Sends what there is until one is answered. Nothing is lost if it is dropped meanwhile.
    async fn work(&mut self) -> Option<Answer> {
        loop {
            let Some(opened) = &mut self.opened else {
                let first = self.requests.next().await?;
                if let Err(error) = self.open(first).await {
                    return Some(Err(error));
                }
                continue;
            };
            let deadline = self.under_way.front().map(|it| it.deadline);
            let has_room = self.under_way.len() < APPENDS_IN_FLIGHT_MAX;
            let hold = self.held.as_ref().map(|(_, until)| *until);
            if self.requests.is_done() && deadline.is_none() && hold.is_none() {
                return None;
            }
            tokio::select! {
                biased;
                reply = opened.replies.message() => return Some(self.take(reply)),
                request = self.requests.next(), if has_room && !self.requests.is_done() => {
                    self.send_or_hold(request);
                }
                () = sleep_until(hold.unwrap_or_else(Instant::now)), if has_room && hold.is_some() => {
                    self.send_held();
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Some(Err(late(self.within.max(APPEND_PATIENCE)).into()));
                }
            }
        }
    }

    /// Nothing waits for news of a commit but who reads on the follower: it goes out with the next entries, if they come
    /// soon. Those have it too, and their answer is one to both.
    fn send_or_hold(&mut self, request: Option<AppendEntriesRequest<Types>>) {
        match request {
            Some(request) if request.entries.is_empty() => {
                let until = self.held.take().map(|(_, until)| until);
                let until = until.unwrap_or_else(|| Instant::now() + COMMIT_NEWS_HELD_MAX);
                self.held = Some((request, until));
            }
            Some(request) => {
                self.held = None;
                self.send(&request);
            }
            None => self.send_held(),
        }
    }

    fn send_held(&mut self) {
        if let Some((request, _)) = self.held.take() {
            self.send(&request);
        }
    }

    fn send(&mut self, request: &AppendEntriesRequest<Types>) {
        let frame = self.enter(request);
        if let Some(opened) = &self.opened {
            // It has room for all that may be under way, and its end shows in the replies.
            drop(opened.frames.try_send(frame));
        }
    }

    async fn open(&mut self, first: AppendEntriesRequest<Types>) -> Result<(), RPCError<Types>> {
        let (frames, outgoing) = mpsc::channel(APPENDS_IN_FLIGHT_MAX);
        let frame = self.enter(&first);
        let deadline = self.under_way.front().map(|it| it.deadline);
        drop(frames.try_send(frame));
        let (mut client, line) = self.dialer.client(self.to.node, &self.to.address);
        let opening = client.append(ReceiverStream::new(outgoing));
        match timeout_at(deadline.unwrap_or_else(Instant::now), opening).await {
            Ok(Ok(replies)) => {
                let replies = replies.into_inner();
                self.opened = Some(Opened {
                    frames,
                    replies,
                    line,
                });
                Ok(())
            }
            Ok(Err(status)) => {
                self.dialer.note(self.to.node, line, &status);
                Err(unreachable(&status).into())
            }
            Err(_) => Err(late(self.within).into()),
        }
    }

    /// Notes that it is under way.
    fn enter(&mut self, request: &AppendEntriesRequest<Types>) -> Frame {
        let prev = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id).or(prev);
        let patience = if request.entries.is_empty() {
            self.within
        } else {
            self.within.max(APPEND_PATIENCE)
        };
        let deadline = Instant::now() + patience;
        // Answers come in order: whoever waits behind another has its time too.
        let before = self.under_way.back().map(|it| it.deadline);
        self.under_way.push_back(UnderWay {
            prev,
            last,
            deadline: before.map_or(deadline, |before| before.max(deadline)),
        });
        self.to
            .frame(&self.dialer, Kind::AppendEntries, encode_payload(request))
    }

    fn take(&mut self, reply: Result<Option<Frame>, Status>) -> Answer {
        let reply = reply
            .and_then(|reply| reply.ok_or_else(|| Status::unavailable("it closed the stream")));
        let frame = match reply {
            Ok(frame) => frame,
            Err(status) => {
                if let Some(opened) = &self.opened {
                    self.dialer.note(self.to.node, opened.line, &status);
                }
                return Err(unreachable(&status).into());
            }
        };
        let Some(UnderWay { prev, last, .. }) = self.under_way.pop_front() else {
            let status = Status::new(Code::Internal, "it answers what it was not asked");
            return Err(unreachable(&status).into());
        };
        let answer: AppendEntriesResponse<Types> =
            decode_payload(frame.format, &frame.payload).map_err(|error| garbled(&error))?;
        if matches!(answer, AppendEntriesResponse::Conflict) && prev.is_none() {
            let status = Status::new(Code::Internal, "it refuses to begin at the beginning");
            return Err(unreachable(&status).into());
        }
        // What follows a request that was half done has nothing to follow.
        self.has_failed = matches!(answer, AppendEntriesResponse::PartialSuccess(_));
        Ok(answer.into_stream_result(prev, last))
    }
}
