//! `AuditService`.

use super::{limited, unary};
use crate::client::Client;
use crate::error::{CallFailure, ClientError};
use crate::retry::{Verdict, judge, pause};
use crate::v1;
use crate::v1::audit_service_client::AuditServiceClient;
use tonic::Streaming;

unary! { AuditServiceClient<_>:
    /// One page of records.
    list_audit = list(ListAuditRequest) -> ListAuditResponse;
    /// The size and the root of the log.
    audit_root = root(AuditRootRequest) -> AuditRoot;
    /// Records with what proves that they are in the log (see [`crate::proof`]).
    prove_records = prove_records(ProveRecordsRequest) -> RecordProofs;
}

impl Client {
    /// Records from `start` on, and then each as it is committed; without `start` only those to
    /// come.
    ///
    /// # Errors
    /// [`ClientError::Call`] if the end of the log was asked for and no node tells it in time.
    pub async fn audit_tail(&self, start: Option<u64>) -> Result<AuditTail, ClientError> {
        let next = match start {
            Some(start) => start,
            None => self.audit_root(v1::AuditRootRequest::default()).await?.size,
        };
        Ok(AuditTail {
            client: self.clone(),
            next,
            stream: None,
            failures: 0,
        })
    }
}

/// Records as they are committed, each once, in order, without gaps, whichever nodes fail
/// meanwhile.
pub struct AuditTail {
    client: Client,
    next: u64,
    stream: Option<Streaming<v1::AuditEntry>>,
    /// Streams that broke since the last record.
    failures: u32,
}

impl AuditTail {
    /// The next record. Waits for it as long as some node is there to tell; is cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::Call`] if it is refused, or no node answers within the client's deadline;
    /// [`ClientError::BadAnswer`] if the log has a gap.
    pub async fn next(&mut self) -> Result<v1::AuditEntry, ClientError> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => self.stream.insert(open(&self.client, self.next).await?),
            };
            match stream.message().await {
                Ok(Some(entry)) if entry.sequence == self.next => {
                    self.next += 1;
                    self.failures = 0;
                    return Ok(entry);
                }
                Ok(Some(_)) => {
                    return Err(ClientError::BadAnswer {
                        what: "the audit log has a gap",
                    });
                }
                Err(status) if judge(&status) == Verdict::Final => {
                    let address = self.client.endpoints().next().unwrap_or_default();
                    let failure = CallFailure::from_status(&status, address, self.failures + 1);
                    return Err(ClientError::Call(Box::new(failure)));
                }
                Ok(None) | Err(_) => self.broken().await,
            }
        }
    }

    /// The node stops or was lost: after a pause the next one is asked, and says what there is to
    /// say.
    async fn broken(&mut self) {
        self.stream = None;
        self.failures += 1;
        self.client.leave_current();
        let [jitter] = self.client.random();
        tokio::time::sleep(pause(self.failures, jitter)).await;
    }
}

async fn open(client: &Client, start: u64) -> Result<Streaming<v1::AuditEntry>, ClientError> {
    let prepare = || v1::TailAuditRequest {
        start,
        from_end: false,
    };
    let invoke = |channel, request: tonic::Request<_>| async move {
        // The stream outlives the attempt: no deadline on the wire.
        let request = tonic::Request::new(request.into_inner());
        limited!(AuditServiceClient<_>, channel).tail(request).await
    };
    client.attempts(prepare, invoke).await
}
