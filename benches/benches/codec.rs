//! Batches of use records as bytes: what a leader encodes, and every node decodes.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use conclave_benches::uses::{Batches, RECORDS};
use conclave_core::Command;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

fn commands(c: &mut Criterion) {
    let mut batches = Batches::new();
    let mut group = c.benchmark_group("codec");
    for records in RECORDS {
        let command = batches.next(records);
        let bytes = command.encode();
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::new("encode", records), |b| {
            b.iter(|| black_box(&command).encode());
        });
        group.bench_function(BenchmarkId::new("decode", records), |b| {
            b.iter(|| Command::decode(black_box(&bytes)).expect("our own"));
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = short(); targets = commands }
criterion_main!(benches);
