//! An open database that can be closed while openraft's tasks still know it.

use crate::fault::Fault;
use conclave_env::store::{Checkpoint, Done};
use conclave_env::{Database, Storage, Store, StoreError};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a [`Store`] calls when it is done.
type Answer<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// What comes of that; an error if the database was closed meanwhile.
pub(crate) type Awaited<T> = oneshot::Receiver<Result<T, StoreError>>;

/// An open database. The only handle to it is in here, so that [`StoreSlot::close`] closes it whoever still holds
/// the slot: the node can then open it again in the same process.
pub(crate) struct StoreSlot {
    database: Database,
    store: RwLock<Option<Arc<dyn Store>>>,
    fault: Fault,
}

impl StoreSlot {
    pub(crate) fn open(
        storage: &dyn Storage,
        database: Database,
        fault: Fault,
    ) -> Result<Arc<Self>, StoreError> {
        let store = RwLock::new(Some(storage.open(database)?));
        Ok(Arc::new(Self {
            database,
            store,
            fault,
        }))
    }

    /// Uses the database. An error ends the replica, since the handle is of no use any more.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = self.with_foreign(work);
        if let Err(error) = &result {
            self.note(error);
        }
        result
    }

    /// Uses the database on behalf of somebody else, whose bad data must not end this replica.
    pub(crate) fn with_foreign<T>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.store.read() {
            Some(store) => work(&**store),
            None => Err(self.closed()),
        }
    }

    /// Takes note of an error, so that the replica stops if the database does.
    pub(crate) fn note(&self, error: &StoreError) {
        let is_open = self.store.read().is_some();
        if is_open && !matches!(error, StoreError::NoCheckpoint { .. }) {
            self.fault.set(&error.to_string());
        }
    }

    /// Makes durable what was written before, then calls `done`.
    pub(crate) fn sync_then(&self, done: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        let fault = self.fault.clone();
        let done: Done = Box::new(move |result| {
            if let Err(error) = &result {
                fault.set(&error.to_string());
            }
            done(result);
        });
        match &*self.store.read() {
            Some(store) => store.sync(done),
            None => done(Err(self.closed())),
        }
    }

    /// Makes durable what was written before.
    pub(crate) async fn sync(&self) -> Result<(), StoreError> {
        let (done, synced) = oneshot::channel();
        self.sync_then(move |result| drop(done.send(result)));
        synced.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// How often the disk was synced since the database was opened; none if it is closed.
    pub(crate) fn syncs(&self) -> u64 {
        self.store.read().as_ref().map_or(0, |store| store.syncs())
    }

    /// Moves what was written before to tables. An error does not end the replica: see [`Self::note`].
    pub(crate) async fn settle(&self) -> Result<(), StoreError> {
        let settled = self.ask(Store::settle);
        settled.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// Erases what was overwritten or removed in a table. An error does not end the replica, as above.
    pub(crate) async fn erase(&self, table: &'static str) -> Result<(), StoreError> {
        let erased = self.ask(|store, done| store.erase(table, done));
        erased.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// Takes a checkpoint; the answer comes when it is complete. An error does not end the replica, as above.
    pub(crate) fn checkpoint(&self, name: &str, meta: &[u8]) -> Awaited<Checkpoint> {
        self.ask(|store, taken| store.checkpoint(name, meta, taken))
    }

    /// Asks the database for something at once; the answer comes later.
    fn ask<T: Send + 'static>(&self, question: impl FnOnce(&dyn Store, Answer<T>)) -> Awaited<T> {
        let (answer, awaited) = oneshot::channel();
        let answer: Answer<T> = Box::new(move |result| drop(answer.send(result)));
        match &*self.store.read() {
            Some(store) => question(&**store, answer),
            None => answer(Err(self.closed())),
        }
        awaited
    }

    /// Closes the database; every later use is an error.
    pub(crate) fn close(&self) {
        drop(self.store.write().take());
    }

    /// What is wrong with something that was stored here.
    pub(crate) fn corrupt(&self, detail: &impl ToString) -> StoreError {
        StoreError::Corrupt {
            path: self.database.name.to_owned(),
            detail: detail.to_string(),
        }
    }

    pub(crate) fn closed(&self) -> StoreError {
        let path = self.database.name.to_owned();
        StoreError::Io {
            path,
            detail: "the database was closed".to_owned(),
        }
    }
}
