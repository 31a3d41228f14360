//! What all services of a node share.

use crate::caller::{Caller, Party, Terms};
use crate::config::Config;
use crate::error::ServiceError;
use crate::limits::CALLS_IN_FLIGHT_MAX;
use crate::pipeline::UsePipeline;
use crate::refusals::Refusals;
use crate::replica_slot::ReplicaSlot;
use crate::seal::Seal;
use conclave_core::planted::{Bug, is_planted};
use conclave_core::{
    Access, Action, Actor, Body, Change, Command, LogIndex, Outcome, Refusal, RequestId, Scope,
    Write, Written,
};
use conclave_env::Env;
use conclave_proto::v1::ReadConsistency;
use conclave_raft::{ProposeError, Replica};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

/// What all services of a node share.
pub struct NodeContext {
    /// As configured.
    pub config: Config,
    /// The outside.
    pub env: Env,
    /// Replication.
    pub replica: ReplicaSlot,
    /// Commits uses.
    pub pipeline: UsePipeline,
    /// Commits refused uses.
    pub refusals: Refusals,
    /// Sealed or not, and what that takes.
    pub seal: Seal,
    /// When the node started.
    pub started: Instant,
    /// Whether the node stops.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) calls: Arc<Semaphore>,
}

impl NodeContext {
    pub(crate) fn call_bound() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(CALLS_IN_FLIGHT_MAX))
    }

    /// Lets a call in and reads who calls.
    ///
    /// # Errors
    /// [`ServiceError::Overloaded`]; [`ServiceError::Forbidden`] if the connection is not a principal's;
    /// [`ServiceError::Invalid`] if the request id is none.
    pub fn admit<T>(
        &self,
        request: &tonic::Request<T>,
        request_id: &[u8],
    ) -> Result<Caller, ServiceError> {
        self.admit_one(&Party::of(request)?, &Terms::of(request, request_id))
    }

    /// Lets one of a party's requests in.
    ///
    /// # Errors
    /// [`ServiceError::Overloaded`], or as [`Caller::new`] has them.
    pub(crate) fn admit_one(
        &self,
        party: &Party,
        terms: &Terms<'_>,
    ) -> Result<Caller, ServiceError> {
        let permit = self.calls.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ServiceError::Overloaded {
            what: "calls under way",
        })?;
        Caller::new(party, terms, &*self.env.entropy, permit)
    }

    /// The replica, and with it the certainty that it has applied whatever was acknowledged before, if asked for.
    ///
    /// # Errors
    /// [`ServiceError::NoQuorum`] or [`ServiceError::Storage`].
    pub async fn read(
        &self,
        caller: &Caller,
        consistency: ReadConsistency,
    ) -> Result<Replica, ServiceError> {
        let replica = self.replica.get()?;
        match consistency {
            ReadConsistency::Local => {}
            ReadConsistency::Linearizable if is_planted(Bug::ReadWithoutIndex) => {}
            ReadConsistency::Linearizable => {
                self.catch_up(&replica, caller.deadline).await?;
            }
        }
        Ok(replica)
    }

    /// Waits until this node has applied whatever was acknowledged before the call.
    ///
    /// # Errors
    /// [`ServiceError::NoQuorum`] if that takes longer than until `deadline`; [`Refusal::NotFormed`] in the first
    /// moments of a cluster.
    pub async fn catch_up(
        &self,
        replica: &Replica,
        deadline: Instant,
    ) -> Result<LogIndex, ServiceError> {
        let index = replica.read_index(deadline).await;
        let index = index.map_err(|e| ServiceError::NoQuorum { why: e.to_string() })?;
        if replica.with_state(|state| state.cluster().is_none()) {
            return Err(ServiceError::Refused(Refusal::NotFormed));
        }
        Ok(index)
    }

    /// Refuses a caller who lacks the roles.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`].
    pub fn require(
        access: &Access,
        caller: &Caller,
        action: Action,
        scope: &Scope,
    ) -> Result<(), ServiceError> {
        if access.permits(&caller.principal, action, scope) {
            return Ok(());
        }
        let (action, takes) = match action {
            Action::ReadAudit => ("read the audit log", "admin or operator on '*'"),
            Action::ReadKey => ("see keys of this keyring", "a role on it"),
            Action::ManageAccess => ("see these grants", "admin on the keyring or on '*'"),
            Action::InitCustody => ("hold the ceremony", "admin on '*'"),
            Action::Seal | Action::Unseal => (
                "seal or unseal nodes",
                "a custodian, or admin or operator on '*'",
            ),
            Action::CreateKey | Action::RotateKey | Action::ChangeState | Action::LabelKey => {
                ("change keys of this keyring", "admin or operator on it")
            }
            Action::ManageAliases => ("change aliases of this keyring", "admin on it"),
            Action::ExportKey => ("export keys of this keyring", "admin on it"),
            Action::DestroyKey => ("destroy keys of this keyring", "admin on it"),
            Action::UseKey => ("use keys", "the role user on the keyring"),
            Action::UseCompromised => (
                "use what is compromised",
                "the role use-compromised on the keyring",
            ),
        };
        Err(ServiceError::Forbidden { action, takes })
    }

    /// Commits a caller's write; under the same request id again if its answer was lost.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] if the rules refuse it, else why it could not be committed.
    pub async fn write(&self, caller: &Caller, change: Change) -> Result<Written, ServiceError> {
        self.write_as(caller, caller.actor(), change, caller.deadline)
            .await
    }

    /// Commits what befalls the node itself.
    ///
    /// # Errors
    /// As [`NodeContext::write`].
    pub async fn write_as_node(
        &self,
        change: Change,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        let mut request = [0; 16];
        self.env.entropy.fill(&mut request);
        let write = Write {
            request: RequestId(request),
            attempt: 0,
            actor: Actor::Node,
            source: String::new(),
            change,
        };
        self.propose_write(write, deadline).await
    }

    async fn write_as(
        &self,
        caller: &Caller,
        actor: Actor,
        change: Change,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        let (request, attempt, source) = (caller.request, caller.attempt, caller.source.clone());
        self.propose_write(
            Write {
                request,
                attempt,
                actor,
                source,
                change,
            },
            deadline,
        )
        .await
    }

    async fn propose_write(
        &self,
        write: Write,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        // What the log would not know for the same is not proposed again.
        let repeatable = write.actor != Actor::Node && write.change.is_remembered();
        let (node, time) = (self.config.node, self.env.clock.now());
        let command = Command {
            node,
            time,
            body: Body::Write(write),
        };
        if is_planted(Bug::AcknowledgeBeforeCommit) && is_access(&command) {
            let replica = self.replica.get()?;
            tokio::spawn(async move { drop(replica.propose(&command, deadline).await) });
            return Ok(Written::Done);
        }
        let mut pause = Duration::from_millis(10);
        loop {
            let why = match self.replica.get()?.propose(&command, deadline).await {
                Ok(Outcome::Written(answer)) => return Ok(answer?),
                Ok(Outcome::None | Outcome::Verdicts(_) | Outcome::BatchRefused) => {
                    return Err(ServiceError::Outdated);
                }
                Err(ProposeError::NotProposed { why }) => {
                    return Err(ServiceError::NoQuorum { why });
                }
                Err(ProposeError::Stopped { fault }) => {
                    return Err(ServiceError::Storage { fault });
                }
                Err(ProposeError::Unknown { why }) => why,
            };
            if !repeatable || Instant::now() + pause >= deadline {
                return Err(ServiceError::Unknown { why });
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

/// For a planted bug only.
fn is_access(command: &Command) -> bool {
    let is_access = |write: &Write| matches!(write.change, Change::Grant(_) | Change::Revoke(_));
    matches!(&command.body, Body::Write(write) if is_access(write))
}
