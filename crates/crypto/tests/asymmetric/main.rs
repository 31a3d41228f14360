//! Asymmetric keys against the vectors of others, and against other implementations.
#![allow(clippy::unwrap_used, reason = "a test that is wrong may panic")]

mod changed_bits;
mod keys;
mod openssl;
mod python;
mod signature_vectors;
mod wycheproof_signatures;
