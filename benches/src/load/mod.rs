//! Puts load on a running cluster through the client library, and tells what it cost.
//!
//! [`Plan`] says what to do, [`run`] does it, [`Report`] is what came of it. Callers work on their own and write into
//! shards of a [`Tally`]; one task opens and closes the [`Window`] that counts, and reads the system's own figures at
//! both of its ends.

mod access;
mod machine;
mod nodes;
mod pacer;
mod plan;
mod report;
mod run;
mod table;
mod tally;
mod window;
mod work;

pub use access::Access;
pub use machine::{Machine, Meter, NodeUsage, Usage};
pub use plan::{Operation, Plan, Protection};
pub use report::{ErrorReport, Latency, Raft, Report};
pub use run::{Progress, run};
pub use table::write_table;
pub use tally::Tally;
pub use window::Window;
pub use work::{Failure, Work};

/// A count as a figure to reckon with.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts are far below 2^52, and figures are rounded anyway"
)]
fn real(count: u64) -> f64 {
    count as f64
}
