//! Own keys, by the command line and wrapped by Python's `cryptography`, in a real cluster.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Canary, Cli, Cluster, Options, Ran, requests};
use conclave_client::v1::Role;
use conclave_crypto::{KeyMaterial, MacHash, mac};
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

const KEY: &[u8; 32] = b"thirty-two bytes of own material";

/// Material that is in clear nowhere but in the file that it came from, and inside HSMs.
#[tokio::test(flavor = "multi_thread")]
async fn keys_come_into_the_hsm() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    let admin = cluster.client("admin")?;
    admin
        .grant(requests::grant("admin", "demo", Role::User))
        .await?;
    let clis = [1, 2, 3].map(|id| cluster.cli("admin", &[id]));
    let [one, two, three] = clis;
    let (one, two, three) = (one?, two?, three?);
    let dir = tempfile::tempdir()?;
    let hands = [&one, &two, &three].map(|cli| Hand {
        cli,
        dir: dir.path(),
    });
    let [one, two, three] = &hands;
    python(&["kinds", &one.path("")])?;
    fs::write(one.path("key"), KEY)?;
    fs::write(one.path("message"), "attack at dawn")?;
    what_the_hsm_cannot_do_is_said(one).await?;
    by_python_and_sha_1(one, three).await?;
    pairs_by_the_command_line(one, three).await?;
    rsa_for_others(one, three).await?;

    // The next version goes where the key is.
    fs::write(one.path("next"), [0xC8; 32])?;
    let line = "key import demo/inside --as-version --material @next";
    let next = two.must(line).await?;
    ensure!(next["primary_version"] == 2 && next["protection"] == "HSM");

    cluster.node(2).terminate().await?;
    cluster.boot(2).await?;
    cluster.unseal(2).await?;
    for (number, name) in [("1", "sealed"), ("2", "sealed-again")] {
        if number == "2" {
            let line = "encrypt demo/inside --in @message --out @sealed-again";
            one.run(line).await?.must_succeed()?;
        }
        let opened = two.run(&format!("decrypt --in @{name}")).await?;
        ensure!(opened.must_succeed()?.stdout == b"attack at dawn", "{name}");
    }
    let mut canary = Canary::default();
    canary.add("an imported key", KEY);
    // Behind what PKCS#8 has in front of it.
    canary.add("an imported scalar", &fs::read(two.path("p256"))?[36..68]);
    for id in [1, 2, 3] {
        let found = canary.search_files(&cluster.layout().node_dir(id))?;
        ensure!(found.is_empty(), "{found:?}");
    }
    cluster.finish()
}

async fn what_the_hsm_cannot_do_is_said(hand: &Hand<'_>) -> Result<()> {
    for method in ["rsa3072", "rsa4096"] {
        let line = format!("import-job create demo --protection hsm --method {method}");
        let refused = hand.run(&line).await?;
        ensure!(refused.code == Some(1), "{refused:?}");
        let hint = "choose RSA-OAEP-3072-SHA-1-AES-256 or RSA-OAEP-4096-SHA-1-AES-256";
        ensure!(refused.stderr.contains(hint), "{refused:?}");
        let reason = hand.refused(&line).await?;
        ensure!(reason == "HSM_NOT_OFFERED", "{reason}");
    }
    let line = "key import demo/ed --algorithm ed25519 --protection hsm --material @ed25519";
    let reason = hand.refused(line).await?;
    ensure!(reason == "HSM_NOT_OFFERED", "{reason}");
    Ok(())
}

