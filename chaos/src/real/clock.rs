//! The wall clocks of real nodes: those of libfaketime, loaded into each node, which reads how far it is off from a file.
//! The monotonic clock is left alone.

use super::cluster::{Cluster, NODES};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian's package libfaketime puts it, and others.
const LIBRARIES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];
const YEAR_SECONDS: i64 = 400 * 24 * 3_600;

impl Cluster {
    /// Gives all nodes, none of which runs yet, wall clocks that [`Cluster::set_clock`] sets.
    ///
    /// # Errors
    /// If libfaketime is missing, or has no effect here.
    pub async fn take_clocks(&mut self) -> Result<()> {
        let library = LIBRARIES.iter().map(Path::new).find(|path| path.is_file());
        let library = library.context("libfaketime is missing: apt-get install faketime")?;
        for id in NODES {
            self.set_clock(id, 0)?;
            let file = offset_file(self, id).into_os_string();
            let environment = [
                ("LD_PRELOAD", library.as_os_str().to_owned()),
                ("FAKETIME_TIMESTAMP_FILE", file),
                ("FAKETIME_NO_CACHE", "1".into()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ];
            let environment = environment.map(|(name, value)| (name.into(), value));
            self.node(id).with_environment(environment.into());
        }
        ensure!(
            self.has_effect().await?,
            "libfaketime does not change a node's clock here"
        );
        Ok(())
    }

    /// Whether a node's log shows another year when its clock is more than a year off.
    async fn has_effect(&mut self) -> Result<bool> {
        let mut years = Vec::new();
        for seconds in [0, YEAR_SECONDS] {
            self.set_clock(1, seconds)?;
            let log = self.node(1).run_task("check").await?.log;
            let last = log.lines().last().unwrap_or_default();
            years.push(last.chars().take(4).collect::<String>());
        }
        self.set_clock(1, 0)?;
        Ok(years[0] != years[1])
    }

    /// Sets how far a node's clock is off from now on.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn set_clock(&self, id: u64, seconds: i64) -> Result<()> {
        let path = offset_file(self, id);
        // Written aside, so that no half of it is read.
        let aside = path.with_extension("new");
        fs::write(&aside, format!("{seconds:+}\n"))?;
        Ok(fs::rename(aside, path)?)
    }
}

fn offset_file(cluster: &Cluster, id: u64) -> PathBuf {
    cluster.layout().node_dir(id).join("clock")
}
