//! Benchmarks: micro-benchmarks under `benches/` and `limits`, each beside the limit that it cannot beat, measured in the
//! same run; and the load generator `load` (docs/performance.md).

pub mod load;
pub mod token;
pub mod uses;
