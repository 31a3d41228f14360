//! The real outside: the system's clock and randomness, TCP with TLS, RocksDB, PKCS#11.

mod clock;
mod entropy;
mod identity;
mod memory;
mod network;
#[cfg(feature = "pkcs11")]
mod pkcs11;
#[cfg(feature = "rocksdb")]
mod rocks;
mod tls;

pub use clock::OsClock;
pub use entropy::OsEntropy;
pub use memory::{Hardening, LockedBuf, harden_process, lock_for_life};
pub use network::TlsNetwork;
#[cfg(feature = "pkcs11")]
pub use pkcs11::{Import, Pin, Pkcs11Config, Pkcs11Hsm, Residency};
#[cfg(feature = "rocksdb")]
pub use rocks::RocksStorage;
pub use tls::{TlsConfig, TlsError};
