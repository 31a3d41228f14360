//! Messages of the API as people and programs read them.

use conclave_client::store::v1::AuditRecord;
use conclave_client::{store, v1};
use conclave_core::RotationPeriod;
use prost_types::{Duration, Timestamp};
use serde_json::{Value, json};

/// A moment, RFC 3339.
pub(crate) fn time(at: Option<&Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), Timestamp::to_string)
}

/// The day of a moment.
pub(crate) fn day(at: Option<&Timestamp>) -> String {
    time(at).chars().take(10).collect()
}

/// A moment in milliseconds since the Unix epoch, RFC 3339.
pub(crate) fn time_ms(at: u64) -> String {
    let seconds = i64::try_from(at / 1_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(at % 1_000 * 1_000_000).expect("less than a second");
    Timestamp { seconds, nanos }.to_string()
}

/// A rotation period, `90d`.
fn period(period: &Duration) -> String {
    let known = u64::try_from(period.seconds).ok();
    let known = known.and_then(|seconds| seconds.checked_mul(1_000));
    match known.map(RotationPeriod::from_ms) {
        Some(Ok(period)) => period.to_string(),
        Some(Err(_)) | None => format!("{}s", period.seconds),
    }
}

/// The name of an enum's value without its prefix, `ACTIVE`.
fn bare<E: TryFrom<i32>>(value: i32, prefix: &str, name: impl Fn(&E) -> &'static str) -> String {
    match E::try_from(value) {
        Ok(known) => name(&known).trim_start_matches(prefix).to_owned(),
        Err(_) => format!("UNKNOWN({value})"),
    }
}

pub(crate) fn key_state(value: i32) -> String {
    bare(value, "KEY_STATE_", v1::KeyState::as_str_name)
}

pub(crate) fn protection(value: i32) -> String {
    bare(value, "PROTECTION_", v1::Protection::as_str_name)
}

pub(crate) fn algorithm(value: i32) -> String {
    bare(value, "ALGORITHM_", v1::Algorithm::as_str_name)
}

pub(crate) fn seal(value: i32) -> String {
    bare(value, "SEAL_STATE_", v1::SealState::as_str_name).to_lowercase()
}

pub(crate) fn raft_role(value: i32) -> String {
    bare(value, "RAFT_ROLE_", v1::RaftRole::as_str_name).to_lowercase()
}

pub(crate) fn role(value: i32) -> String {
    bare(value, "ROLE_", v1::Role::as_str_name)
        .to_lowercase()
        .replace('_', "-")
}

fn outcome(value: i32) -> String {
    bare(value, "OUTCOME_", store::v1::Outcome::as_str_name).to_lowercase()
}

/// A key, a line for each thing to know of it.
pub(crate) fn key_text(key: &v1::Key) -> String {
    let mut lines = vec![
        format!("name:        {}", key.name),
        format!("id:          {}", hex::encode(&key.key_id)),
        format!("state:       {}", key_state(key.state)),
        format!("algorithm:   {}", algorithm(key.algorithm)),
        format!("protection:  {}", protection(key.protection)),
        format!("primary:     version {}", key.primary_version),
        format!("created:     {}", time(key.created_at.as_ref())),
    ];
    if !key.aliases.is_empty() {
        lines.push(format!("aliases:     {}", key.aliases.join(" ")));
    }
    if key.activate_at.is_some() {
        lines.push(format!("activates:   {}", time(key.activate_at.as_ref())));
    }
    if let Some(every) = &key.rotation_period {
        let next = time(key.next_rotation_at.as_ref());
        lines.push(format!("rotates:     every {}, next {next}", period(every)));
    }
    if key.exportable {
        lines.push("exportable:  yes, wrapped, by admins".to_owned());
    }
    let policy = key.rewrap_policy.unwrap_or_default();
    if policy.by_hand {
        lines.push("data keys:   wrapped anew by hand only".to_owned());
    }
    if policy.deactivate_old_versions {
        lines.push("old versions are deactivated once they wrap no registered data key".to_owned());
    }
    if key.versions.iter().any(|version| version.data_keys > 0) {
        lines.push(format!("data keys:   {}", rewrap_progress(key)));
    }
    if let Some(it) = &key.destruction {
        lines.push(format!("destroyed:   {}", destruction(it)));
    }
    let labels = key
        .labels
        .iter()
        .map(|(name, value)| format!("label:       {name}={value}"));
    lines.extend(labels);
    lines.extend(key.versions.iter().map(|version| {
        let (state, created) = (key_state(version.state), time(version.created_at.as_ref()));
        let used = usage(version);
        let made = if version.imported {
            "imported"
        } else {
            "created"
        };
        let wraps = match version.data_keys {
            0 => String::new(),
            1 => ", wraps 1 data key".to_owned(),
            count => format!(", wraps {} data keys", thousands(count)),
        };
        let end = version.destruction.as_ref().map(destruction);
        let end = end.map_or_else(String::new, |end| format!(", destroyed {end}"));
        format!(
            "version {:<4} {state}, {made} {created}, {used}{wraps}{end}",
            version.number
        )
    }));
    lines.join("\n")
}

/// `12,400 of 20,000 under version 4; 7,600 left on version 3`.
pub(crate) fn rewrap_progress(key: &v1::Key) -> String {
    let count = |version: &v1::KeyVersion| version.data_keys;
    let all: u64 = key.versions.iter().map(count).sum();
    let primary = key.primary_version;
    let is_primary = |version: &&v1::KeyVersion| version.number == primary;
    let done: u64 = key.versions.iter().filter(is_primary).map(count).sum();
    let (done, total) = (thousands(done), thousands(all));
    let others = key.versions.iter().filter(|it| !is_primary(it));
    let left = others.filter(|version| version.data_keys > 0);
    let left: Vec<String> = left
        .map(|it| format!("{} left on version {}", thousands(it.data_keys), it.number))
        .collect();
    let left = if left.is_empty() {
        "none left on others".to_owned()
    } else {
        left.join(", ")
    };
    format!("{done} of {total} under version {primary}; {left}")
}

/// `12,400`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `a=b c=d`.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs = pairs.into_iter();
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(" ")
}

