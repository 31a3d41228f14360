//! Applying batches of use records: what the replicated state machine does for each use.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use conclave_core::{
    BatchId, Body, ClusterId, Command, EncryptionContext, LogIndex, NodeId, Operation, Outcome,
    PrincipalName, RequestId, Revision, State, TimeMs, UseBatch, UseRecord,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const RECORDS: [u64; 3] = [1, 64, 1_024];

fn formed() -> State {
    let mut state = State::new();
    let admins = vec![PrincipalName::new("admin").expect("a good name")];
    let body = Body::Form {
        cluster: ClusterId([1; 16]),
        admins,
    };
    state.apply(
        LogIndex(1),
        Command {
            node: NodeId(1),
            time: TimeMs(1),
            body,
        },
    );
    state.take_changes();
    state
}

fn record(access_revision: Revision, n: u64) -> UseRecord {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    UseRecord {
        request: RequestId(id),
        attempt: 0,
        principal: PrincipalName::new("app").expect("a good name"),
        source: "127.0.0.1:54321".to_owned(),
        operation: Operation::GenerateRandom,
        key: None,
        destination: None,
        context: EncryptionContext::default(),
        count: 1,
        refusal: None,
        access_revision,
    }
}

fn batches(c: &mut Criterion) {
    let state = formed();
    let revision = state.access().revision();
    let mut group = c.benchmark_group("apply");
    for records in RECORDS {
        let records_of = |count: u64| (0..count).map(|n| record(revision, n)).collect();
        let batch = UseBatch {
            id: BatchId {
                incarnation: 1,
                sequence: 1,
            },
            records: records_of(records),
        };
        let command = Command {
            node: NodeId(1),
            time: TimeMs(2),
            body: Body::Uses(batch),
        };
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::new("uses", records), |b| {
            b.iter_batched(
                || (state.clone(), command.clone()),
                |(mut state, command)| {
                    let outcome = state.apply(LogIndex(2), command);
                    assert!(
                        matches!(outcome, Outcome::Verdicts(_)),
                        "the batch is recorded"
                    );
                    state.take_changes()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, batches);
criterion_main!(benches);