async fn by_python_and_sha_1(hand: &Hand<'_>, other: &Hand<'_>) -> Result<()> {
    let line = "import-job create demo --protection hsm --out @job.pem";
    let job = hand.must(line).await?;
    ensure!(job["method"] == "RSA_OAEP_3072_SHA1_AES_256", "{job}");
    ensure!(job["protection"] == "HSM", "{job}");
    let job = job["import_job_id"].as_str().context("an id")?.to_owned();
    let import = |name: &str, wrapped: &str| {
        format!("key import demo/{name} --protection hsm --wrapped @{wrapped} --job {job}")
    };
    let wrap = |material: &str, out: &str, hash: &str| {
        let paths = ["job.pem", material, out].map(|name| hand.path(name));
        python(&["wrap", &paths[0], &paths[1], &paths[2], hash])
    };
    wrap("key", "wrapped", "sha1")?;
    wrap("key", "by-sha256", "sha256")?;
    fs::write(hand.path("short"), [7; 31])?;
    wrap("short", "of-31", "sha1")?;
    fs::write(hand.path("long"), [7; 33])?;
    wrap("long", "of-33", "sha1")?;
    wrap("p256", "of-p256", "sha1")?;
    let good = fs::read(hand.path("wrapped"))?;
    fs::write(hand.path("garbage"), vec![0x5A; good.len()])?;
    fs::write(hand.path("cut"), &good[..good.len() - 8])?;
    for wrong in ["by-sha256", "of-31", "of-33", "of-p256", "garbage", "cut"] {
        let reason = hand.refused(&import("inside", wrong)).await?;
        ensure!(reason == "WRAPPED_KEY_INVALID", "{wrong}: {reason}");
    }
    let outside = format!("key import demo/inside --wrapped @wrapped --job {job}");
    let reason = hand.refused(&outside).await?;
    ensure!(reason == "IMPORT_JOB_PROTECTION", "{reason}");
    let software = hand.must("import-job create demo").await?;
    let software = software["import_job_id"].as_str().context("an id")?;
    let line = import("inside", "wrapped").replace(&job, software);
    let reason = hand.refused(&line).await?;
    ensure!(reason == "IMPORT_JOB_PROTECTION", "{reason}");

    let made = hand.must(&import("inside", "wrapped")).await?;
    ensure!(made["versions"][0]["imported"] == true, "{made}");
    ensure!(made["protection"] == "HSM", "{made}");
    let reason = other.refused(&import("again", "wrapped")).await?;
    ensure!(reason == "IMPORT_JOB_USED", "{reason}");
    let line = "encrypt demo/inside --in @message --out @sealed";
    hand.run(line).await?.must_succeed()?;
    let opened = other.run("decrypt --in @sealed").await?.must_succeed()?;
    ensure!(opened.stdout == b"attack at dawn");

    // The command line wraps by itself, here and offline; the code is that of the key in the file.
    let line = "key import demo/mac --algorithm hmac-sha-256 --protection hsm --material @key";
    hand.must(line).await?;
    let code = other.must("mac demo/mac --in @message").await?;
    let key = KeyMaterial::from_slice(KEY)?;
    let expected = mac::generate(MacHash::Sha256, &key, b"attack at dawn")?;
    let expected = hex::encode(expected);
    ensure!(code.to_string().contains(&expected), "{code}");
    let line = "import-job create demo --protection hsm --method rsa4096-sha1 --out @job.pem";
    let job = hand.must(line).await?;
    let job = job["import_job_id"].as_str().context("an id")?.to_owned();
    let wrap = "import-job wrap --public-key @job.pem --material @key --out @offline --method";
    let wrong = hand.run(&format!("{wrap} rsa3072-sha1")).await?;
    ensure!(wrong.code == Some(1), "{wrong:?}");
    ensure!(wrong.stderr.contains("--method"), "{wrong:?}");
    hand.must(&format!("{wrap} rsa4096-sha1")).await?;
    let line = format!("key import demo/off --protection hsm --wrapped @offline --job {job}");
    hand.must(&line).await?;
    Ok(())
}

async fn pairs_by_the_command_line(hand: &Hand<'_>, other: &Hand<'_>) -> Result<()> {
    for (algorithm, file) in [
        ("ecdsa-p256", "p256"),
        ("ecdsa-p384", "p384"),
        ("rsa-2048", "rsa"),
        ("ecdh-p256", "p256"),
    ] {
        let key = format!("demo/{algorithm}");
        let line =
            format!("key import {key} --algorithm {algorithm} --protection hsm --material @{file}");
        hand.must(&line).await?;
        let line = format!("key public {key} --out @told.pub");
        other.must(&line).await?;
        let known = fs::read(hand.path(&format!("{file}.pub")))?;
        ensure!(fs::read(hand.path("told.pub"))? == known, "{algorithm}");
        if algorithm != "ecdh-p256" {
            let line = format!("sign {key} --in @message --out @signature");
            other.run(&line).await?.must_succeed()?;
            let line = format!("verify {key} --in @message --signature-file @signature");
            hand.run(&line).await?.must_succeed()?;
        }
    }
    for (algorithm, file) in [
        ("ecdsa-p384", "p256"),
        ("ecdsa-p256", "k256"),
        ("ecdsa-p256", "rsa"),
        ("rsa-3072", "rsa"),
        ("rsa-2048", "rsa-of-three"),
        ("rsa-2048", "key"),
        ("aes-256-gcm", "p256"),
    ] {
        let line = format!(
            "key import demo/no --algorithm {algorithm} --protection hsm --material @{file}"
        );
        let reason = hand.refused(&line).await?;
        ensure!(reason == "WRAPPED_KEY_INVALID", "{line}: {reason}");
    }
    Ok(())
}

/// A key that was outside, to decrypt what others encrypt by RSA-OAEP with SHA-1.
async fn rsa_for_others(hand: &Hand<'_>, other: &Hand<'_>) -> Result<()> {
    let line =
        "key import demo/inbox --algorithm rsa-oaep-2048-sha-1 --protection hsm --material @rsa";
    hand.must(line).await?;
    let paths = ["rsa.pub", "message", "order"].map(|name| hand.path(name));
    let encrypted = Command::new("openssl")
        .args(["pkeyutl", "-encrypt", "-pubin", "-inkey", &paths[0]])
        .args(["-in", &paths[1], "-out", &paths[2]])
        .args(["-pkeyopt", "rsa_padding_mode:oaep"])
        .status()?;
    ensure!(encrypted.success());
    let opened = other
        .run("asymmetric-decrypt demo/inbox --in @order")
        .await?;
    ensure!(opened.must_succeed()?.stdout == b"attack at dawn");
    Ok(())
}
