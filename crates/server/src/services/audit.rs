//! `AuditService`: the audit log as it is on this node.

use super::{convert, proofs};
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::TAIL_POLL;
use conclave_core::{Action, AuditSequence, Scope};
use conclave_proto::store::v1::AuditRecord;
use conclave_proto::v1::{self as wire, audit_service_server::AuditService};
use conclave_raft::Replica;
use prost::Message as _;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Records read at once for a stream.
const TAIL_PAGE: usize = 100;

/// The service.
pub(crate) struct AuditApi(pub(crate) Arc<NodeContext>);

impl AuditApi {
    async fn reader(
        &self,
        caller: &Caller,
        consistency: wire::ReadConsistency,
    ) -> Result<Replica, ServiceError> {
        let replica = self.0.read(caller, consistency).await?;
        check(&replica, caller)?;
        Ok(replica)
    }
}

fn check(replica: &Replica, caller: &Caller) -> Result<(), ServiceError> {
    replica.with_state(|state| {
        NodeContext::require(state.access(), caller, Action::ReadAudit, &Scope::All)
    })
}

fn page(
    replica: &Replica,
    start: u64,
    limit: usize,
) -> Result<Vec<wire::AuditEntry>, ServiceError> {
    let entry = |(sequence, leaf): (AuditSequence, Vec<u8>)| wire::AuditEntry {
        sequence: sequence.0,
        record: AuditRecord::decode(leaf.as_slice()).ok(),
        leaf,
    };
    let records = replica.audit_records(AuditSequence(start), limit)?;
    Ok(records.into_iter().map(entry).collect())
}

/// Sends records as they come, until the caller hangs up, loses the right to see them, or the node stops.
async fn tail(
    context: Arc<NodeContext>,
    caller: Caller,
    mut next: u64,
    entries: mpsc::Sender<Result<wire::AuditEntry, Status>>,
) {
    loop {
        let found = context.replica.get().and_then(|replica| {
            check(&replica, &caller)?;
            page(&replica, next, TAIL_PAGE)
        });
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                drop(entries.send(Err(error.into())).await);
                return;
            }
        };
        let idle = found.is_empty();
        for entry in found {
            next = entry.sequence.saturating_add(1);
            if entries.send(Ok(entry)).await.is_err() {
                return;
            }
        }
        if idle {
            tokio::select! {
                biased;
                () = entries.closed() => return,
                () = tokio::time::sleep(TAIL_POLL) => {}
            }
        }
    }
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list(
        &self,
        request: Request<wire::ListAuditRequest>,
    ) -> Result<Response<wire::ListAuditResponse>, Status> {
        let caller = self.0.admit(&request, &[])?;
        let asked = request.into_inner();
        let limit = convert::page_size(asked.page_size)?;
        let replica = self
            .reader(&caller, convert::consistency(asked.consistency)?)
            .await?;
        let size = replica.with_state(|state| state.audit().size());
        let start = if asked.newest {
            size.saturating_sub(u64::try_from(limit).unwrap_or(u64::MAX))
        } else {
            asked.start
        };
        let entries = page(&replica, start, limit)?;
        Ok(Response::new(wire::ListAuditResponse { entries, size }))
    }

    type TailStream = ReceiverStream<Result<wire::AuditEntry, Status>>;

    async fn tail(
        &self,
        request: Request<wire::TailAuditRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let caller = self.0.admit(&request, &[])?;
        let asked = request.into_inner();
        let replica = self
            .reader(&caller, wire::ReadConsistency::Linearizable)
            .await?;
        let size = replica.with_state(|state| state.audit().size());
        let start = if asked.from_end { size } else { asked.start };
        let (entries, stream) = mpsc::channel(TAIL_PAGE);
        tokio::spawn(tail(self.0.clone(), caller, start, entries));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn prove_records(
        &self,
        request: Request<wire::ProveRecordsRequest>,
    ) -> Result<Response<wire::RecordProofs>, Status> {
        let caller = self.0.admit(&request, &[])?;
        let asked = request.into_inner();
        let records = proofs::records(&asked.sequences)?;
        let replica = self
            .reader(&caller, convert::consistency(asked.consistency)?)
            .await?;
        Ok(Response::new(proofs::prove(&self.0, &replica, &records)?))
    }

    async fn root(
        &self,
        request: Request<wire::AuditRootRequest>,
    ) -> Result<Response<wire::AuditRoot>, Status> {
        let caller = self.0.admit(&request, &[])?;
        let asked = request.into_inner();
        let replica = self
            .reader(&caller, convert::consistency(asked.consistency)?)
            .await?;
        let (size, root, verifier_key) = replica.with_state(|state| {
            let key = state
                .custody()
                .map(|custody| custody.audit_verifier_key.clone());
            (
                state.audit().size(),
                state.audit().root(),
                key.unwrap_or_default(),
            )
        });
        let checkpoint = self.0.seal.unsealed().map(|it| it.checkpoint(size, &root));
        Ok(Response::new(wire::AuditRoot {
            size,
            root_hash: root.to_vec(),
            applied_index: replica.status().applied,
            checkpoint: checkpoint.unwrap_or_default(),
            verifier_key,
        }))
    }
}
