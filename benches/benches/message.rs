//! Encrypting and decrypting one message, beside the bare AES-256-GCM of `ring` that it cannot beat; and the derivation
//! of its key alone.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use conclave_core::{EncryptionContext, KeyId, VersionNumber};
use conclave_crypto::{KeyMaterial, Suite, message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ring::aead;
use std::hint::black_box;
use std::time::Duration;

const SIZES_BYTES: [usize; 3] = [32, 4 * 1024, 64 * 1024];

fn messages(c: &mut Criterion) {
    let material = KeyMaterial::from_fn(|out| out.fill(7));
    let context = EncryptionContext::default();
    let (salt, id, version) = ([9; 32], KeyId([1; 16]), VersionNumber(1));
    let mut group = c.benchmark_group("message");
    for size in SIZES_BYTES {
        let plaintext = vec![3; size];
        let seal = || {
            let prk = message::prk_software(&material, &salt);
            let suite = Suite::Aes256GcmHkdf;
            message::seal(&prk, suite, id, version, &salt, &context, b"", &plaintext)
                .expect("within the limits")
        };
        let blob = seal();
        group.throughput(Throughput::Bytes(u64::try_from(size).expect("small")));
        group.bench_function(BenchmarkId::new("seal", size), |b| b.iter(seal));
        group.bench_function(BenchmarkId::new("open", size), |b| {
            b.iter(|| {
                let prk = message::prk_software(&material, &salt);
                message::open(&prk, black_box(&blob), &context, b"")
                    .expect("our own")
                    .len()
            });
        });
        group.bench_function(BenchmarkId::new("limit: ring seal", size), |b| {
            let key = aead::UnboundKey::new(&aead::AES_256_GCM, &[7; 32]).expect("32 bytes");
            let key = aead::LessSafeKey::new(key);
            b.iter(|| {
                let mut body = black_box(&plaintext).clone();
                let nonce = aead::Nonce::assume_unique_for_key([1; 12]);
                key.seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut body)
                    .expect("within the limits");
                body
            });
        });
    }
    group.finish();
}

/// Extract gives the message's pseudorandom key; a message under another key is refused as soon as everything was
/// derived from that, before anything is decrypted: all of HKDF, and one comparison.
fn derivation(c: &mut Criterion) {
    let (material, other) = (
        KeyMaterial::from_fn(|out| out.fill(7)),
        KeyMaterial::from_fn(|out| out.fill(8)),
    );
    let context = EncryptionContext::default();
    let (salt, id, version) = ([9; 32], KeyId([1; 16]), VersionNumber(1));
    let prk = message::prk_software(&other, &salt);
    let suite = Suite::Aes256GcmHkdf;
    let blob = message::seal(&prk, suite, id, version, &salt, &context, b"", &[3; 32])
        .expect("within the limits");
    let mut group = c.benchmark_group("derive");
    group.bench_function("extract", |b| {
        b.iter(|| message::prk_software(&material, black_box(&salt)));
    });
    group.bench_function("extract, expand and refuse", |b| {
        b.iter(|| {
            let prk = message::prk_software(&material, &salt);
            let refused = message::open(&prk, black_box(&blob), &context, b"");
            assert!(refused.is_err(), "it is under another key");
        });
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = short(); targets = messages, derivation }
criterion_main!(benches);
