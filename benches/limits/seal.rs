//! Bare AES-256-GCM of `ring`, and whole messages as a node makes them, on one core.

use crate::meter::{Tally, Window, on_threads};
use crate::report::Report;
use anyhow::{Context as _, Result};
use conclave_core::{EncryptionContext, KeyId, VersionNumber};
use conclave_crypto::{KeyMaterial, Suite, message};
use conclave_env::Entropy as _;
use conclave_env::os::OsEntropy;
use ring::aead;
use std::hint::black_box;
use std::time::Duration;

const SIZES_BYTES: [usize; 3] = [32, 4 * 1024, 64 * 1024];
/// Calls between two looks at the window.
const CALLS_AT_ONCE: u32 = 64;

/// Seals, one after the other, in one thread.
///
/// # Errors
/// If nobody reads the report.
pub(crate) fn measure(length: Duration, report: &mut Report) -> Result<()> {
    for size in SIZES_BYTES {
        let worker = move |window: &Window| bare(size, window);
        let name = format!("ring AES-256-GCM seal, {size} B");
        report.add(&on_threads(name, length, vec![worker])?)?;
    }
    let given = |window: &Window| whole(window, |_| ());
    let name = "whole message, 32 B".to_owned();
    report.add(&on_threads(name, length, vec![given])?)?;
    let entropy = OsEntropy::new();
    let drawn = |window: &Window| whole(window, |salt| entropy.fill(salt));
    let name = "whole message, 32 B, salt drawn".to_owned();
    report.add(&on_threads(name, length, vec![drawn])?)
}

fn repeat(window: &Window, mut call: impl FnMut() -> Result<()>) -> Result<Tally> {
    let mut tally = Tally::default();
    while !window.is_over() {
        for _ in 0..CALLS_AT_ONCE {
            call()?;
        }
        tally.calls(window, CALLS_AT_ONCE);
    }
    Ok(tally)
}

/// Under one key, in place: no derivation and no allocation.
fn bare(size: usize, window: &Window) -> Result<Tally> {
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, &[7; 32]).expect("32 bytes");
    let key = aead::LessSafeKey::new(key);
    let (mut body, mut number) = (vec![3; size], 0_u64);
    repeat(window, || {
        number += 1;
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::empty(), black_box(&mut body));
        let _ = black_box(tag.ok().context("the body is too long")?);
        Ok(())
    })
}

/// HKDF, seal and commitment.
fn whole(window: &Window, draw: impl Fn(&mut [u8])) -> Result<Tally> {
    let material = KeyMaterial::from_fn(|out| out.fill(7));
    let context = EncryptionContext::default();
    let (suite, id, version) = (Suite::Aes256GcmHkdf, KeyId([1; 16]), VersionNumber(1));
    let (mut salt, plaintext) = ([9; 32], [3; 32]);
    repeat(window, || {
        draw(&mut salt);
        let prk = message::prk_software(&material, &salt);
        let plaintext = black_box(&plaintext);
        let sealed = message::seal(&prk, suite, id, version, &salt, &context, b"", plaintext)?;
        black_box(sealed);
        Ok(())
    })
}
