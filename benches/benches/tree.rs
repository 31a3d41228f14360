//! The audit log: a record becomes a leaf's bytes, and the leaf goes into the Merkle tree; beside the one SHA-256 of
//! the leaf that no tree can spare.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use conclave_benches::uses::audit_record;
use conclave_core::AuditTree;
use criterion::{Criterion, criterion_group, criterion_main};
use ring::digest;
use std::hint::black_box;
use std::time::Duration;

fn leaves(c: &mut Criterion) {
    let record = audit_record(1_000_000);
    let leaf = record.to_leaf();
    let mut group = c.benchmark_group("audit");
    group.bench_function("record to leaf", |b| {
        b.iter(|| black_box(&record).to_leaf());
    });
    // On average one inner node for each leaf, beside the leaf's own hash.
    group.bench_function("append to the tree", |b| {
        let mut tree = AuditTree::default();
        b.iter(|| tree.append(black_box(&leaf)));
    });
    group.bench_function("root of the tree", |b| {
        let mut tree = AuditTree::default();
        for _ in 0..(1 << 20) - 1 {
            tree.append(&leaf);
        }
        b.iter(|| black_box(&tree).root());
    });
    group.bench_function("limit: ring SHA-256 of the leaf", |b| {
        b.iter(|| digest::digest(&digest::SHA256, black_box(&leaf)));
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = short(); targets = leaves }
criterion_main!(benches);
