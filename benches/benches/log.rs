//! Appending batches of use records to the Raft log on RocksDB, each durable before the next, beside a bare append and
//! fdatasync of as many bytes on the same file system.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use conclave_benches::uses::{Batches, RECORDS};
use conclave_env::os::RocksStorage;
use conclave_raft::measure::BareLog;
use criterion::{
    BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;
use tempfile::tempdir_in;
use tokio::runtime::Runtime;

/// Below the build's directory: a disk, where `/tmp` may be memory.
const DIR: &str = env!("CARGO_TARGET_TMPDIR");

fn appends(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let dir = tempdir_in(DIR).expect("a directory");
    let storage = RocksStorage::new(dir.path());
    let mut log = runtime
        .block_on(BareLog::open(&storage))
        .expect("a new log");
    let mut batches = Batches::new();
    let mut group = c.benchmark_group("log");
    group.sampling_mode(SamplingMode::Flat);
    for records in RECORDS {
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::new("append", records), |b| {
            b.iter_batched(
                || batches.next(records).encode(),
                |command| {
                    runtime
                        .block_on(log.append(vec![command]))
                        .expect("the disk takes it");
                },
                BatchSize::SmallInput,
            );
        });
        let bytes = batches.next(records).encode();
        let mut file = File::create(dir.path().join("bare")).expect("a file");
        group.bench_function(BenchmarkId::new("limit: fdatasync", records), |b| {
            b.iter(|| {
                file.write_all(&bytes).expect("the disk takes it");
                file.sync_data().expect("the disk takes it");
            });
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = short(); targets = appends }
criterion_main!(benches);
