//! Whose a data directory is. Written once, checked at every start: two nodes under one id, or one node with another
//! one's log, would break every promise of Raft without anybody noticing.

use crate::codec;
use crate::error::RaftError;
use crate::log::LOG;
use conclave_core::{ClusterId, NodeId};
use conclave_env::{Batch, Storage, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::ops::Bound::Unbounded;
use std::sync::Arc;
use tokio::sync::oneshot;

const IDENTITY_ROW: &[u8] = b"identity";

/// Whose a data directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
}

/// Makes a data directory the node's.
///
/// # Errors
/// [`RaftError::AlreadyFormatted`] if it is somebody's, be it the same node's; [`RaftError::Storage`].
pub async fn format(
    storage: &dyn Storage,
    cluster: ClusterId,
    node: NodeId,
) -> Result<(), RaftError> {
    let store = storage.open(LOG)?;
    if let Some(Identity { cluster, node }) = read(&*store)? {
        let location = storage.location();
        return Err(RaftError::AlreadyFormatted {
            location,
            node,
            cluster,
        });
    }
    // A log without an identity is not ours to adopt.
    if !store
        .scan(crate::log::ENTRIES, Unbounded, Unbounded, 1)?
        .is_empty()
    {
        return Err(corrupt("there is a log, but nothing says whose").into());
    }
    let mut batch = Batch::new();
    batch.put(
        crate::log::META,
        IDENTITY_ROW,
        codec::encode(&Identity { cluster, node }),
    );
    store.write(batch)?;
    sync(&store).await?;
    Ok(())
}

/// Whose a data directory is; `None` if it is nobody's. Opens the log's database, which must not be open.
///
/// # Errors
/// [`RaftError::Storage`].
pub fn identity(storage: &dyn Storage) -> Result<Option<Identity>, RaftError> {
    let store = storage.open(LOG)?;
    Ok(read(&*store)?)
}

/// Refuses a data directory that is nobody's or somebody else's.
pub(crate) fn check(
    found: Option<Identity>,
    wanted: Identity,
    location: String,
) -> Result<(), RaftError> {
    match found {
        None => Err(RaftError::NotFormatted { location }),
        Some(found) if found == wanted => Ok(()),
        Some(Identity { cluster, node }) => Err(RaftError::Foreign {
            location,
            node,
            cluster,
            wanted_node: wanted.node,
            wanted_cluster: wanted.cluster,
        }),
    }
}

pub(crate) fn read(store: &dyn Store) -> Result<Option<Identity>, StoreError> {
    let row = store.read(crate::log::META, IDENTITY_ROW)?;
    row.map(|bytes| codec::decode(&bytes).map_err(|e| corrupt(&format!("identity: {e}"))))
        .transpose()
}

fn corrupt(detail: &str) -> StoreError {
    StoreError::Corrupt {
        path: LOG.name.to_owned(),
        detail: detail.to_owned(),
    }
}

async fn sync(store: &Arc<dyn Store>) -> Result<(), StoreError> {
    let (done, synced) = oneshot::channel();
    store.sync(Box::new(move |result| drop(done.send(result))));
    synced
        .await
        .unwrap_or_else(|_| Err(corrupt("the store dropped a sync")))
}
