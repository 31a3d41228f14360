//! Ordered tables on a disk that can fail.
//!
//! A store sits *below* the Raft log and the state machine (docs/adr/0004). Both of its kinds pass one suite,
//! `contract::store`.

use std::ops::Bound;
use thiserror::Error;

/// A database of a node: its name and its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Database {
    /// The directory's name below the data directory.
    pub name: &'static str,
    /// The tables, in any order. A table missing on the disk is made.
    pub tables: &'static [&'static str],
}

/// Why storage failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The disk is full.
    #[error(
        "no space left on the disk that holds {path}: free some, the node then recovers by itself"
    )]
    NoSpace {
        /// The database's path.
        path: String,
    },
    /// The file system is mounted read-only, or permissions forbid writing.
    #[error(
        "{path} cannot be written ({detail}): make it writable, the node then recovers by itself"
    )]
    ReadOnly {
        /// The database's path.
        path: String,
        /// What the operating system said.
        detail: String,
    },
    /// Something that was durable is gone or changed.
    #[error("{path} is damaged ({detail}): take the node out, and let it rejoin under a new id")]
    Corrupt {
        /// The database's path.
        path: String,
        /// What was found.
        detail: String,
    },
    /// Another process has the database open.
    #[error("{path} is in use by another process: stop that one first")]
    InUse {
        /// The database's path.
        path: String,
    },
    /// No checkpoint or file of that name.
    #[error("no checkpoint {name}")]
    NoCheckpoint {
        /// The name asked for.
        name: String,
    },
    /// Anything else of the operating system.
    #[error("{path}: {detail}")]
    Io {
        /// The database's path.
        path: String,
        /// What the operating system said.
        detail: String,
    },
}

/// Writes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// In this order.
    pub writes: Vec<Write>,
}

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a row.
    Put {
        /// One of the database's tables.
        table: &'static str,
        /// The row's name.
        key: Vec<u8>,
        /// Its contents.
        value: Vec<u8>,
    },
    /// Removes a row, if it is there.
    Delete {
        /// One of the database's tables.
        table: &'static str,
        /// The row's name.
        key: Vec<u8>,
    },
    /// Removes the rows `from <= key < to`.
    DeleteRange {
        /// One of the database's tables.
        table: &'static str,
        /// The first row to go.
        from: Vec<u8>,
        /// The first row to stay.
        to: Vec<u8>,
    },
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a row.
    pub fn put(&mut self, table: &'static str, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push(Write::Put {
            table,
            key: key.into(),
            value: value.into(),
        });
    }

    /// Removes a row.
    pub fn delete(&mut self, table: &'static str, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Delete {
            table,
            key: key.into(),
        });
    }

    /// Removes the rows `from <= key < to`.
    pub fn delete_range(
        &mut self,
        table: &'static str,
        from: impl Into<Vec<u8>>,
        to: impl Into<Vec<u8>>,
    ) {
        self.writes.push(Write::DeleteRange {
            table,
            from: from.into(),
            to: to.into(),
        });
    }
}

/// A row: its key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Called once, when what was written before is durable or has failed. It must be quick and not block.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Called once, when a checkpoint is complete and durable, or is not there. It must be quick and not block.
pub type Taken = Box<dyn FnOnce(Result<Checkpoint, StoreError>) + Send>;

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckpointFile {
    /// No directory, `[A-Za-z0-9._-]{1,128}`.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// SHA-256 of its contents.
    pub sha256: [u8; 32],
}

/// A checkpoint: an immutable, durable image of all tables at one instant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// Given by whoever took it, `[a-z0-9-]{1,64}`.
    pub name: String,
    /// What whoever took it wants to find with it.
    pub meta: Vec<u8>,
    /// Its files.
    pub files: Vec<CheckpointFile>,
}

