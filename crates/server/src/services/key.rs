//! `KeyService`: the life of keys.

use super::convert;
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::WRITE_CONFLICTS_MAX;
use crate::rotation::NextVersion;
use conclave_core::{
    Action, Change, Denial, KeyId, Refusal, Scope, State, Transition, VersionNumber, Written,
};
use conclave_proto::v1::{self as wire, key_service_server::KeyService};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct KeyApi(pub(crate) Arc<NodeContext>);

impl KeyApi {
    async fn create(
        &self,
        caller: &Caller,
        asked: wire::CreateKeyRequest,
    ) -> Result<wire::Key, ServiceError> {
        let spec = convert::key_spec(asked)?;
        let context = &self.0;
        let mut id = [0; 16];
        context.env.entropy.fill(&mut id);
        let id = KeyId(id);
        let unsealed = context.seal.unsealed()?;
        let (algorithm, protection) = (spec.algorithm, spec.protection);
        let first = VersionNumber(1);
        let material = unsealed
            .generate(&context.env, id, first, algorithm, protection)
            .await?;
        let change = Change::CreateKey {
            spec,
            id,
            set: unsealed.set(),
            material: Box::new(material),
        };
        match context.write(caller, change).await {
            // Another ceremony replaced the root key, and this node is about to seal itself.
            Err(ServiceError::Refused(Refusal::Conflict)) => Err(ServiceError::Contended),
            answer => self.key_of(answer?),
        }
    }

    /// The material is bound to the version that it is to be; if another rotation was quicker, it is made anew.
    async fn rotate(
        &self,
        caller: &Caller,
        asked: wire::RotateKeyRequest,
    ) -> Result<wire::Key, ServiceError> {
        let name = convert::key_name(&asked.name)?;
        let context = &self.0;
        for _ in 0..WRITE_CONFLICTS_MAX {
            let replica = context.replica.get()?;
            let next = replica.with_state(|state| state.key(&name).map(NextVersion::of));
            let next = next.unwrap_or_else(|| NextVersion::unknown(name.clone()));
            let change = next.make(context).await?;
            match context.write(caller, change).await {
                Err(ServiceError::Refused(Refusal::Conflict)) => {
                    context.catch_up(&replica, caller.deadline).await?;
                }
                answer => return self.key_of(answer?),
            }
        }
        Err(ServiceError::Contended)
    }

