//! Applying batches of use records through the state machine, rows written to RocksDB: what each node does for an entry
//! once it is committed. Nothing is synced (docs/adr/0004).

#![allow(missing_docs, reason = "criterion's macros make public items")]

use conclave_benches::uses::{Batches, RECORDS, forming};
use conclave_core::Command;
use conclave_env::os::RocksStorage;
use conclave_raft::measure::BareMachine;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;
use tempfile::tempdir_in;
use tokio::runtime::Runtime;

/// Below the build's directory: a disk, where `/tmp` may be memory.
const DIR: &str = env!("CARGO_TARGET_TMPDIR");

fn applies(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let dir = tempdir_in(DIR).expect("a directory");
    let mut machine = BareMachine::open(&RocksStorage::new(dir.path())).expect("a new state");
    let forming = forming().iter().map(Command::encode).collect();
    runtime
        .block_on(machine.apply(forming))
        .expect("the disk takes it");
    let mut batches = Batches::new();
    let mut group = c.benchmark_group("state");
    for records in RECORDS {
        group.throughput(Throughput::Elements(records));
        let (before, command) = (machine.audit_size(), batches.next(records).encode());
        runtime
            .block_on(machine.apply(vec![command]))
            .expect("the disk takes it");
        assert_eq!(
            machine.audit_size() - before,
            records,
            "such a batch is recorded"
        );
        group.bench_function(BenchmarkId::new("apply and write", records), |b| {
            b.iter_batched(
                || batches.next(records).encode(),
                |command| {
                    runtime
                        .block_on(machine.apply(vec![command]))
                        .expect("the disk takes it");
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = short(); targets = applies }
criterion_main!(benches);
