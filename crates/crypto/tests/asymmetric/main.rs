//! Asymmetric keys against the vectors of others, and against other implementations.
#![allow(clippy::unwrap_used, reason = "a test that is wrong may panic")]

mod agreement;
mod changed_bits;
mod encryption;
mod key_wrap;
mod keys;
mod openssl;
mod openssl_secrets;
mod python;
mod signature_vectors;
mod transport;
mod wycheproof_key_wrap;
mod wycheproof_secrets;
mod wycheproof_signatures;
