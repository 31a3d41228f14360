//! A key's history: all that was done with it but its uses, from the records of the audit log.

use super::convert;
use super::key::KeyApi;
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::ERASURES_EXAMINED_MAX;
use crate::page_token::{self, PageTokenError};
use conclave_core::history::erasures_of;
use conclave_core::{
    Action, AuditSequence, Denial, Key, KeyId, KeyName, NodeId, Revision, Scope, State, TimeMs,
};
use conclave_proto::store::v1::AuditRecord;
use conclave_proto::v1 as wire;
use conclave_raft::Replica;
use prost::Message as _;
use std::collections::BTreeSet;

/// What is to be known of a key before its history is read.
struct Told {
    key: KeyId,
    name: KeyName,
    /// When something of it was destroyed, and the first record that says so.
    destroyed: Vec<Revision>,
    since: Option<AuditSequence>,
}

impl Told {
    fn of(key: &Key) -> Self {
        let versions = key.versions.iter().map(|(_, version)| &version.destruction);
        let all = versions.chain([&key.info.destruction]).flatten();
        let done: Vec<_> = all.filter_map(|it| it.done).collect();
        Self {
            key: key.info.id,
            name: key.info.name.clone(),
            destroyed: done.iter().map(|it| it.revision).collect(),
            since: done.iter().map(|it| it.record).min(),
        }
    }

    /// Records by which nodes said that they erased something of the key.
    fn erasures(&self, replica: &Replica) -> Result<Vec<AuditSequence>, ServiceError> {
        let Some(since) = self.since else {
            return Ok(Vec::new());
        };
        let all = replica.erasures(since, ERASURES_EXAMINED_MAX)?;
        let ours = erasures_of(&self.destroyed, all);
        Ok(ours.map(|erasure| erasure.record).collect())
    }
}

impl KeyApi {
    pub(super) async fn history(
        &self,
        caller: &Caller,
        asked: wire::GetKeyHistoryRequest,
    ) -> Result<wire::GetKeyHistoryResponse, ServiceError> {
        let name = convert::key_name(&asked.name)?;
        let size = convert::page_size(asked.page_size)?;
        let consistency = convert::consistency(asked.consistency)?;
        let replica = self.0.read(caller, consistency).await?;
        let told = replica.with_state(|state| told(state, caller, &name))?;
        let list = State::history_digest(told.key);
        let from = page_token::read(list, &asked.page_token)?;
        let from = from.as_deref().map(place).transpose()?.unwrap_or_default();
        let more = size.saturating_add(1);
        let records = replica.key_history(told.key, from, more)?;
        let mut records: BTreeSet<_> = records.into_iter().collect();
        let erasures = told.erasures(&replica)?.into_iter();
        records.extend(erasures.filter(|record| *record >= from));
        let next = records.iter().nth(size);
        let next = next.map(|record| page_token::write(list, &record.0.to_be_bytes()));
        let events = records.iter().take(size);
        let events = events.map(|record| event(&replica, *record));
        Ok(wire::GetKeyHistoryResponse {
            name: told.name.to_string(),
            events: events.collect::<Result<_, _>>()?,
            next_page_token: next.unwrap_or_default(),
        })
    }
}

fn told(state: &State, caller: &Caller, name: &KeyName) -> Result<Told, ServiceError> {
    let scope = Scope::Keyring(name.keyring());
    NodeContext::require(state.access(), caller, Action::ReadKey, &scope)?;
    let missing = || Denial::KeyNotFound(name.clone());
    let (key, _) = state.named(name).ok_or_else(missing)?;
    Ok(Told::of(key))
}

/// The record with which a page begins.
fn place(bytes: &[u8]) -> Result<AuditSequence, PageTokenError> {
    let number = bytes.try_into().map_err(|_| PageTokenError::Malformed)?;
    Ok(AuditSequence(u64::from_be_bytes(number)))
}

/// What the caller may know of a record: from where it was asked for is for those who read the audit log.
fn event(replica: &Replica, record: AuditSequence) -> Result<wire::KeyEvent, ServiceError> {
    let damaged = || ServiceError::Storage {
        fault: format!("record {record} of the audit log is missing or damaged"),
    };
    let leaf = replica.audit_records(record, 1)?.pop();
    let (found, leaf) = leaf.ok_or_else(damaged)?;
    let it = AuditRecord::decode(leaf.as_slice()).map_err(|_| damaged())?;
    if found != record {
        return Err(damaged());
    }
    Ok(wire::KeyEvent {
        record: record.0,
        at: Some(convert::timestamp(TimeMs(it.time_ms))),
        node_id: NodeId(it.node_id).0,
        principal: it.principal,
        operation: it.operation,
        key: it.key,
        version: it.version,
        detail: it.detail,
        alias: it.alias,
    })
}
