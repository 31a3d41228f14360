//! `CustodyService`: ceremony, unseal, seal.

use crate::context::NodeContext;
use crate::custody::{self, SubmittedShare};
use crate::error::ServiceError;
use conclave_core::{ClusterId, CustodianName, SetId};
use conclave_crypto::Share;
use conclave_proto::v1::{self as wire, custody_service_server::CustodyService};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use zeroize::Zeroize as _;

/// Bytes of a reason to seal.
const REASON_BYTES_MAX: usize = 256;

/// The service.
pub(crate) struct CustodyApi(pub(crate) Arc<NodeContext>);

impl CustodyApi {
    fn status_now(&self) -> wire::CustodyStatus {
        let context = &self.0;
        let held = context.replica.get().ok();
        let held = held.and_then(|replica| replica.with_state(|state| state.custody().cloned()));
        let common = wire::CustodyStatus {
            state: context.seal.state(held.is_some()).into(),
            node_id: context.config.node.0,
            cluster_id: context.config.cluster.as_bytes().to_vec(),
            seal_reason: context.seal.reason().unwrap_or_default(),
            ..wire::CustodyStatus::default()
        };
        let Some(custody) = held else { return common };
        let set = custody.set;
        let custodian = |it: conclave_core::Custodian| wire::Custodian {
            name: it.name.to_string(),
            recipient: it.recipient,
        };
        wire::CustodyStatus {
            threshold: custody.threshold.into(),
            generation: custody.generation.0,
            set_id: set.as_bytes().to_vec(),
            custodians: custody.custodians.into_iter().map(custodian).collect(),
            attempt: self.attempt_now(set),
            ..common
        }
    }

    fn attempt_now(&self, set: SetId) -> Option<wire::UnsealAttempt> {
        let slot = self.0.seal.attempt.lock();
        let attempt = slot.as_ref().filter(|attempt| attempt.is_current(set))?;
        let left = attempt
            .expires_at()
            .saturating_duration_since(tokio::time::Instant::now());
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let at = conclave_core::TimeMs(self.0.env.clock.now().0.saturating_add(left_ms));
        Some(wire::UnsealAttempt {
            attempt_id: attempt.id.as_bytes().to_vec(),
            submitted_by: attempt.shares.keys().map(ToString::to_string).collect(),
            expires_at: Some(super::convert::timestamp(at)),
        })
    }
}

fn parse_custodian(it: wire::Custodian) -> Result<(CustodianName, String), ServiceError> {
    let name =
        CustodianName::new(&it.name).map_err(|e| ServiceError::invalid("custodians.name", e))?;
    Ok((name, it.recipient))
}

/// Takes the share out of the request, whose own copy is wiped.
fn take_share(asked: &mut wire::SubmitShareRequest) -> SubmittedShare {
    let share = Share::from_bytes(&asked.share).map_err(|e| e.to_string());
    asked.share.zeroize();
    SubmittedShare {
        custodian: std::mem::take(&mut asked.custodian),
        cluster: ClusterId::from_slice(&asked.cluster_id),
        set: SetId::from_slice(&asked.set_id),
        generation: asked.generation,
        share,
    }
}

#[tonic::async_trait]
impl CustodyService for CustodyApi {
    async fn init(
        &self,
        request: Request<wire::InitRequest>,
    ) -> Result<Response<wire::InitResponse>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        let asked = request.into_inner();
        let threshold = u8::try_from(asked.threshold)
            .map_err(|_| ServiceError::invalid("threshold", "2 to the number of custodians"))?;
        let custodians: Result<Vec<_>, _> =
            asked.custodians.into_iter().map(parse_custodian).collect();
        let held = custody::hold_ceremony(&self.0, &caller, custodians?, threshold).await?;
        let share = |(name, share): (CustodianName, Vec<u8>)| wire::EncryptedShare {
            custodian: name.to_string(),
            share,
        };
        Ok(Response::new(wire::InitResponse {
            shares: held.shares.into_iter().map(share).collect(),
            threshold: held.custody.threshold.into(),
            generation: held.custody.generation.0,
            set_id: held.custody.set.as_bytes().to_vec(),
            audit_public_key: held.custody.audit_verifier_key,
        }))
    }

    async fn submit_share(
        &self,
        request: Request<wire::SubmitShareRequest>,
    ) -> Result<Response<wire::SubmitShareResponse>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        let share = take_share(&mut request.into_inner());
        custody::submit(&self.0, &caller, share).await?;
        Ok(Response::new(wire::SubmitShareResponse {
            status: Some(self.status_now()),
        }))
    }

    async fn cancel(
        &self,
        request: Request<wire::CancelRequest>,
    ) -> Result<Response<wire::CancelResponse>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        custody::cancel(&self.0, &caller, &request.into_inner().attempt_id).await?;
        Ok(Response::new(wire::CancelResponse {
            status: Some(self.status_now()),
        }))
    }

    async fn seal(
        &self,
        request: Request<wire::SealRequest>,
    ) -> Result<Response<wire::SealResponse>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        let reason = request.into_inner().reason;
        if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            let rule = format!("at most {REASON_BYTES_MAX} bytes without control characters");
            return Err(ServiceError::invalid("reason", rule).into());
        }
        custody::seal(&self.0, &caller, reason).await?;
        Ok(Response::new(wire::SealResponse {
            status: Some(self.status_now()),
        }))
    }

    async fn status(
        &self,
        request: Request<wire::CustodyStatusRequest>,
    ) -> Result<Response<wire::CustodyStatus>, Status> {
        self.0.admit(&request, &[])?;
        Ok(Response::new(self.status_now()))
    }
}
