//! Applying batches of use records: what the replicated state machine does for each use.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use conclave_benches::uses::{Batches, RECORDS, formed};
use conclave_core::Outcome;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

fn batches(c: &mut Criterion) {
    let (state, index) = formed();
    let mut batches = Batches::new();
    let mut group = c.benchmark_group("apply");
    for records in RECORDS {
        let command = batches.next(records);
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::new("uses", records), |b| {
            b.iter_batched(
                || (state.clone(), command.clone()),
                |(mut state, command)| {
                    let outcome = state.apply(index, command);
                    assert!(
                        matches!(outcome, Outcome::Verdicts(_)),
                        "the batch is recorded"
                    );
                    let changes = state.take_changes();
                    (state, changes)
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

criterion_group! { name = benches; config = short(); targets = batches }
criterion_main!(benches);
