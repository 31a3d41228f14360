//! The state from its rows.

use super::State;
use super::batches::{AppliedBatch, BatchMemory, Incarnations};
use super::requests::{Remembered, RequestMemory};
use super::rows::{CUSTODY_ROW, META_ROW, Meta, Table, version_row};
use crate::access::{Access, Grant};
use crate::alias::Alias;
use crate::codec::{self, DecodeError};
use crate::custody::Custody;
use crate::data_key::DataKey;
use crate::destruction::Destruction;
use crate::ids::{DataKeyId, ImportJobId, KeyId, NodeId, Revision, VersionNumber};
use crate::import::ImportJob;
use crate::key::{Key, KeyInfo, Usage, Versions};
use crate::lifecycle::KeyState;
use crate::names::KeyName;
use crate::uses::BatchId;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use thiserror::Error;

/// A row that cannot be read back.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("table {table}, row {row}: {detail}", table = .table.name())]
pub struct CorruptRow {
    /// Where.
    pub table: Table,
    /// The row's name in hexadecimal.
    pub row: String,
    /// What is wrong with it.
    pub detail: String,
}

impl State {
    /// Builds the state from the rows that were handed out, in any order. Leaves of the audit log,
    /// the stories of keys, and rows of [`Table::Meta`] that are not the state's are passed over.
    ///
    /// # Errors
    /// [`CorruptRow`] names the first row that cannot be read, or that does not fit the others.
    pub fn load(
        rows: impl IntoIterator<Item = (Table, Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, CorruptRow> {
        let mut loader = Loader::default();
        for (table, key, value) in rows {
            loader.row(table, &key, &value)?;
        }
        loader.finish()
    }
}

fn corrupt(table: Table, key: &[u8], detail: &str) -> CorruptRow {
    let mut row = String::new();
    for byte in key {
        write!(row, "{byte:02x}").expect("a string takes any text");
    }
    CorruptRow {
        table,
        row,
        detail: detail.to_owned(),
    }
}

#[derive(Default)]
struct Loader {
    meta: Option<Meta>,
    infos: BTreeMap<KeyId, KeyInfo>,
    versions: BTreeMap<KeyId, Versions>,
    usages: BTreeMap<(KeyId, VersionNumber), Usage>,
    erased: BTreeMap<NodeId, Revision>,
    data_keys: BTreeMap<DataKeyId, DataKey>,
    aliases: BTreeMap<KeyName, Alias>,
    imports: BTreeMap<ImportJobId, ImportJob>,
    grants: BTreeSet<Grant>,
    custody: Option<Custody>,
    requests: BTreeMap<u64, Remembered>,
    incarnations: BTreeMap<NodeId, Incarnations>,
    batches: BTreeMap<NodeId, BTreeMap<BatchId, AppliedBatch>>,
}

/// Splits a row's name into big-endian numbers of eight bytes.
fn numbers<const N: usize>(key: &[u8]) -> Option<[u64; N]> {
    let mut chunks = key
        .chunks_exact(8)
        .map(|c| u64::from_be_bytes(c.try_into().unwrap_or([0; 8])));
    let found = std::array::from_fn(|_| chunks.next());
    if key.len() != N.checked_mul(8)? || found.contains(&None) {
        return None;
    }
    Some(found.map(Option::unwrap_or_default))
}

/// Splits the name of a version's row.
fn version_of(key: &[u8]) -> Option<(KeyId, VersionNumber)> {
    let (id, number) = key.split_at_checked(16)?;
    let number = u32::from_be_bytes(number.try_into().ok()?);
    Some((KeyId::from_slice(id)?, VersionNumber(number)))
}

fn parse<T: DeserializeOwned>(table: Table, key: &[u8], value: &[u8]) -> Result<T, CorruptRow> {
    codec::decode(value).map_err(|e: DecodeError| corrupt(table, key, &e.to_string()))
}

impl Loader {
    fn row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), CorruptRow> {
        let bad_name = || corrupt(table, key, "the row's name is malformed");
        match table {
            Table::Meta if key == META_ROW => self.meta = Some(parse(table, key, value)?),
            Table::Meta | Table::Audit | Table::AuditTree | Table::History => {}
            Table::Keys => {
                let id = KeyId::from_slice(key).ok_or_else(bad_name)?;
                self.infos.insert(id, parse(table, key, value)?);
            }
            Table::Versions => {
                let (id, number) = version_of(key).ok_or_else(bad_name)?;
                let version = parse(table, key, value)?;
                self.versions.entry(id).or_default().insert(number, version);
            }
            Table::Usage => {
                let name = version_of(key).ok_or_else(bad_name)?;
                self.usages.insert(name, parse(table, key, value)?);
            }
            Table::Erased => {
                let [node] = numbers(key).ok_or_else(bad_name)?;
                self.erased.insert(NodeId(node), parse(table, key, value)?);
            }
            Table::DataKeys => {
                let id = DataKeyId::from_slice(key).ok_or_else(bad_name)?;
                self.data_keys.insert(id, parse(table, key, value)?);
            }
            Table::Aliases => {
                let name = std::str::from_utf8(key).ok();
                let name = name.and_then(|name| KeyName::new(name).ok());
                self.aliases
                    .insert(name.ok_or_else(bad_name)?, parse(table, key, value)?);
            }
            Table::Imports => {
                let id = ImportJobId::from_slice(key).ok_or_else(bad_name)?;
                self.imports.insert(id, parse(table, key, value)?);
            }
            Table::Grants => {
                parse::<()>(table, key, value)?;
                self.grants.insert(parse(table, key, key)?);
            }
            Table::Custody if key != CUSTODY_ROW => return Err(bad_name()),
            Table::Custody => self.custody = Some(parse(table, key, value)?),
            Table::Requests => {
                let [number] = numbers(key).ok_or_else(bad_name)?;
                self.requests.insert(number, parse(table, key, value)?);
            }
            Table::Batches if key.len() == 8 => {
                let [node] = numbers(key).ok_or_else(bad_name)?;
                self.incarnations
                    .insert(NodeId(node), parse(table, key, value)?);
            }
            Table::Batches => {
                let [node, incarnation, sequence] = numbers(key).ok_or_else(bad_name)?;
                let batch = BatchId {
                    incarnation,
                    sequence,
                };
                let applied = parse(table, key, value)?;
                self.batches
                    .entry(NodeId(node))
                    .or_default()
                    .insert(batch, applied);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<State, CorruptRow> {
        let nothing = self.infos.is_empty()
            && self.versions.is_empty()
            && self.usages.is_empty()
            && self.erased.is_empty()
            && self.data_keys.is_empty()
            && self.aliases.is_empty()
            && self.imports.is_empty()
            && self.grants.is_empty()
            && self.custody.is_none()
            && self.requests.is_empty()
            && self.incarnations.is_empty();
        let meta = match self.meta {
            Some(meta) => meta,
            None if nothing => Meta::default(),
            None => return Err(corrupt(Table::Meta, META_ROW, "the row is missing")),
        };
        let mut state = State {
            cluster: meta.cluster,
            time: meta.time,
            access: Access::restore(self.grants, meta.access_revision),
            custody: self.custody,
            requests: RequestMemory::restore(meta.next_request, self.requests),
            batches: join_batches(self.incarnations, self.batches)?,
            audit: meta.audit,
            erased: self.erased,
            imports: self.imports,
            ..State::default()
        };
        if !state.audit.is_sound() {
            let detail = "the audit tree does not fit its size";
            return Err(corrupt(Table::Meta, META_ROW, detail));
        }
        if let Some(last) = state.requests.last().filter(|it| *it >= meta.next_request) {
            let detail = "the number is not given yet";
            return Err(corrupt(Table::Requests, &last.to_be_bytes(), detail));
        }
        let versions = join_usages(self.versions, self.usages)?;
        state.join_keys(self.infos, versions)?;
        state.join_data_keys(self.data_keys)?;
        state.join_aliases(self.aliases)?;
        let ahead = |through: &&Revision| **through > state.destroyed;
        if state.erased.values().find(ahead).is_some() {
            let detail = "more is erased than was destroyed";
            return Err(corrupt(Table::Erased, &[], detail));
        }
        Ok(state)
    }
}

impl State {
    fn join_keys(
        &mut self,
        infos: BTreeMap<KeyId, KeyInfo>,
        mut versions: BTreeMap<KeyId, Versions>,
    ) -> Result<(), CorruptRow> {
        for (id, info) in infos {
            let versions = versions.remove(&id).unwrap_or_default();
            let name = info.name.clone();
            let broken = |what| Err(corrupt(Table::Keys, id.as_bytes(), what));
            if info.id != id || versions.get(info.primary).is_none() {
                return broken("the key lacks its primary version, or has another id");
            }
            if info.activate_at.is_some() && info.state != KeyState::PreActive {
                return broken("the key waits for its date but is not PRE_ACTIVE");
            }
            if !has_its_end(info.state, info.destruction.as_deref()) {
                return broken("the key's destruction does not fit its state");
            }
            for (number, version) in versions.iter() {
                let is_gone = version.state == KeyState::Destroyed;
                if !has_its_end(version.state, version.destruction.as_deref())
                    || version.wrapped.is_none() != is_gone
                    || (info.state == KeyState::Destroyed && !is_gone)
                {
                    let row = version_row(id, number);
                    let detail = "the version's destruction does not fit its state";
                    return Err(corrupt(Table::Versions, &row, detail));
                }
                let done = version.destruction.as_ref().and_then(|it| it.done);
                self.destroyed = self
                    .destroyed
                    .max(done.map_or(Revision(0), |it| it.revision));
            }
            if self.keys.contains_key(&name) {
                return broken("another key has the same name");
            }
            let key = Key { info, versions };
            self.schedule.add(&key);
            self.names.insert(id, name.clone());
            self.keys.insert(name, key);
        }
        match versions.first_key_value() {
            None => Ok(()),
            Some((id, _)) => {
                let detail = "a version without its key";
                Err(corrupt(Table::Versions, id.as_bytes(), detail))
            }
        }
    }
}

impl State {
    fn join_data_keys(
        &mut self,
        data_keys: BTreeMap<DataKeyId, DataKey>,
    ) -> Result<(), CorruptRow> {
        for (id, data_key) in data_keys {
            let key = self.key_by_id(data_key.key);
            if key.is_none_or(|key| key.versions.get(data_key.version).is_none()) {
                let detail = "a data key under no version";
                return Err(corrupt(Table::DataKeys, id.as_bytes(), detail));
            }
            self.data_keys.insert(id, data_key);
        }
        self.refresh_all_rewraps();
        Ok(())
    }
}

impl State {
    fn join_aliases(&mut self, aliases: BTreeMap<KeyName, Alias>) -> Result<(), CorruptRow> {
        for (name, alias) in aliases {
            let key = self.key_by_id(alias.target);
            let same_keyring = key.is_some_and(|it| it.info.name.keyring() == name.keyring());
            if !same_keyring || self.keys.contains_key(&name) {
                let detail = "an alias of no key of its keyring, or with a key's name";
                return Err(corrupt(Table::Aliases, name.as_str().as_bytes(), detail));
            }
            self.aliases.insert(name, alias);
        }
        Ok(())
    }
}

/// Whether a destruction is there for the states that have one, and done for the one that has it done.
fn has_its_end(state: KeyState, destruction: Option<&Destruction>) -> bool {
    match destruction {
        None => !matches!(state, KeyState::DestroyScheduled | KeyState::Destroyed),
        Some(destruction) if destruction.done.is_some() => state == KeyState::Destroyed,
        Some(_) => state == KeyState::DestroyScheduled,
    }
}

fn join_usages(
    mut versions: BTreeMap<KeyId, Versions>,
    usages: BTreeMap<(KeyId, VersionNumber), Usage>,
) -> Result<BTreeMap<KeyId, Versions>, CorruptRow> {
    for ((id, number), usage) in usages {
        let version = versions
            .get_mut(&id)
            .and_then(|versions| versions.get_mut(number));
        let Some(version) = version else {
            let row = version_row(id, number);
            return Err(corrupt(Table::Usage, &row, "a use of no version"));
        };
        version.usage = usage;
    }
    Ok(versions)
}

fn join_batches(
    incarnations: BTreeMap<NodeId, Incarnations>,
    mut batches: BTreeMap<NodeId, BTreeMap<BatchId, AppliedBatch>>,
) -> Result<BTreeMap<NodeId, BatchMemory>, CorruptRow> {
    let mut joined = BTreeMap::new();
    for (node, incarnations) in incarnations {
        let applied = batches.remove(&node).unwrap_or_default();
        let strange = |id: &BatchId| id.incarnation != incarnations.current;
        if applied.keys().any(strange) {
            let detail = "a batch of a process that has ended";
            return Err(corrupt(Table::Batches, &node.0.to_be_bytes(), detail));
        }
        joined.insert(
            node,
            BatchMemory {
                incarnations,
                applied,
            },
        );
    }
    match batches.first_key_value() {
        None => Ok(joined),
        Some((node, _)) => {
            let detail = "batches of a node without processes";
            Err(corrupt(Table::Batches, &node.0.to_be_bytes(), detail))
        }
    }
}