/// An import job, and the key to wrap with.
pub(crate) fn import_job_text(it: &v1::ImportJob) -> String {
    let method = bare(it.method, "IMPORT_METHOD_", v1::ImportMethod::as_str_name);
    let mut lines = vec![
        format!("id:          {}", hex::encode(&it.import_job_id)),
        format!("keyring:     {}", it.keyring),
        format!("method:      {method}"),
        format!("protection:  {}", protection(it.protection)),
        format!("expires:     {}", time(it.expires_at.as_ref())),
    ];
    if !it.imported_key.is_empty() {
        let imported = key_and_version(&it.imported_key, it.imported_version);
        lines.push(format!("imported:    {imported}"));
    }
    lines.push(it.public_key_pem.clone());
    lines.join("\n")
}

/// An import job.
pub(crate) fn import_job_json(it: &v1::ImportJob) -> Value {
    json!({
        "import_job_id": hex::encode(&it.import_job_id),
        "keyring": it.keyring,
        "method": bare(it.method, "IMPORT_METHOD_", v1::ImportMethod::as_str_name),
        "protection": protection(it.protection),
        "public_key_pem": it.public_key_pem,
        "created_at": time(it.created_at.as_ref()),
        "expires_at": time(it.expires_at.as_ref()),
        "imported_key": it.imported_key,
        "imported_version": it.imported_version,
    })
}

/// A registered data key, a line for each thing to know of it.
pub(crate) fn data_key_text(it: &v1::DataKey) -> String {
    let mut lines = vec![
        format!("id:          {}", hex::encode(&it.data_key_id)),
        format!("key:         {}", key_and_version(&it.key, it.version)),
        format!("created:     {}", time(it.created_at.as_ref())),
    ];
    let context = it
        .context
        .iter()
        .map(|(n, v)| format!("context:     {n}={v}"));
    let labels = it
        .labels
        .iter()
        .map(|(n, v)| format!("label:       {n}={v}"));
    lines.extend(context.chain(labels));
    lines.join("\n")
}

/// A registered data key.
pub(crate) fn data_key_json(it: &v1::DataKey) -> Value {
    json!({
        "data_key_id": hex::encode(&it.data_key_id),
        "key": it.key,
        "version": it.version,
        "context": it.context,
        "labels": it.labels,
        "created_at": time(it.created_at.as_ref()),
    })
}

/// `used 12 times, last 2026-01-31T09:00:00Z`.
fn usage(version: &v1::KeyVersion) -> String {
    match version.uses {
        0 => "never used".to_owned(),
        1 => format!("used once, {}", time(version.last_used_at.as_ref())),
        uses => {
            let last = time(version.last_used_at.as_ref());
            format!("used {uses} times, last {last}")
        }
    }
}

