//! Which records of the audit log tell the story of a key, as the disk has them.

use super::apply::StateMachine;
use conclave_core::history::{self, Erasure};
use conclave_core::{AuditSequence, KeyId, Table};
use conclave_env::StoreError;
use std::ops::{Bound, RangeInclusive};

type Row = (Vec<u8>, Vec<u8>);

impl StateMachine {
    /// Records of a key's story from `start` on, the earliest first.
    ///
    /// # Errors
    /// As the disk has them.
    pub(crate) fn key_history(
        &self,
        key: KeyId,
        start: AuditSequence,
        limit: usize,
    ) -> Result<Vec<AuditSequence>, StoreError> {
        let rows = self.history_rows(&history::rows_of(key, start), limit)?;
        let records = rows.into_iter().map(|(row, _)| history::record_of(&row));
        records.map(|it| it.ok_or_else(|| self.corrupt())).collect()
    }

    /// What nodes said that they have erased, from a record on, the earliest first.
    ///
    /// # Errors
    /// As the disk has them.
    pub(crate) fn erasures(
        &self,
        start: AuditSequence,
        limit: usize,
    ) -> Result<Vec<Erasure>, StoreError> {
        let rows = self.history_rows(&history::erasure_rows(start), limit)?;
        let erasures = rows
            .into_iter()
            .map(|(row, value)| Erasure::from_row(&row, &value));
        erasures
            .map(|it| it.ok_or_else(|| self.corrupt()))
            .collect()
    }

    fn history_rows(
        &self,
        range: &RangeInclusive<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (from, to) = (Bound::Included(range.start()), Bound::Included(range.end()));
        self.slot().with(|store| {
            let (from, to) = (from.map(Vec::as_slice), to.map(Vec::as_slice));
            store.scan(Table::History.name(), from, to, limit)
        })
    }

    fn corrupt(&self) -> StoreError {
        self.slot().corrupt(&"a row of a key's history")
    }
}
