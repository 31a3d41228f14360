//! Types a guide's commands into one shell, in a directory of its own.

use crate::guide::{Guide, Step};
use crate::matching::matches;
use anyhow::{Context as _, Result};
use conclave_chaos::real::{Cluster, NODES, binary};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

/// Who is behind a `--profile` of the guides: as `cluster/dev/lib.sh` has them. Nobody has a role but what `make up` and the
/// guides themselves grant.
const PROFILES: [&str; 5] = ["app", "clerk", "lead", "migrator", "operator"];
/// Of `cargo run … --example NAME` only the example is run: it is built.
const CARGO: &str = "cargo() { \"$EXAMPLES/${*: -1}\"; }\n";
/// How long a guide may take.
const GUIDE_MAX: Duration = Duration::from_secs(60);

/// Follows a guide; answers what was not as it says.
pub(crate) async fn follow(cluster: &Cluster, guide: &Guide) -> Result<Vec<String>> {
    let (home, records) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let profiles = records.path().join("profiles.toml");
    write_profiles(cluster, &profiles)?;
    fs::write(
        records.path().join("script"),
        script(guide, records.path())?,
    )?;
    let run = shell(cluster, home.path())?
        .env("CONCLAVE_CONFIG", profiles)
        .arg(records.path().join("script"))
        .output();
    let ended = timeout(GUIDE_MAX, run).await;
    let mut faults = Vec::new();
    for (number, step) in guide.steps.iter().enumerate() {
        let Some((seen, code)) = record(&records, number)? else {
            let why = match &ended {
                Ok(output) => {
                    let said = output.as_ref().map_or(&b""[..], |it| &it.stderr);
                    String::from_utf8_lossy(said).into_owned()
                }
                Err(_) => format!("it did not end within {GUIDE_MAX:?}"),
            };
            faults.push(report(guide, step, &why, "none"));
            break;
        };
        let expected: Vec<&str> = step.expected.iter().map(String::as_str).collect();
        let lines: Vec<&str> = seen.trim_end().lines().collect();
        if !matches(&expected, &lines) || (code != "0") != step.is_refused() {
            faults.push(report(guide, step, &seen, &code));
        }
    }
    Ok(faults)
}

/// What a command printed, and its exit code; none if it did not end.
fn record(records: &TempDir, number: usize) -> Result<Option<(String, String)>> {
    let path = |what: &str| records.path().join(format!("{number}.{what}"));
    if !path("code").exists() {
        return Ok(None);
    }
    let seen = String::from_utf8_lossy(&fs::read(path("seen"))?).into_owned();
    let code = fs::read_to_string(path("code"))?.trim().to_owned();
    Ok(Some((seen, code)))
}

/// Each command is read from a file of its own, as if it were typed: what it sets stays set.
fn script(guide: &Guide, records: &Path) -> Result<String> {
    let mut script = String::from(CARGO);
    for (number, step) in guide.steps.iter().enumerate() {
        let at = records.join(number.to_string()).display().to_string();
        fs::write(&at, format!("{}\n", step.command))?;
        writeln!(
            script,
            ". '{at}' >'{at}.seen' 2>&1 </dev/null\necho $? >'{at}.code.new'; mv '{at}.code.new' '{at}.code'"
        )?;
    }
    Ok(script)
}

/// A shell as after `. cluster/dev/run/env`.
fn shell(cluster: &Cluster, home: &Path) -> Result<Command> {
    let layout = cluster.layout();
    let admin = layout.principal("admin")?;
    let conclave = binary("conclave")?;
    let bin = conclave.parent().context("a program is in a directory")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let endpoints: Vec<&str> = NODES.map(|id| layout.api(id)).collect();
    let mut shell = Command::new("bash");
    shell
        .env_clear()
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("EXAMPLES", bin.join("examples"))
        .env("HOME", home)
        .env("LC_ALL", "C.UTF-8")
        .env("CONCLAVE_ENDPOINTS", endpoints.join(","))
        .env("CONCLAVE_CA", layout.pki().ca())
        .env("CONCLAVE_CERT", admin.cert)
        .env("CONCLAVE_CERT_KEY", admin.key)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(shell)
}

/// The profiles of others than admin.
fn write_profiles(cluster: &Cluster, path: &Path) -> Result<()> {
    let layout = cluster.layout();
    let endpoints: Vec<&str> = NODES.map(|id| layout.api(id)).collect();
    let mut text = String::new();
    for name in PROFILES {
        let files = layout.principal(name)?;
        writeln!(
            text,
            "[profiles.{name}]\nendpoints = {endpoints:?}\nca = \"{}\"\ncert = \"{}\"\ncert_key = \"{}\"",
            layout.pki().ca().display(),
            files.cert.display(),
            files.key.display()
        )?;
    }
    Ok(fs::write(path, text)?)
}

fn report(guide: &Guide, step: &Step, seen: &str, code: &str) -> String {
    let indented = |text: &str| -> String {
        let mut indented = String::new();
        for line in text.trim_end().lines() {
            let _ = writeln!(indented, "    {line}");
        }
        indented
    };
    let (file, line) = (&guide.file, step.line);
    format!(
        "docs/guides/{file}:{line}: $ {}\n  expected{}:\n{}  seen, exit code {code}:\n{}",
        step.command,
        if step.is_refused() {
            ", and to fail"
        } else {
            ""
        },
        indented(&step.expected.join("\n")),
        indented(seen)
    )
}