    async fn transition(
        &self,
        request: Request<wire::TransitionRequest>,
        transition: Transition,
    ) -> Result<Response<wire::Key>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        let asked = request.into_inner();
        let name = convert::key_name(&asked.name)?;
        let version = convert::version(asked.version);
        let change = Change::Transition {
            name,
            version,
            transition,
        };
        let written = self.0.write(&caller, change).await?;
        Ok(Response::new(self.key_of(written)?))
    }

    async fn set_rotation(
        &self,
        caller: &Caller,
        asked: wire::SetKeyRotationRequest,
    ) -> Result<wire::Key, ServiceError> {
        let change = Change::SetRotation {
            name: convert::key_name(&asked.name)?,
            every: asked
                .rotation_period
                .map(convert::rotation_period)
                .transpose()?,
        };
        self.key_of(self.0.write(caller, change).await?)
    }

    async fn schedule_destruction(
        &self,
        caller: &Caller,
        asked: wire::ScheduleKeyDestructionRequest,
    ) -> Result<wire::Key, ServiceError> {
        let unused_for = self.0.config.keys.unused_before_destruction();
        let change = Change::ScheduleDestruction {
            name: convert::key_name(&asked.name)?,
            version: convert::version(asked.version),
            after: convert::waiting_period(asked.waiting_period)?,
            unused_for_ms: (!asked.force).then_some(unused_for),
        };
        self.key_of(self.0.write(caller, change).await?)
    }

    pub(super) fn erasure<'a>(&'a self, state: &'a State) -> convert::Erasure<'a> {
        convert::Erasure {
            state,
            members: &self.0.config.members,
        }
    }

    pub(super) fn key_of(&self, written: Written) -> Result<wire::Key, ServiceError> {
        let Written::Key(view) = written else {
            return Err(ServiceError::Outdated);
        };
        let replica = self.0.replica.get()?;
        Ok(replica.with_state(|state| convert::key(*view, self.erasure(state))))
    }

    /// The public half of a version. It takes no key, so that a sealed node answers too.
    async fn public_key(
        &self,
        caller: &Caller,
        asked: wire::GetPublicKeyRequest,
    ) -> Result<wire::PublicKey, ServiceError> {
        let name = convert::key_name(&asked.name)?;
        let replica = self
            .0
            .read(caller, convert::consistency(asked.consistency)?)
            .await?;
        replica.with_state(|state| {
            let scope = Scope::Keyring(name.keyring());
            NodeContext::require(state.access(), caller, Action::ReadKey, &scope)?;
            let (key, _) = state
                .named(&name)
                .ok_or_else(|| Denial::KeyNotFound(name.clone()))?;
            let version = convert::version(asked.version).unwrap_or(key.info.primary);
            let found = key
                .versions
                .get(version)
                .ok_or_else(|| Denial::VersionNotFound {
                    name: name.clone(),
                    version,
                })?;
            let public = found.public.as_deref().ok_or_else(|| Denial::NoPublicKey {
                name: name.clone(),
                algorithm: key.info.algorithm,
            })?;
            convert::public_key(&key.info, version, public)
        })
    }

    async fn get(
        &self,
        caller: &Caller,
        asked: wire::GetKeyRequest,
    ) -> Result<wire::Key, ServiceError> {
        let name = convert::key_name(&asked.name)?;
        let replica = self
            .0
            .read(caller, convert::consistency(asked.consistency)?)
            .await?;
        replica.with_state(|state| {
            let scope = Scope::Keyring(name.keyring());
            NodeContext::require(state.access(), caller, Action::ReadKey, &scope)?;
            let missing = || Denial::KeyNotFound(name.clone());
            let (key, _) = state.named(&name).ok_or_else(missing)?;
            Ok(self.shown(state, key))
        })
    }
}

/// A write: let in under its request id, done, answered.
macro_rules! written {
    ($self:ident, $request:ident, $work:ident) => {{
        let caller = $self.0.admit(&$request, &$request.get_ref().request_id)?;
        let answer = $self.$work(&caller, $request.into_inner()).await?;
        Ok(Response::new(answer))
    }};
}

/// The same of a read.
macro_rules! read {
    ($self:ident, $request:ident, $work:ident) => {{
        let caller = $self.0.admit(&$request, &[])?;
        let answer = $self.$work(&caller, $request.into_inner()).await?;
        Ok(Response::new(answer))
    }};
}

#[tonic::async_trait]
impl KeyService for KeyApi {
    async fn create_key(
        &self,
        request: Request<wire::CreateKeyRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        Ok(Response::new(
            self.create(&caller, request.into_inner()).await?,
        ))
    }

    async fn get_key(
        &self,
        request: Request<wire::GetKeyRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        let caller = self.0.admit(&request, &[])?;
        Ok(Response::new(
            self.get(&caller, request.into_inner()).await?,
        ))
    }

    async fn list_keys(
        &self,
        request: Request<wire::ListKeysRequest>,
    ) -> Result<Response<wire::ListKeysResponse>, Status> {
        let caller = self.0.admit(&request, &[])?;
        Ok(Response::new(
            self.list(&caller, request.into_inner()).await?,
        ))
    }

    async fn get_public_key(
        &self,
        request: Request<wire::GetPublicKeyRequest>,
    ) -> Result<Response<wire::PublicKey>, Status> {
        let caller = self.0.admit(&request, &[])?;
        Ok(Response::new(
            self.public_key(&caller, request.into_inner()).await?,
        ))
    }

    async fn rotate_key(
        &self,
        request: Request<wire::RotateKeyRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        Ok(Response::new(
            self.rotate(&caller, request.into_inner()).await?,
        ))
    }

    async fn activate_key(
        &self,
        request: Request<wire::TransitionRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        self.transition(request, Transition::Activate).await
    }

    async fn suspend_key(
        &self,
        request: Request<wire::TransitionRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        self.transition(request, Transition::Suspend).await
    }

    async fn resume_key(
        &self,
        request: Request<wire::TransitionRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        self.transition(request, Transition::Resume).await
    }

