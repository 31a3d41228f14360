//! One stream on one connection, which all uses of keys share: requests go out as they come, replies come back in any
//! order, and whoever waits for one is woken by its id.
//!
//! It ends with its connection, or when the node stops. Whoever still waits then is told why, and may ask another node
//! under the same request id.

use crate::calls::limited;
use crate::limits::{MESSAGE_BYTES_MAX, SESSION_REQUESTS_WAITING_MAX};
use crate::v1::crypto_service_client::CryptoServiceClient;
use crate::v1::{UseError, UseReply, UseRequest, use_reply, use_request};
use parking_lot::Mutex;
use prost::Message as _;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

type Answer = Result<use_reply::Result, Status>;

/// A stream to one node.
pub(crate) struct Session {
    requests: mpsc::Sender<UseRequest>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// In the order of their ids, so that a simulated run repeats itself.
    by_id: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// Why the session ended.
    end: Option<Status>,
}

/// A place among those who wait, given up when its owner stops waiting.
struct Place<'a> {
    waiting: &'a Mutex<Waiting>,
    id: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Session {
    /// Opens it in the background; requests may be made at once.
    pub(crate) fn open(channel: Channel) -> Self {
        let (requests, outgoing) = mpsc::channel(SESSION_REQUESTS_WAITING_MAX);
        let waiting = Arc::<Mutex<Waiting>>::default();
        let carried = Arc::clone(&waiting);
        tokio::spawn(async move {
            let end = carry(channel, outgoing, &carried).await;
            carried.lock().end(&end);
        });
        Self { requests, waiting }
    }

    /// Whether nothing more is answered on it.
    pub(crate) fn has_ended(&self) -> bool {
        self.waiting.lock().end.is_some()
    }

    /// Makes one request; waits as long as its caller does.
    ///
    /// # Errors
    /// What the node answered, or why it did not.
    pub(crate) async fn ask(
        &self,
        asked: use_request::Use,
        attempt: u32,
        time: Duration,
    ) -> Answer {
        let mut place = self.place()?;
        let request = UseRequest {
            id: place.id,
            attempt,
            timeout_ms: u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1),
            r#use: Some(asked),
        };
        // The stream carries others' requests too, and would break.
        let length = request.encoded_len();
        if length > MESSAGE_BYTES_MAX {
            let text = format!("{length} bytes, and a request has at most {MESSAGE_BYTES_MAX}");
            return Err(Status::out_of_range(text));
        }
        // Refused only by a session that ends, whose end is the answer.
        drop(self.requests.send(request).await);
        let answer = (&mut place.answer).await;
        answer.unwrap_or_else(|_| Err(Status::unavailable("the session ended")))
    }

    fn place(&self) -> Result<Place<'_>, Status> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if let Some(end) = &waiting.end {
            return Err(end.clone());
        }
        let id = waiting.next;
        waiting.next += 1;
        waiting.by_id.insert(id, sender);
        Ok(Place {
            waiting: &self.waiting,
            id,
            answer,
        })
    }
}

impl Waiting {
    fn settle(&mut self, reply: UseReply) {
        // Whoever stopped waiting has asked elsewhere.
        if let Some(waiter) = self.by_id.remove(&reply.id) {
            drop(waiter.send(result_of(reply.result)));
        }
    }

    fn end(&mut self, why: &Status) {
        self.end = Some(why.clone());
        for waiter in std::mem::take(&mut self.by_id).into_values() {
            drop(waiter.send(Err(why.clone())));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Answered: it was given up then.
        if !self.answer.is_terminated() {
            self.waiting.lock().by_id.remove(&self.id);
        }
    }
}

/// Opens the stream and hands out replies until it ends; says why it did.
async fn carry(
    channel: Channel,
    outgoing: mpsc::Receiver<UseRequest>,
    waiting: &Mutex<Waiting>,
) -> Status {
    let mut stub = limited!(CryptoServiceClient<_>, channel);
    let mut replies = match stub.session(ReceiverStream::new(outgoing)).await {
        Ok(opened) => opened.into_inner(),
        Err(status) => return status,
    };
    loop {
        match replies.message().await {
            Ok(Some(reply)) => waiting.lock().settle(reply),
            Ok(None) => return Status::unavailable("the node stops, and ended the session"),
            Err(status) => return status,
        }
    }
}

fn result_of(result: Option<use_reply::Result>) -> Answer {
    match result {
        Some(use_reply::Result::Error(error)) => Err(status_of(error)),
        Some(done) => Ok(done),
        None => Err(Status::internal(
            "a reply without a result that is known here",
        )),
    }
}

/// As a call of its own would have ended.
fn status_of(error: UseError) -> Status {
    let details = ErrorDetails::with_error_info(error.reason, "conclave.v1", HashMap::new());
    Status::with_error_details(Code::from_i32(error.code), error.message, details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::EncryptRequest;
    use tokio::time::timeout;

    #[tokio::test]
    async fn whoever_stops_waiting_is_forgotten() {
        let nowhere = tonic::transport::Endpoint::from_static("http://nowhere:1");
        let never = tower::service_fn(|_: tonic::transport::Uri| async {
            std::future::pending::<std::io::Result<hyper_util::rt::TokioIo<tokio::io::Empty>>>()
                .await
        });
        let session = Session::open(nowhere.connect_with_connector_lazy(never));
        let asked = || use_request::Use::Encrypt(EncryptRequest::default());
        let long = Duration::from_secs(60);
        let waits = (0..3).map(|_| session.ask(asked(), 0, long));
        let waits = futures::future::join_all(waits);
        assert!(timeout(Duration::from_millis(20), waits).await.is_err());
        assert!(session.waiting.lock().by_id.is_empty());
        assert!(!session.has_ended());
    }
}
