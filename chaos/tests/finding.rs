//! The guide's commands, as they stand there, against real nodes.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Cluster, Options, requests};
use conclave_client::v1::Role;
use std::fs;
use std::path::Path;

const GUIDE: &str = "../docs/guides/finding-keys.md";

/// The commands of the guide, without what is said beside them.
fn commands(guide: &str) -> Vec<String> {
    let lines = guide
        .lines()
        .filter_map(|line| line.strip_prefix("    conclave "));
    let command = |line: &str| line.split("  ").next().unwrap_or_default().to_owned();
    lines.map(command).collect()
}

/// An argument, with files in a directory of ours.
fn argument(text: &str, dir: &Path) -> String {
    if text.starts_with("a.") {
        dir.join(text).display().to_string()
    } else {
        text.to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_to_finding_keys_is_right() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let admin = cluster.client("admin")?;
    admin
        .grant(requests::grant("admin", "payments", Role::User))
        .await?;
    admin
        .create_key(requests::create_key("payments/card-pan-2"))
        .await?;
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("a.txt"), "plain")?;
    let commands = commands(&fs::read_to_string(GUIDE)?);
    ensure!(
        commands.len() >= 14,
        "the guide shows its commands: {commands:?}"
    );
    let cli = cluster.cli("admin", &[2, 1, 3])?;
    let mut last = String::new();
    for command in &commands {
        let arguments: Vec<String> = command
            .split(' ')
            .map(|it| argument(it, dir.path()))
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = cli.run(&arguments).await?;
        let ran = ran.must_succeed().context(command.clone())?;
        last = String::from_utf8(ran.stdout)?;
    }
    let story: Vec<&str> = last.lines().skip(1).collect();
    let expected = [
        "created by admin: AES-256-GCM SOFTWARE",
        "labelled by admin: tier=1, without env",
        "named payments/current as well, by admin",
        "alias payments/current moved to payments/card-pan-2 by admin",
    ];
    ensure!(story.len() == expected.len(), "{last}");
    for (line, expected) in story.iter().zip(expected) {
        ensure!(line.ends_with(expected), "{line} is not {expected}");
    }
    Ok(())
}
