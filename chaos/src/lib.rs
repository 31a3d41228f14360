//! The same nodes in a hostile world: harness of the tests under `tests/`, a file per property.
//!
//! [`real`] runs `conclaved` and `conclave` as processes on loopback, with a SoftHSM token each. It
//! kills and freezes them by their own process id, and looks at them from outside only: through the
//! public API, the command line, their logs and their files.

pub mod real;