/// When, and how far it has come: `at …, on 2 of 3 nodes (record 17)`.
fn destruction(it: &v1::Destruction) -> String {
    let at = time(it.at.as_ref());
    match it.done_by_record {
        None => format!(
            "at {at}, unless it is cancelled (record {})",
            it.asked_by_record
        ),
        Some(record) => {
            let (erased, nodes) = (it.erased_by_nodes.len(), it.nodes);
            format!("at {at}, on {erased} of {nodes} nodes (record {record})")
        }
    }
}

fn destruction_json(it: &v1::Destruction) -> Value {
    json!({
        "at": time(it.at.as_ref()),
        "asked_by_record": it.asked_by_record,
        "done_by_record": it.done_by_record,
        "erased_by_nodes": it.erased_by_nodes,
        "nodes": it.nodes,
    })
}

/// A key.
pub(crate) fn key_json(key: &v1::Key) -> Value {
    let versions = key.versions.iter().map(|version| {
        json!({
            "number": version.number,
            "state": key_state(version.state),
            "created_at": time(version.created_at.as_ref()),
            "uses": version.uses,
            "last_used_at": version.last_used_at.as_ref().map(Timestamp::to_string),
            "destruction": version.destruction.as_ref().map(destruction_json),
            "data_keys": version.data_keys,
            "imported": version.imported,
        })
    });
    let policy = key.rewrap_policy.unwrap_or_default();
    json!({
        "name": key.name,
        "aliases": key.aliases,
        "key_id": hex::encode(&key.key_id),
        "algorithm": algorithm(key.algorithm),
        "protection": protection(key.protection),
        "state": key_state(key.state),
        "primary_version": key.primary_version,
        "versions": versions.collect::<Vec<_>>(),
        "labels": key.labels,
        "created_at": time(key.created_at.as_ref()),
        "activate_at": key.activate_at.as_ref().map(Timestamp::to_string),
        "rotation_period_seconds": key.rotation_period.as_ref().map(|period| period.seconds),
        "next_rotation_at": key.next_rotation_at.as_ref().map(Timestamp::to_string),
        "destruction": key.destruction.as_ref().map(destruction_json),
        "exportable": key.exportable,
        "data_keys_to_rewrap": key.data_keys_to_rewrap,
        "rewrap_by_hand": policy.by_hand,
        "deactivate_old_versions": policy.deactivate_old_versions,
        "revision": key.revision,
    })
}

/// A public key.
pub(crate) fn public_key_json(key: &v1::PublicKey) -> Value {
    json!({
        "name": key.name,
        "version": key.version,
        "algorithm": algorithm(key.algorithm),
        "pem": key.pem,
        "jwk": serde_json::from_str(&key.jwk).unwrap_or(Value::Null),
    })
}

/// How a signature was made, `ecdsa-der`.
pub(crate) fn scheme(value: i32) -> String {
    bare(value, "SIGNATURE_SCHEME_", v1::SignatureScheme::as_str_name)
        .to_lowercase()
        .replace('_', "-")
}

