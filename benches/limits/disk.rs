//! A bare append and fdatasync: what a durable log cannot spare.

use crate::meter::{Tally, Window, on_threads};
use crate::report::Report;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

const SIZES_BYTES: [usize; 2] = [512, 4096];
/// A file that has grown so long begins anew.
const FILE_BYTES_MAX: usize = 256 << 20;

/// Appends and syncs, one after the other, to a file in `dir`.
///
/// # Errors
/// If the directory cannot be written.
pub(crate) fn measure(dir: &Path, length: Duration, report: &mut Report) -> Result<()> {
    let scratch = tempfile::tempdir_in(dir)
        .with_context(|| format!("{} cannot be written: choose another --dir", dir.display()))?;
    for size in SIZES_BYTES {
        let file = File::create(scratch.path().join("appended"))?;
        let worker = move |window: &Window| append(file, size, window);
        let name = format!("append and fdatasync, {size} B");
        report.add(&on_threads(name, length, vec![worker])?)?;
    }
    Ok(())
}

fn append(mut file: File, size: usize, window: &Window) -> Result<Tally> {
    // Not zeros, which some file systems store as nothing.
    let bytes = vec![0xA5; size];
    let mut tally = Tally::default();
    let mut written = 0;
    while !window.is_over() {
        if written >= FILE_BYTES_MAX {
            file.set_len(0)?;
            file.rewind()?;
            written = 0;
        }
        let began = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        tally.call(window, began.elapsed());
        written += size;
    }
    Ok(tally)
}