    async fn deactivate_key(
        &self,
        request: Request<wire::TransitionRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        self.transition(request, Transition::Deactivate).await
    }

    async fn mark_key_compromised(
        &self,
        request: Request<wire::TransitionRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        self.transition(request, Transition::MarkCompromised).await
    }

    async fn set_key_rotation(
        &self,
        request: Request<wire::SetKeyRotationRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        Ok(Response::new(
            self.set_rotation(&caller, request.into_inner()).await?,
        ))
    }

    async fn schedule_key_destruction(
        &self,
        request: Request<wire::ScheduleKeyDestructionRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        let caller = self.0.admit(&request, &request.get_ref().request_id)?;
        Ok(Response::new(
            self.schedule_destruction(&caller, request.into_inner())
                .await?,
        ))
    }

    async fn cancel_key_destruction(
        &self,
        request: Request<wire::TransitionRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        self.transition(request, Transition::CancelDestruction)
            .await
    }

    async fn create_import_job(
        &self,
        request: Request<wire::CreateImportJobRequest>,
    ) -> Result<Response<wire::ImportJob>, Status> {
        written!(self, request, new_import_job)
    }

    async fn get_import_job(
        &self,
        request: Request<wire::GetImportJobRequest>,
    ) -> Result<Response<wire::ImportJob>, Status> {
        read!(self, request, import_job)
    }

    async fn list_import_jobs(
        &self,
        request: Request<wire::ListImportJobsRequest>,
    ) -> Result<Response<wire::ListImportJobsResponse>, Status> {
        read!(self, request, import_jobs)
    }

    async fn import_key(
        &self,
        request: Request<wire::ImportKeyRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        written!(self, request, import)
    }

    async fn set_rewrap_policy(
        &self,
        request: Request<wire::SetRewrapPolicyRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        written!(self, request, set_rewrap_policy)
    }

    async fn rewrap_data_keys(
        &self,
        request: Request<wire::RewrapDataKeysRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        written!(self, request, request_rewrap)
    }

    async fn get_data_key(
        &self,
        request: Request<wire::GetDataKeyRequest>,
    ) -> Result<Response<wire::DataKey>, Status> {
        read!(self, request, data_key)
    }

    async fn list_data_keys(
        &self,
        request: Request<wire::ListDataKeysRequest>,
    ) -> Result<Response<wire::ListDataKeysResponse>, Status> {
        read!(self, request, list_data_keys)
    }

    async fn delete_data_key(
        &self,
        request: Request<wire::DeleteDataKeyRequest>,
    ) -> Result<Response<wire::DeleteDataKeyResponse>, Status> {
        written!(self, request, delete_data_key)
    }

    async fn update_key_labels(
        &self,
        request: Request<wire::UpdateKeyLabelsRequest>,
    ) -> Result<Response<wire::Key>, Status> {
        written!(self, request, update_labels)
    }

    async fn create_alias(
        &self,
        request: Request<wire::CreateAliasRequest>,
    ) -> Result<Response<wire::Alias>, Status> {
        written!(self, request, make_alias)
    }

    async fn update_alias(
        &self,
        request: Request<wire::UpdateAliasRequest>,
    ) -> Result<Response<wire::UpdateAliasResponse>, Status> {
        written!(self, request, move_alias)
    }

    async fn delete_alias(
        &self,
        request: Request<wire::DeleteAliasRequest>,
    ) -> Result<Response<wire::DeleteAliasResponse>, Status> {
        written!(self, request, remove_alias)
    }

    async fn list_aliases(
        &self,
        request: Request<wire::ListAliasesRequest>,
    ) -> Result<Response<wire::ListAliasesResponse>, Status> {
        read!(self, request, aliases)
    }

    async fn get_key_history(
        &self,
        request: Request<wire::GetKeyHistoryRequest>,
    ) -> Result<Response<wire::GetKeyHistoryResponse>, Status> {
        read!(self, request, history)
    }

    async fn get_destruction_certificate(
        &self,
        request: Request<wire::GetDestructionCertificateRequest>,
    ) -> Result<Response<wire::DestructionCertificate>, Status> {
        read!(self, request, destruction_certificate)
    }
}