/// An audit record in one line: sequence, time, node, who, what, on which key, how it ended.
pub(crate) fn audit_text(entry: &v1::AuditEntry) -> String {
    let Some(record) = &entry.record else {
        return format!("{:>8}  (unreadable record)", entry.sequence);
    };
    let mut parts = vec![
        format!("{:>8}", entry.sequence),
        time_ms(record.time_ms),
        format!("node {}", record.node_id),
        record.principal.clone(),
        record.operation.clone(),
    ];
    if !record.key.is_empty() {
        parts.push(key_and_version(&record.key, record.version));
    }
    if !record.alias.is_empty() {
        parts.push(format!("as {}", record.alias));
    }
    if !record.destination_key.is_empty() {
        let to = key_and_version(&record.destination_key, record.destination_version);
        parts.push(format!("to {to}"));
    }
    if !record.destination_alias.is_empty() {
        parts.push(format!("as {}", record.destination_alias));
    }
    if !record.data_key_id.is_empty() {
        parts.push(format!("data key {}", hex::encode(&record.data_key_id)));
    }
    parts.push(
        format!("{} {}", outcome(record.outcome), record.reason)
            .trim_end()
            .to_owned(),
    );
    if record.count > 1 {
        parts.push(format!("x {}", record.count));
    }
    parts.extend(
        record
            .context
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    if !record.detail.is_empty() {
        parts.push(record.detail.clone());
    }
    parts.join("  ")
}

pub(crate) fn key_and_version(key: &str, version: u32) -> String {
    if version == 0 {
        key.to_owned()
    } else {
        format!("{key} v{version}")
    }
}

/// An audit record, with the bytes that are hashed.
pub(crate) fn audit_json(entry: &v1::AuditEntry) -> Value {
    let record = entry.record.as_ref().map(audit_record_json);
    json!({ "sequence": entry.sequence, "leaf": hex::encode(&entry.leaf), "record": record })
}

/// What an audit record says.
pub(crate) fn audit_record_json(record: &AuditRecord) -> Value {
    json!({
        "time": time_ms(record.time_ms),
        "time_ms": record.time_ms,
        "node_id": record.node_id,
        "request_id": hex::encode(&record.request_id),
        "attempt": record.attempt,
        "principal": record.principal,
        "authentication": record.authentication,
        "source_address": record.source_address,
        "operation": record.operation,
        "key": record.key,
        "key_id": hex::encode(&record.key_id),
        "version": record.version,
        "context": record.context,
        "count": record.count,
        "outcome": outcome(record.outcome),
        "reason": record.reason,
        "key_revision": record.key_revision,
        "access_revision": record.access_revision,
        "detail": record.detail,
        "destination_key": record.destination_key,
        "destination_version": record.destination_version,
        "data_key_id": hex::encode(&record.data_key_id),
        "alias": record.alias,
        "destination_alias": record.destination_alias,
        "destruction_revision": record.destruction_revision,
    })
}

/// A grant.
pub(crate) fn grant_json(grant: &v1::Grant) -> Value {
    json!({
        "principal": grant.principal,
        "role": role(grant.role),
        "keyring": grant.keyring,
    })
}

/// A hash, enough of it to compare by eye.
pub(crate) fn short(hash: &[u8]) -> String {
    hex::encode(&hash[..hash.len().min(6)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time_ms(0), "1970-01-01T00:00:00Z");
        assert_eq!(time_ms(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(time(None), "-");
        assert_eq!(
            (
                day(None).as_str(),
                day(Some(&Timestamp::default())).as_str()
            ),
            ("-", "1970-01-01")
        );
    }

    #[test]
    fn enums_lose_their_prefix_and_strangers_are_shown() {
        assert_eq!(key_state(1), "PRE_ACTIVE");
        assert_eq!(seal(2), "sealed");
        assert_eq!(role(77), "unknown(77)");
        assert_eq!(role(4), "use-compromised");
    }

    #[test]
    fn a_record_is_one_line() {
        let record = AuditRecord {
            node_id: 2,
            principal: "alice".into(),
            operation: "Encrypt".into(),
            key: "payments/card-pan".into(),
            version: 3,
            context: BTreeMap::from([("order".into(), "17".into())]),
            count: 5,
            outcome: 2,
            reason: "PERMISSION_DENIED".into(),
            ..AuditRecord::default()
        };
        let entry = v1::AuditEntry {
            sequence: 41,
            leaf: vec![1],
            record: Some(record),
        };
        assert_eq!(
            audit_text(&entry),
            "      41  1970-01-01T00:00:00Z  node 2  alice  Encrypt  payments/card-pan v3  \
             denied PERMISSION_DENIED  x 5  order=17"
        );
        assert_eq!(audit_json(&entry)["record"]["context"]["order"], "17");
    }

    #[test]
    fn a_key_is_shown_whole() {
        let version = v1::KeyVersion {
            number: 1,
            state: 7,
            uses: 12,
            destruction: Some(v1::Destruction {
                done_by_record: Some(17),
                erased_by_nodes: vec![1, 3],
                nodes: 3,
                ..v1::Destruction::default()
            }),
            ..v1::KeyVersion::default()
        };
        let key = v1::Key {
            rotation_period: Some(Duration {
                seconds: 90 * 86_400,
                nanos: 0,
            }),
            name: "a/b".into(),
            key_id: vec![0xab; 16],
            algorithm: 1,
            protection: 2,
            state: 3,
            primary_version: 1,
            versions: vec![version],
            labels: BTreeMap::from([("team".into(), "blue".into())]),
            aliases: vec!["a/x".into(), "a/y".into()],
            ..v1::Key::default()
        };
        assert_eq!(
            key_text(&key),
            "name:        a/b\n\
             id:          abababababababababababababababab\n\
             state:       SUSPENDED\n\
             algorithm:   AES_256_GCM\n\
             protection:  HSM\n\
             primary:     version 1\n\
             created:     -\n\
             aliases:     a/x a/y\n\
             rotates:     every 90d, next -\n\
             label:       team=blue\n\
             version 1    DESTROYED, created -, used 12 times, last -, destroyed at -, on 2 of 3 nodes (record 17)"
        );
    }
}
