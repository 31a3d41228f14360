//! What a node asks of its HSM: on a SoftHSM token through the pool of sessions, and of the module in the process.
//! `limits` measures the same token without the pool.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use anyhow::Result;
use conclave_benches::token::{Seat, with_token};
use conclave_crypto::message::prk_hsm_message;
use conclave_env::mem::MemHsm;
use conclave_env::os::{OsEntropy, Pkcs11Hsm};
use conclave_env::{Hsm, HsmKey, HsmKeyKind};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use futures::future::join_all;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Sessions beside the owner's, as a node has them by default.
const SESSIONS: usize = 2;
/// Messages whose keys are asked for at once.
const CALLERS: [u64; 2] = [1, 64];

struct Keys {
    root: HsmKey,
    mac: HsmKey,
    /// The MAC key, wrapped under the root key.
    wrapped: Vec<u8>,
}

fn keys(runtime: &Runtime, hsm: &dyn Hsm) -> Result<Keys> {
    runtime.block_on(async {
        let root = hsm.import_root("root", &[7; 32]).await?;
        let wrapped = hsm.generate_wrapped(root, HsmKeyKind::Mac).await?;
        let mac = hsm.unwrap(root, &wrapped, HsmKeyKind::Mac).await?;
        Ok(Keys { root, mac, wrapped })
    })
}

/// The HMACs from which so many messages' keys are made.
async fn hmacs(hsm: &dyn Hsm, key: HsmKey, message: &[u8], callers: u64) {
    let calls = (0..callers).map(|_| async {
        let mut prk = [0; 32];
        hsm.hmac_sha256(key, message, &mut prk)
            .await
            .expect("the key is there");
    });
    join_all(calls).await;
}

fn operations(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    hsm: &dyn Hsm,
    keys: &Keys,
) {
    let message = prk_hsm_message(&[9; 32]);
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(BenchmarkId::new("hmac", callers), |b| {
            b.iter(|| runtime.block_on(hmacs(hsm, keys.mac, &message, callers)));
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("random 32 B", |b| {
        let mut out = [0; 32];
        b.iter(|| {
            runtime
                .block_on(hsm.random(&mut out))
                .expect("it has randomness");
        });
    });
    group.bench_function("generate a wrapped key", |b| {
        b.iter(|| {
            runtime
                .block_on(hsm.generate_wrapped(keys.root, HsmKeyKind::Mac))
                .expect("the root key is there")
        });
    });
    group.bench_function("unwrap and destroy a key", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let unwrapped = hsm.unwrap(keys.root, &keys.wrapped, HsmKeyKind::Mac);
                let key = unwrapped.await.expect("our own");
                hsm.destroy(key).await.expect("it is there");
            });
        });
    });
}

fn benches(seat: &Seat) -> Result<()> {
    let runtime = Runtime::new()?;
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let token = Pkcs11Hsm::open(seat.config(SESSIONS))?;
    let memory = MemHsm::new(Arc::new(OsEntropy::new()));
    for (name, hsm) in [("softhsm", &token as &dyn Hsm), ("in process", &memory)] {
        let keys = keys(&runtime, hsm)?;
        let mut group = criterion.benchmark_group(name);
        operations(&mut group, &runtime, hsm, &keys);
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

fn main() -> Result<ExitCode> {
    with_token(benches)
}
