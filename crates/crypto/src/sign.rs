//! Signatures by the asymmetric key versions at protection SOFTWARE.
//!
//! Private keys are stored as [`PrivateMaterial`](crate::PrivateMaterial), encoded by kind:
//!
//! | kind | stored | source |
//! |---|---|---|
//! | Ed25519 | seed, 32 bytes | RFC 8032 |
//! | ECDSA P-256, P-384 | scalar, 32 or 48 bytes, big-endian | SEC 1 |
//! | ML-DSA-65 | seed ξ, 32 bytes | FIPS 204 |
//! | RSA | PKCS#8 version 1 in DER | RFC 5208, RFC 8017 |
//!
//! [`generate`] makes them from random bytes that are given, so that the same bytes make the same
//! key; only RSA draws for itself. A [`SigningKey`] is prepared once, and then signs in many
//! threads. The nonces of ECDSA, the salts of PSS and the hedging of ML-DSA come from the operating
//! system, inside the library: signatures of these kinds differ from call to call.
//!
//! Not here: `ring`, which has no digests to sign, no RSA keys to generate and no ML-DSA, and does
//! not wipe the keys that it holds.

mod ecdsa;
mod generate;
mod kind;
mod scheme;
mod signing_key;
mod transport;
mod verifying_key;

pub use ecdsa::{der_to_raw, raw_to_der};
pub use generate::{generate, generate_rsa};
pub use kind::KeyKind;
pub use scheme::{EcdsaForm, Hash, Input, Scheme};
pub use signing_key::SigningKey;
pub use transport::{export, import};
pub use verifying_key::VerifyingKey;
