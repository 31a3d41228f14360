//! Benchmarks: micro-benchmarks under `benches/` and `limits`, each beside the limit that it cannot beat, measured in the
//! same run; the load generator `load`; and `cluster`, which starts the nodes that `versus/run` compares with OpenBao
//! (docs/performance.md).

pub mod load;
pub mod outage;
pub mod token;
pub mod uses;
