//! Secret types, and pure transformations of them: messages, wraps, shares, streams, signatures.
//!
//! No I/O and no clock; nonces, salts and seeds are arguments. Some randomised constructions draw
//! from the operating system inside their libraries, because these offer no other way: Shamir's
//! polynomial ([`share::split`]), age's file keys ([`age_file`]), the primes of RSA keys, the nonces
//! and salts of signatures ([`sign`]), the seeds of [`oaep`], and encapsulation ([`kem`]). All
//! cryptography is composed from `ring`, `aws-lc-rs` (for what `ring` lacks), `curve25519-dalek`,
//! `ml-kem`, `age` and `shamirsecretsharing`; none is written here. The formats are specified under `docs/format/`, with test vectors.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test that is wrong may panic"
    )
)]

pub mod age_file;
pub mod agree;
pub mod audit;
pub mod context;
mod encoding;
mod error;
mod hkdf;
pub mod kem;
pub mod kwp;
pub mod limits;
pub mod mac;
pub mod message;
pub mod oaep;
pub mod public_key;
pub mod root;
mod rsa;
pub mod rsa_aes;
pub mod secret;
pub mod share;
pub mod share_file;
pub mod sign;
pub mod stream;
pub mod wrap;

pub use age_file::{decrypt_with, encrypt_to, generate_identity};
pub use error::{CryptoError, ShareError};
pub use mac::MacHash;
pub use message::{Header, OVERHEAD_BYTES, Suite};
pub use oaep::OaepHash;
pub use public_key::{PublicKey, PublicKind, RsaSize};
pub use secret::{
    AuditSigningSeed, DataKey, IntegrityKey, KeyMaterial, MessagePrk, PrivateMaterial, RootKey,
    Secret, SecretBytes, SoftwareKek,
};
pub use share::{Share, ShareSet};
pub use share_file::ShareFile;
pub use stream::{StreamHeader, StreamOpener, StreamSealer};
pub use wrap::{Binding, KekBinding};
