//! Commit-gated use: decide, compute, commit the record, and only then release the result (docs/adr/0002).

use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::DECISIONS_MAX;
use crate::unsealed::{Unsealed, VersionRef};
use async_trait::async_trait;
use conclave_core::{
    Algorithm, DataKeyUse, Denial, Direction, EncryptionContext, Key, KeyId, KeyName, Operation,
    Protection, Revision, State, UsePermit, UseRecord, UsedKey, Verdict, VersionNumber, Wrapped,
};
use conclave_raft::Replica;

/// A use that is decided and computed. The result stays in here until the record is committed.
pub(crate) struct Prepared<T> {
    pub(crate) key: Option<UsedKey>,
    pub(crate) destination: Option<UsedKey>,
    pub(crate) access_revision: Revision,
    pub(crate) count: u32,
    pub(crate) result: Result<T, ServiceError>,
}

impl<T> Prepared<T> {
    /// Of so many items under one key.
    pub(crate) fn of(
        key: UsedKey,
        access_revision: Revision,
        count: usize,
        result: Result<T, ServiceError>,
    ) -> Self {
        Self {
            key: Some(key),
            destination: None,
            access_revision,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            result,
        }
    }
}

/// One use.
#[async_trait]
pub(crate) trait Use: Send {
    /// What is released once the record is committed.
    type Result: Send;

    /// What is done.
    fn operation(&self) -> Operation;

    /// The encryption context that it is bound to.
    fn context(&self) -> &EncryptionContext;

    /// The registered data key that it makes or takes, by what was last prepared.
    fn data_key(&self) -> Option<Box<DataKeyUse>> {
        None
    }

    /// Decides and computes on whatever state the node has. Called anew when that state was not current.
    async fn prepare(
        &mut self,
        replica: &Replica,
        unsealed: &Unsealed,
    ) -> Result<Prepared<Self::Result>, ServiceError>;
}

/// A version that may be used, taken out of the state.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(crate) name: KeyName,
    pub(crate) id: KeyId,
    protection: Protection,
    pub(crate) number: VersionNumber,
    pub(crate) algorithm: Algorithm,
    wrapped: Wrapped,
    public: Option<Box<[u8]>>,
}

impl Chosen {
    /// A version whatever its state is, for what the node does by itself; `None` if there is none, or it is destroyed.
    pub(crate) fn of_version(key: &Key, number: VersionNumber) -> Option<Self> {
        let version = key.versions.get(number)?;
        Some(Self {
            name: key.info.name.clone(),
            id: key.info.id,
            protection: key.info.protection,
            algorithm: key.info.algorithm,
            number,
            wrapped: version.wrapped.clone()?,
            public: version.public.clone(),
        })
    }

    pub(crate) fn version_ref(&self) -> VersionRef<'_> {
        VersionRef {
            name: &self.name,
            id: self.id,
            number: self.number,
            algorithm: self.algorithm,
            protection: self.protection,
            wrapped: &self.wrapped,
            public: self.public.as_deref(),
        }
    }
}

/// A decision, with the revisions that it read.
pub(crate) struct Decision {
    pub(crate) key: UsedKey,
    pub(crate) access_revision: Revision,
    pub(crate) chosen: Result<Chosen, Denial>,
}

/// Decides on the node's own state.
pub(crate) fn decide(
    state: &State,
    caller: &Caller,
    operation: Operation,
    direction: Direction,
    name: &KeyName,
    version: Option<VersionNumber>,
) -> Decision {
    let permit = state.decide_use(&caller.principal, operation, direction, name, version);
    decision(state, permit, name, version)
}

/// Decides on the node's own state whether material may be given out, wrapped.
pub(crate) fn decide_export(
    state: &State,
    caller: &Caller,
    name: &KeyName,
    version: Option<VersionNumber>,
) -> Decision {
    let permit = state.decide_export(&caller.principal, name, version);
    decision(state, permit, name, version)
}

fn decision(
    state: &State,
    permit: Result<UsePermit<'_>, Denial>,
    name: &KeyName,
    version: Option<VersionNumber>,
) -> Decision {
    let access_revision = state.access().revision();
    match permit {
        Ok(permit) => Decision {
            key: permit.used_key(),
            access_revision,
            chosen: Ok(Chosen {
                name: permit.info.name.clone(),
                id: permit.info.id,
                protection: permit.info.protection,
                algorithm: permit.info.algorithm,
                number: permit.number,
                wrapped: permit.wrapped.clone(),
                public: permit.public.map(Box::from),
            }),
        },
        Err(denial) => {
            let key = state.refused_key(name, version);
            Decision {
                key,
                access_revision,
                chosen: Err(denial),
            }
        }
    }
}

impl NodeContext {
    /// Runs one use: it is decided and computed, its record is committed, and if the state that the decision read was
    /// current at the record's place in the log the result is released. If not, all is done anew on fresh state. A failure
    /// that is not the caller's or the key's affair (sealed, HSM) is not recorded.
    pub(crate) async fn run_use<U: Use>(
        &self,
        caller: &Caller,
        mut it: U,
    ) -> Result<U::Result, ServiceError> {
        for _ in 0..DECISIONS_MAX {
            let unsealed = self.seal.unsealed()?;
            let replica = self.replica.get()?;
            let prepared = it.prepare(&replica, &unsealed).await?;
            let refusal = match &prepared.result {
                Ok(_) => None,
                Err(error) => match error.use_refusal() {
                    Some(refusal) => Some(refusal),
                    None => return prepared.result,
                },
            };
            let record = UseRecord {
                request: caller.request,
                attempt: caller.attempt,
                principal: caller.principal.clone(),
                source: caller.source.clone(),
                operation: it.operation(),
                key: prepared.key,
                destination: prepared.destination,
                data_key: it.data_key(),
                context: it.context().clone(),
                count: prepared.count,
                refusal,
                access_revision: prepared.access_revision,
            };
            let verdict = if refusal.is_some() {
                self.refusals.record(record, caller.deadline).await?
            } else {
                self.pipeline.record(record, caller.deadline).await?
            };
            match verdict {
                Verdict::Recorded(_) => return prepared.result,
                Verdict::Retry => {
                    self.catch_up(&replica, caller.deadline).await?;
                }
            }
        }
        Err(ServiceError::Contended)
    }
}
