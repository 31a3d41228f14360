//! Benchmarks, under `benches/`: what an operation costs beside the limit that it cannot beat, measured in the same
//! run (docs/performance.md).

pub mod token;
pub mod uses;
