//! The state as rows of the database, and back.

use crate::codec;
use crate::error::RaftError;
use crate::limits::SCAN_ROWS;
use crate::slot::StoreSlot;
use crate::types::{LogId, StoredMembership};
use conclave_core::{RowChange, State, Table};
use conclave_env::{Batch, Database, StoreError};
use serde::{Deserialize, Serialize};
use std::ops::Bound::{Excluded, Unbounded};

/// The state's database; its tables are [`Table::ALL`], which a test checks.
pub(crate) const STATE: Database = Database {
    name: "state",
    tables: &[
        "meta",
        "keys",
        "versions",
        "grants",
        "custody",
        "requests",
        "batches",
        "audit",
        "usage",
        "erased",
        "data-keys",
        "aliases",
        "history",
        "imports",
        "audit-tree",
    ],
};

/// Our row beside the state's own in [`Table::Meta`].
const PLACE_ROW: &[u8] = b"raft";

/// How far the rows have come in the log. Written in one batch with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) applied: Option<LogId>,
    pub(super) membership: StoredMembership,
}

/// The batch that brings the rows from one place to the next.
pub(super) fn batch(changes: Vec<RowChange>, place: &Place) -> Batch {
    let mut batch = Batch::new();
    for RowChange { table, key, value } in changes {
        match value {
            Some(value) => batch.put(table.name(), key, value),
            None => batch.delete(table.name(), key),
        }
    }
    batch.put(Table::Meta.name(), PLACE_ROW, codec::encode(place));
    batch
}

/// How far the rows are.
pub(super) fn load_place(slot: &StoreSlot) -> Result<Place, StoreError> {
    let row = slot.with(|store| store.read(Table::Meta.name(), PLACE_ROW))?;
    let place = row.map(|bytes| codec::decode(&bytes));
    place
        .transpose()
        .map(Option::unwrap_or_default)
        .map_err(|e| slot.corrupt(&format!("place: {e}")))
}

/// What stays on the disk: the audit log's leaves and subtrees, and which of its records tell the stories of keys.
const ON_DISK_ONLY: [Table; 3] = [Table::Audit, Table::AuditTree, Table::History];

/// The state that the rows make.
pub(super) fn load_state(slot: &StoreSlot) -> Result<State, RaftError> {
    load_tables(slot, &ON_DISK_ONLY)
}

/// For a planted bug only.
pub(super) fn load_state_without_requests(slot: &StoreSlot) -> Result<State, RaftError> {
    let [leaves, subtrees, history] = ON_DISK_ONLY;
    load_tables(slot, &[leaves, subtrees, history, Table::Requests])
}

fn load_tables(slot: &StoreSlot, without: &[Table]) -> Result<State, RaftError> {
    let mut rows = Vec::new();
    for table in Table::ALL
        .into_iter()
        .filter(|table| !without.contains(table))
    {
        let mut read_to: Option<Vec<u8>> = None;
        loop {
            let bound = read_to.as_deref().map_or(Unbounded, Excluded);
            let page = slot.with(|store| store.scan(table.name(), bound, Unbounded, SCAN_ROWS))?;
            let Some((last, _)) = page.last() else { break };
            let (next, is_last) = (last.clone(), page.len() < SCAN_ROWS);
            rows.extend(page.into_iter().map(|(key, value)| (table, key, value)));
            if is_last {
                break;
            }
            read_to = Some(next);
        }
    }
    Ok(State::load(rows)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_has_every_table_of_the_state() {
        assert_eq!(STATE.tables, Table::ALL.map(Table::name));
    }
}
