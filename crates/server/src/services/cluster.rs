//! `ClusterService`: the nodes and how they are.

use crate::context::NodeContext;
use crate::replica_slot::Slot;
use conclave_proto::v1::{self as wire, cluster_service_server::ClusterService};
use conclave_raft::Role;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct ClusterApi(pub(crate) Arc<NodeContext>);

fn role(role: Role) -> wire::RaftRole {
    match role {
        Role::Leader => wire::RaftRole::Leader,
        Role::Follower => wire::RaftRole::Follower,
        Role::Candidate => wire::RaftRole::Candidate,
        Role::Learner => wire::RaftRole::Learner,
        Role::Stopped => wire::RaftRole::Stopped,
    }
}

impl ClusterApi {
    fn status_now(&self) -> wire::NodeStatus {
        let context = &self.0;
        let config = &context.config;
        let common = wire::NodeStatus {
            cluster_id: config.cluster.as_bytes().to_vec(),
            node_id: config.node.0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hsm: context.env.hsm.description(),
            uptime_ms: u64::try_from(context.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            uses_total: context.pipeline.recorded(),
            refused_connections_total: context.env.network.refused_connections(),
            role: wire::RaftRole::Stopped.into(),
            seal: context.seal.state(false).into(),
            ..wire::NodeStatus::default()
        };
        let replica = match context.replica.peek() {
            Slot::Running(replica) => replica,
            Slot::Failed(storage_fault) => {
                return wire::NodeStatus {
                    storage_fault,
                    ..common
                };
            }
        };
        let status = replica.status();
        let (audit_size, audit_root, has_custody) = replica.with_state(|state| {
            (
                state.audit().size(),
                state.audit().root().to_vec(),
                state.custody().is_some(),
            )
        });
        wire::NodeStatus {
            role: role(status.role).into(),
            term: status.term,
            leader_id: status.leader.map_or(0, |leader| leader.0),
            last_log_index: status.last_log,
            committed_index: status.committed,
            applied_index: status.applied,
            snapshot_index: status.snapshot,
            seal: context.seal.state(has_custody).into(),
            audit_size,
            audit_root,
            storage_fault: status.fault.unwrap_or_default(),
            log_syncs_total: replica.log_syncs(),
            ..common
        }
    }
}

#[tonic::async_trait]
impl ClusterService for ClusterApi {
    async fn status(
        &self,
        request: Request<wire::ClusterStatusRequest>,
    ) -> Result<Response<wire::NodeStatus>, Status> {
        self.0.admit(&request, &[])?;
        Ok(Response::new(self.status_now()))
    }

    async fn members(
        &self,
        request: Request<wire::MembersRequest>,
    ) -> Result<Response<wire::MembersResponse>, Status> {
        self.0.admit(&request, &[])?;
        let config = &self.0.config;
        let leader = self
            .0
            .replica
            .get()
            .ok()
            .and_then(|replica| replica.status().leader);
        let members = config.members.iter().map(|(id, member)| wire::Member {
            node_id: id.0,
            name: member.name.clone(),
            api_address: member.api.clone(),
            peer_address: member.peer.clone(),
            voter: true,
            leader: leader == Some(*id),
        });
        let cluster_id = config.cluster.as_bytes().to_vec();
        Ok(Response::new(wire::MembersResponse {
            cluster_id,
            members: members.collect(),
        }))
    }
}
