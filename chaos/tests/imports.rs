//! Own keys, by the command line and wrapped by Python's `cryptography`, in a real cluster.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Cli, Cluster, Options, Ran, requests};
use conclave_client::v1::Role;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs `transport.py`.
fn python(arguments: &[&str]) -> Result<()> {
    let python = std::env::var_os("CONCLAVE_PYTHON").unwrap_or_else(|| "python3".into());
    let status = Command::new(python)
        .arg("tests/imports/transport.py")
        .args(arguments)
        .status()
        .context("install Python 3, or name it by CONCLAVE_PYTHON")?;
    ensure!(
        status.success(),
        "install Python's package 'cryptography' (Debian: python3-cryptography)"
    );
    Ok(())
}

/// The command line, and a directory for files.
struct Hand<'a> {
    cli: &'a Cli,
    dir: &'a Path,
}

impl Hand<'_> {
    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Words with `@` in front are files.
    async fn run(&self, line: &str) -> Result<Ran> {
        let word = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.path(name),
            None => word.to_owned(),
        };
        let words: Vec<String> = line.split_whitespace().map(word).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.cli.run(&words).await
    }

    async fn must(&self, line: &str) -> Result<Value> {
        let ran = self.run(&format!("{line} --output json")).await?;
        let ran = ran.must_succeed().with_context(|| line.to_owned())?;
        Ok(serde_json::from_slice(&ran.stdout).unwrap_or(Value::Null))
    }

    /// The reason of a refusal.
    async fn refused(&self, line: &str) -> Result<String> {
        let ran = self.run(&format!("{line} --output json")).await?;
        ensure!(ran.code == Some(1), "{line}: {ran:?}");
        let error: Value = serde_json::from_str(&ran.stderr)?;
        let reason = error["error"]["reason"].as_str();
        Ok(reason.context("it has a reason")?.to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_elsewhere_and_go_there() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let admin = cluster.client("admin")?;
    admin
        .grant(requests::grant("admin", "demo", Role::User))
        .await?;
    let cli = cluster.cli("admin", &[1, 2, 3])?;
    let dir = tempfile::tempdir()?;
    let hand = Hand {
        cli: &cli,
        dir: dir.path(),
    };
    let files = ["own", "own.pub", "signing", "signing.pub"].map(|name| hand.path(name));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    python(&[&["make"], &files[..]].concat())?;
    fs::write(hand.path("key"), [7; 32])?;
    wrapped_by_python(&hand).await?;
    wrapped_by_the_command_line(&hand).await?;
    out_again(&hand).await?;
    cluster.finish()
}

async fn wrapped_by_python(hand: &Hand<'_>) -> Result<()> {
    let job = hand.must("import-job create demo --out @job.pem").await?;
    let job = job["import_job_id"].as_str().context("an id")?.to_owned();
    let (public, key) = (hand.path("job.pem"), hand.path("key"));
    python(&["wrap", &public, &key, &hand.path("wrapped")])?;
    let line = format!("key import demo/ours --wrapped @wrapped --job {job} --exportable");
    let made = hand.must(&line).await?;
    ensure!(made["versions"][0]["imported"] == true, "{made}");
    let again = hand.refused(&line.replace("ours", "again")).await?;
    ensure!(again == "IMPORT_JOB_USED", "{again}");

    // Wrapped for another job: with another public key.
    let job = hand.must("import-job create demo --method rsa4096").await?;
    let job = job["import_job_id"].as_str().context("an id")?.to_owned();
    let line = format!("key import demo/again --wrapped @wrapped --job {job}");
    let wrong = hand.refused(&line).await?;
    ensure!(wrong == "WRAPPED_KEY_INVALID", "{wrong}");
    let elsewhere = hand.refused(&line.replace("demo/", "other/")).await?;
    ensure!(elsewhere == "IMPORT_JOB_KEYRING", "{elsewhere}");
    let listed = hand.must("import-job list demo").await?;
    ensure!(listed["import_jobs"].as_array().map(Vec::len) == Some(2));
    Ok(())
}

async fn wrapped_by_the_command_line(hand: &Hand<'_>) -> Result<()> {
    let line = "key import demo/signer --algorithm ecdsa-p256 --material @signing --exportable";
    hand.must(line).await?;
    hand.must("key public demo/signer --out @told.pub").await?;
    ensure!(fs::read(hand.path("told.pub"))? == fs::read(hand.path("signing.pub"))?);
    let taken = hand.refused(line).await?;
    ensure!(taken == "KEY_EXISTS", "{taken}");
    // Not 32 bytes.
    let wrong = hand
        .refused("key import demo/x --material @signing")
        .await?;
    ensure!(wrong == "WRAPPED_KEY_INVALID", "{wrong}");
    fs::write(hand.path("next"), [8; 32])?;
    let line = "key import demo/ours --as-version --material @next";
    let next = hand.must(line).await?;
    ensure!(next["primary_version"] == 2, "{next}");
    Ok(())
}

async fn out_again(hand: &Hand<'_>) -> Result<()> {
    for (line, material) in [
        ("key export demo/ours --version 1", "key"),
        ("key export demo/ours", "next"),
        ("key export demo/signer", "signing"),
    ] {
        let line = format!("{line} --to-public-key @own.pub --out @out");
        hand.run(&line).await?.must_succeed()?;
        python(&[
            "unwrap",
            &hand.path("own"),
            &hand.path("out"),
            &hand.path("clear"),
        ])?;
        let (clear, material) = (
            fs::read(hand.path("clear"))?,
            fs::read(hand.path(material))?,
        );
        ensure!(clear == material, "{line}: another key came out");
    }
    hand.must("key create demo/kept").await?;
    let line = "key export demo/kept --to-public-key @own.pub --out @out";
    let kept = hand.refused(line).await?;
    ensure!(kept == "KEY_NOT_EXPORTABLE", "{kept}");
    Ok(())
}
