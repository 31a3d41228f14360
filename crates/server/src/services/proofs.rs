//! Proofs that records are in the audit log, and certificates of destruction, which are made of them.

use super::convert;
use super::key::KeyApi;
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::{ERASURES_EXAMINED_MAX, PROOFS_MAX};
use conclave_core::audit::root_by_path;
use conclave_core::history::erasures_of;
use conclave_core::{
    Action, AuditSequence, Denial, Destroyed, Destruction, Key, Scope, VersionNumber,
};
use conclave_proto::store::v1::AuditRecord;
use conclave_proto::v1 as wire;
use conclave_raft::Replica;
use prost::Message as _;

/// Records with their proofs, under a checkpoint that this node signs now.
pub(super) fn prove(
    context: &NodeContext,
    replica: &Replica,
    records: &[AuditSequence],
) -> Result<wire::RecordProofs, ServiceError> {
    let unsealed = context.seal.unsealed()?;
    let (size, root, verifier_key) = replica.with_state(|state| {
        let custody = state.custody();
        let key = custody.map(|custody| custody.audit_verifier_key.clone());
        let log = state.audit();
        (log.size(), log.root(), key.unwrap_or_default())
    });
    if let Some(beyond) = records.iter().find(|record| record.0 >= size) {
        let rule = format!("the log has {size} records, numbered from 0: {beyond} is none of them");
        return Err(ServiceError::invalid("sequences", rule));
    }
    let proof = |record: &AuditSequence| {
        let (leaf, path) = read(replica, *record, size)?;
        // What does not add up is not given out: whoever verifies it would take the cluster for a liar.
        if root_by_path(&leaf, record.0, size, &path) != Some(root) {
            return Err(damaged(*record));
        }
        let entry = wire::AuditEntry {
            sequence: record.0,
            record: AuditRecord::decode(leaf.as_slice()).ok(),
            leaf,
        };
        Ok(wire::RecordProof {
            entry: Some(entry),
            path: path.iter().map(|hash| hash.to_vec()).collect(),
        })
    };
    Ok(wire::RecordProofs {
        records: records.iter().map(proof).collect::<Result<_, _>>()?,
        size,
        checkpoint: unsealed.checkpoint(size, &root),
        verifier_key,
    })
}

type Path = Vec<[u8; 32]>;

fn read(
    replica: &Replica,
    record: AuditSequence,
    size: u64,
) -> Result<(Vec<u8>, Path), ServiceError> {
    let leaf = replica.audit_records(record, 1)?.pop();
    let leaf = leaf.filter(|(found, _)| *found == record);
    let (_, leaf) = leaf.ok_or_else(|| damaged(record))?;
    Ok((leaf, replica.inclusion_path(record, size)?))
}

fn damaged(record: AuditSequence) -> ServiceError {
    ServiceError::Storage {
        fault: format!(
            "record {record} of the audit log, or the tree over it, is missing or damaged"
        ),
    }
}

/// Which records are asked for.
pub(super) fn records(asked: &[u64]) -> Result<Vec<AuditSequence>, ServiceError> {
    if asked.is_empty() || asked.len() > PROOFS_MAX {
        let count = asked.len();
        let rule = format!("1 to {PROOFS_MAX} records are proved by a call, not {count}");
        return Err(ServiceError::invalid("sequences", rule));
    }
    Ok(asked.iter().copied().map(AuditSequence).collect())
}

impl KeyApi {
    pub(super) async fn destruction_certificate(
        &self,
        caller: &Caller,
        asked: wire::GetDestructionCertificateRequest,
    ) -> Result<wire::DestructionCertificate, ServiceError> {
        let name = convert::key_name(&asked.name)?;
        let version = convert::version(asked.version);
        let consistency = convert::consistency(asked.consistency)?;
        let replica = self.0.read(caller, consistency).await?;
        let (done, shown) = replica.with_state(|state| {
            let scope = Scope::Keyring(name.keyring());
            NodeContext::require(state.access(), caller, Action::ReadKey, &scope)?;
            let missing = || Denial::KeyNotFound(name.clone());
            let (key, _) = state.named(&name).ok_or_else(missing)?;
            let destruction = destruction_of(key, version)?;
            let not_yet = || ServiceError::NotDestroyed(describe(key, version));
            let found = destruction.and_then(|it| Some((it, it.done?)));
            let (destruction, done) = found.ok_or_else(not_yet)?;
            let shown = wire::DestructionCertificate {
                name: key.info.name.to_string(),
                key_id: key.info.id.as_bytes().to_vec(),
                version: asked.version,
                destruction: Some(self.erasure(state).destruction(destruction)),
                proofs: None,
            };
            Ok::<_, ServiceError>((done, shown))
        })?;
        let proofs = prove(&self.0, &replica, &records_of(&replica, done)?)?;
        Ok(wire::DestructionCertificate {
            proofs: Some(proofs),
            ..shown
        })
    }
}

fn destruction_of(
    key: &Key,
    version: Option<VersionNumber>,
) -> Result<Option<&Destruction>, ServiceError> {
    let Some(version) = version else {
        return Ok(key.info.destruction.as_deref());
    };
    let missing = || Denial::VersionNotFound {
        name: key.info.name.clone(),
        version,
    };
    let found = key.versions.get(version).ok_or_else(missing)?;
    Ok(found.destruction.as_deref())
}

fn describe(key: &Key, version: Option<VersionNumber>) -> String {
    let name = &key.info.name;
    version.map_or_else(
        || format!("key {name}"),
        |number| format!("version {number} of key {name}"),
    )
}

/// That it was destroyed, and on which nodes it was erased since: one record each.
fn records_of(replica: &Replica, done: Destroyed) -> Result<Vec<AuditSequence>, ServiceError> {
    let erasures = replica.erasures(done.record, ERASURES_EXAMINED_MAX)?;
    let revisions = [done.revision];
    let erased = erasures_of(&revisions, erasures).map(|erasure| erasure.record);
    Ok(std::iter::once(done.record).chain(erased).collect())
}
