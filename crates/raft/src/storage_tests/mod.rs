//! The log and the state machine against openraft's own suite, and against power failures.

mod log;
mod state;

use crate::fault::Fault;
use crate::log::{LOG, LogStore};
use crate::machine::{STATE, StateMachine};
use crate::slot::StoreSlot;
use crate::types::{Entry, LogId, Opaque, Payload, Proposal, Runtime, Types};
use conclave_env::Storage;
use conclave_env::mem::MemStorage;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::vote::RaftLeaderId;

type Leader = openraft::type_config::alias::LeaderIdOf<Types>;

fn open(storage: &dyn Storage) -> (LogStore, StateMachine) {
    let fault = Fault::none();
    let log = StoreSlot::open(storage, LOG, fault.clone()).unwrap();
    let state = StoreSlot::open(storage, STATE, fault).unwrap();
    (
        LogStore::load(log).unwrap(),
        StateMachine::load(state).unwrap(),
    )
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(Leader::new(term, 1).to_committed(), index)
}

fn entry(term: u64, index: u64, bytes: Vec<u8>) -> Entry {
    let payload = Payload::Normal(Proposal(Opaque::from(bytes)));
    Entry {
        log_id: log_id(term, index),
        payload,
    }
}

struct OnMemory;

impl StoreBuilder<Types, LogStore, StateMachine> for OnMemory {
    async fn build(&self) -> Result<((), LogStore, StateMachine), StorageError<Types>> {
        let (log, machine) = open(&MemStorage::new());
        Ok(((), log, machine))
    }
}

#[tokio::test]
async fn openrafts_suite_on_memory() {
    let suite = Suite::<Types, LogStore, StateMachine, _, ()>::test_all(OnMemory);
    Runtime::scope(1, Box::pin(suite)).await.unwrap();
}

#[cfg(feature = "rocksdb")]
mod on_rocksdb {
    use super::*;
    use conclave_env::os::RocksStorage;

    struct OnRocksDb;

    impl StoreBuilder<Types, LogStore, StateMachine, tempfile::TempDir> for OnRocksDb {
        async fn build(
            &self,
        ) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<Types>> {
            let directory = tempfile::tempdir().unwrap();
            let (log, machine) = open(&RocksStorage::new(directory.path()));
            Ok((directory, log, machine))
        }
    }

    #[tokio::test]
    async fn openrafts_suite_on_rocksdb() {
        let suite =
            Suite::<Types, LogStore, StateMachine, _, tempfile::TempDir>::test_all(OnRocksDb);
        Runtime::scope(1, Box::pin(suite)).await.unwrap();
    }
}

/// A stream of numbers that repeats with its seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