/// One open database.
///
/// Every call is quick enough to be made from an async task, except `install`, which reads all that there is. Errors
/// other than [`StoreError::NoCheckpoint`] are final for this handle: drop it and open the database again.
pub trait Store: Send + Sync + 'static {
    /// One row.
    ///
    /// # Errors
    /// As the disk has them.
    fn read(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Rows between two bounds in the order of their keys, at most `limit`.
    ///
    /// # Errors
    /// As the disk has them.
    fn scan(
        &self,
        table: &'static str,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// The last row of a table.
    ///
    /// # Errors
    /// As the disk has them.
    fn last(&self, table: &'static str) -> Result<Option<Row>, StoreError>;

    /// Applies a batch: visible to readers when it returns, durable after the next [`Store::sync`]. After a power
    /// failure the batches that survive are a prefix of those written, each whole.
    ///
    /// # Errors
    /// As the disk has them; then nothing of the batch is visible.
    fn write(&self, batch: Batch) -> Result<(), StoreError>;

    /// Makes all that was written before durable, then calls `done`. Calls wait in order, and those that wait
    /// together share one fsync.
    fn sync(&self, done: Done);

    /// How often the disk was made to sync for those who called [`Store::sync`], since the database was opened.
    fn syncs(&self) -> u64;

    /// Moves what was written before to tables, then calls `done`. Reads and writes go on meanwhile, which wait while
    /// [`Store::checkpoint`] copies what is not in tables.
    fn settle(&self, done: Done);

    /// Rewrites a table so that nothing which was overwritten or removed in it before is left in any file of the
    /// database, then calls `done`; checkpoints stay as they are. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// As the disk has them, given to `done`; also if such a file could not be removed.
    fn erase(&self, table: &'static str, done: Done);

    /// Takes a checkpoint that holds exactly what had been written when this is called, and calls `taken` when it is
    /// complete and durable: what takes long, reading back and digests, may go on after this has returned. One of the
    /// same name is replaced. Checkpoints are taken one after the other; one that is not complete when the database is
    /// closed is not taken.
    ///
    /// # Errors
    /// As the disk has them, given to `taken`; then there is no checkpoint of that name, unless there was one.
    fn checkpoint(&self, name: &str, meta: &[u8], taken: Taken);

    /// The checkpoints there are, in the order of their names.
    ///
    /// # Errors
    /// As the disk has them.
    fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError>;

    /// Forgets a checkpoint; its files may go later. No error if there is none.
    ///
    /// # Errors
    /// As the disk has them.
    fn remove_checkpoint(&self, name: &str) -> Result<(), StoreError>;

    /// Reads up to `len` bytes of a checkpoint's file; fewer only at its end.
    ///
    /// # Errors
    /// [`StoreError::NoCheckpoint`], or as the disk has them.
    fn read_checkpoint(
        &self,
        name: &str,
        file: &str,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, StoreError>;

    /// Begins to receive a checkpoint of another node. Unfinished ones are forgotten when dropped or at the next
    /// open.
    ///
    /// # Errors
    /// As the disk has them; [`StoreError::Corrupt`] if a name in it is not allowed.
    fn receive(&self, checkpoint: Checkpoint) -> Result<Box<dyn Receiver>, StoreError>;

    /// Replaces the contents of all tables by the checkpoint's. Atomic and durable: after a crash either the old
    /// contents or the new are there. The checkpoint stays.
    ///
    /// # Errors
    /// [`StoreError::NoCheckpoint`], or as the disk has them.
    fn install(&self, name: &str) -> Result<(), StoreError>;
}

/// A checkpoint under way from another node.
pub trait Receiver: Send {
    /// Adds bytes to a file; each file's bytes come in order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the file is not of this checkpoint, or longer than announced.
    fn write(&mut self, file: &str, offset: u64, data: &[u8]) -> Result<(), StoreError>;

    /// Checks every file's size and checksum, makes all durable, and only then lets the checkpoint be seen.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if something is missing or differs; then there is no checkpoint.
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// Where a node's databases are.
pub trait Storage: Send + Sync + 'static {
    /// Opens a database, made if it is not there. Recovers what a crash left. What an earlier life of the process wrote and
    /// did not sync may be read, and is durable only after the next [`Store::sync`].
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Corrupt`] if less is there than was durable, or as the disk has them.
    fn open(&self, database: Database) -> Result<std::sync::Arc<dyn Store>, StoreError>;

    /// Whether the disk takes writes: writes, syncs and removes a file of a few MiB.
    ///
    /// # Errors
    /// As the disk has them.
    fn probe(&self) -> Result<(), StoreError>;

    /// Where, for people.
    fn location(&self) -> String;
}
