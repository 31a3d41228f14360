//! `AccessService`: who may do what.

use super::convert;
use crate::context::NodeContext;
use conclave_core::{Action, Change, Grant};
use conclave_proto::v1::{self as wire, access_service_server::AccessService};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct AccessApi(pub(crate) Arc<NodeContext>);

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn grant(
        &self,
        request: Request<wire::GrantRequest>,
    ) -> Result<Response<wire::GrantResponse>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        let grant = convert::grant(request.into_inner().grant)?;
        self.0.write(&caller, Change::Grant(grant)).await?;
        Ok(Response::new(wire::GrantResponse {}))
    }

    async fn revoke(
        &self,
        request: Request<wire::RevokeRequest>,
    ) -> Result<Response<wire::RevokeResponse>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        let grant = convert::grant(request.into_inner().grant)?;
        self.0.write(&caller, Change::Revoke(grant)).await?;
        Ok(Response::new(wire::RevokeResponse {}))
    }

    async fn list_grants(
        &self,
        request: Request<wire::ListGrantsRequest>,
    ) -> Result<Response<wire::ListGrantsResponse>, Status> {
        let caller = self.0.admit(&request, &[])?;
        let asked = request.into_inner();
        let principal = match asked.principal.as_str() {
            "" => None,
            name => Some(convert::principal(name)?),
        };
        let replica = self
            .0
            .read(&caller, convert::consistency(asked.consistency)?)
            .await?;
        let grants = replica.with_state(|state| {
            let access = state.access();
            let seen = |grant: &&Grant| {
                grant.principal == caller.principal
                    || access.permits(&caller.principal, Action::ManageAccess, &grant.scope)
            };
            let of = |grant: &&Grant| principal.as_ref().is_none_or(|p| *p == grant.principal);
            access
                .grants()
                .filter(of)
                .filter(seen)
                .map(convert::wire_grant)
                .collect()
        });
        Ok(Response::new(wire::ListGrantsResponse { grants }))
    }

    async fn who_am_i(
        &self,
        request: Request<wire::WhoAmIRequest>,
    ) -> Result<Response<wire::WhoAmIResponse>, Status> {
        let caller = self.0.admit(&request, &[])?;
        let replica = self
            .0
            .read(&caller, wire::ReadConsistency::Linearizable)
            .await?;
        let own = |grant: &&Grant| grant.principal == caller.principal;
        let grants = replica.with_state(|state| {
            state
                .access()
                .grants()
                .filter(own)
                .map(convert::wire_grant)
                .collect()
        });
        Ok(Response::new(wire::WhoAmIResponse {
            principal: caller.principal.to_string(),
            grants,
        }))
    }
}
