//! The same nodes in a hostile world.
//!
//! [`sim`] runs nodes in a simulated one, from a seed. [`real`] runs `conclaved` and `conclave` as processes on loopback,
//! with a SoftHSM token each: it kills and freezes them by their own process id, and looks at them from outside only.
//! Both leave [`evidence`] that the same [`invariants`] judge.

#![forbid(unsafe_code)]

#[cfg(not(any(tokio_unstable, doc, doctest)))]
compile_error!(
    "build with --cfg tokio_unstable: .cargo/config.toml says so, and an exported RUSTFLAGS overrides it silently"
);

pub mod answers;
pub mod calls;
pub mod evidence;
pub mod history;
pub mod invariants;
mod merkle;
mod model;
mod named;
pub mod real;
pub mod sim;
