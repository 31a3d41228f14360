//! The end of a key on real nodes: what was destroyed is in no file of any of them.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Cluster, NODES, Options, audit_log, refusal, requests, until_in};
use conclave_client::{Client, v1};
use conclave_core::Table;
use conclave_env::os::RocksStorage;
use conclave_env::{Database, Storage as _};
use conclave_raft::inspect::STATE_DATABASE;
use std::fs;
use std::ops::Bound::Unbounded;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tonic::Code;
use v1::Protection;

const DAY_SECONDS: i64 = 86_400;
/// How long the nodes may take: a purge that has to wait for a handover of leadership takes several seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// One key of each protection.
const KEYS: [(&str, Protection); 2] = [
    ("demo/soft", Protection::Software),
    ("demo/hard", Protection::Hsm),
];

/// A key whose material came from outside.
const BROUGHT: &str = "demo/brought";

/// Pieces of what is wrapped in the rows of a table, out of the database of a node that does not run.
fn rows_of(cluster: &Cluster, id: u64, table: &'static str) -> Result<Vec<Vec<u8>>> {
    let storage = RocksStorage::new(cluster.layout().data_dir(id));
    let state = storage.open(Database {
        name: STATE_DATABASE,
        tables: &["versions", "imports"],
    })?;
    ensure!([Table::Versions, Table::Imports].map(Table::name) == ["versions", "imports"]);
    let rows = state.scan(table, Unbounded, Unbounded, 10)?;
    let middle = |(_, row): &(Vec<u8>, Vec<u8>)| row[row.len() / 2 - 12..][..24].to_vec();
    Ok(rows.iter().map(middle).collect())
}

/// The files below a directory that hold one of these.
fn find(dir: &Path, needles: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // A node that runs removes files and directories meanwhile, which hold nothing then.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(find(&path, needles));
            continue;
        }
        let Ok(bytes) = fs::read(&path) else { continue };
        let holds = |needle: &Vec<u8>| memchr::memmem::find(&bytes, needle).is_some();
        if needles.iter().any(holds) {
            found.push(path);
        }
    }
    found
}

async fn are_erased_by(client: &Client, nodes: &[u64]) -> Option<()> {
    for name in KEYS.map(|(name, _)| name).into_iter().chain([BROUGHT]) {
        let key = client.get_key(requests::get_key(name)).await.ok()?;
        let end = key.destruction.filter(|end| end.done_by_record.is_some())?;
        if end.erased_by_nodes != nodes || end.nodes != 3 {
            return None;
        }
    }
    Some(())
}

/// Three nodes with keys that are to be destroyed in a day; gives a message under each.
async fn prepare(cluster: &mut Cluster) -> Result<Vec<Vec<u8>>> {
    cluster.take_clocks().await?;
    cluster.boot_all().await?;
    cluster.found().await?;
    let (admin, app) = (cluster.client("admin")?, cluster.client("app")?);
    let mut sealed = Vec::new();
    for (name, protection) in KEYS {
        let create = requests::create_key_with(name, protection);
        admin.create_key(create).await?;
        sealed.push(app.encrypt(requests::encrypt(name, b"x")).await?.ciphertext);
        admin.deactivate_key(requests::transition(name)).await?;
        let refused = refusal(admin.schedule_key_destruction(destroy(name, false)).await)?;
        refused.must_be(Code::FailedPrecondition, "KEY_IN_USE", "--force")?;
        admin.schedule_key_destruction(destroy(name, true)).await?;
    }
    Ok(sealed)
}

fn destroy(name: &str, force: bool) -> v1::ScheduleKeyDestructionRequest {
    v1::ScheduleKeyDestructionRequest {
        name: name.to_owned(),
        waiting_period: Some(prost_types::Duration {
            seconds: DAY_SECONDS,
            nanos: 0,
        }),
        force,
        ..v1::ScheduleKeyDestructionRequest::default()
    }
}

/// Imports a key that is to be destroyed too, by a job whose row is in a file of node `away` by then: a node that starts writes
/// what its log held. Gives a piece of the job's wrapped private key.
async fn bring(cluster: &mut Cluster, away: u64) -> Result<Vec<u8>> {
    let here = Cluster::others(away).next().context("there are three")?;
    let admin = cluster.client_from("admin", here)?;
    let job = v1::CreateImportJobRequest {
        keyring: "demo".to_owned(),
        method: v1::ImportMethod::RsaOaep3072Sha256Aes256.into(),
        ..v1::CreateImportJobRequest::default()
    };
    let job = admin.create_import_job(job).await?;
    cluster.catches_up(away).await?;
    cluster.node(away).terminate().await?;
    let piece = rows_of(cluster, away, "imports")?;
    cluster.boot(away).await?;
    let key = conclave_crypto::PublicKey::from_spki(&job.public_key_der)?;
    let wrapping = conclave_crypto::oaep::EncryptingKey::new(&key)?;
    let ephemeral = conclave_crypto::KeyMaterial::from_slice(&[9; 32])?;
    let material = conclave_crypto::PrivateMaterial::from_slice(&[7; 32])?;
    let import = v1::ImportKeyRequest {
        import_job_id: job.import_job_id,
        wrapped_key: conclave_crypto::rsa_aes::wrap(&wrapping, &ephemeral, &material)?,
        target: Some(v1::import_key_request::Target::Key(v1::CreateKeyRequest {
            algorithm: v1::Algorithm::Aes256Gcm.into(),
            ..requests::create_key_with(BROUGHT, Protection::Software)
        })),
        ..v1::ImportKeyRequest::default()
    };
    admin.import_key(import).await?;
    admin.deactivate_key(requests::transition(BROUGHT)).await?;
    admin
        .schedule_key_destruction(destroy(BROUGHT, true))
        .await?;
    piece.into_iter().next().context("one job")
}

/// By the command line and by Python, neither of which asks a node; and what was changed is found.
async fn certificates_hold(cluster: &Cluster, admin: &Client) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cli = cluster.cli("admin", &[1, 2, 3])?;
    let key = admin.audit_root(v1::AuditRootRequest::default()).await?;
    let key = key.verifier_key.as_str();
    for (name, _) in KEYS {
        let file = dir.path().join(name.replace('/', "-"));
        let path = file.to_str().context("it is text")?;
        cli.run(&["key", "certificate", name, "--out", path])
            .await?
            .must_succeed()?;
        let verify = ["audit", "verify", path, "--verifier-key", key];
        let verified = cli.run(&verify).await?.must_succeed()?;
        let said = String::from_utf8(verified.stdout)?;
        ensure!(said.contains(&format!("destroyed: {name} (id ")), "{said}");
        for node in NODES {
            ensure!(said.contains(&format!("by node {node}, ")), "{said}");
        }
        let log = audit_log(admin).await?;
        let leaf = |record: &str| Some(hex::encode(&log.get(record.parse::<usize>().ok()?)?.leaf));
        let proved = python(path, key)?.context("Python finds the proofs good")?;
        ensure!(proved.lines().count() == 4, "{proved}");
        for line in proved.lines() {
            let (record, rest) = line.split_once(' ').context("a line of Python's")?;
            ensure!(rest.split(' ').nth(1) == leaf(record).as_deref(), "{line}");
        }
        // A hash of the first path becomes another one.
        let good = fs::read_to_string(&file)?;
        let mut lines: Vec<_> = good.lines().map(str::to_owned).collect();
        lines.swap(3, 4);
        fs::write(&file, lines.join("\n") + "\n")?;
        let refused = cli.run(&verify).await?;
        ensure!(refused.code == Some(1) && refused.stderr.contains("was changed"));
        ensure!(python(path, key)?.is_none(), "Python finds it good");
    }
    Ok(())
}

/// What `verify.py` prints; `None` if it finds something wrong.
fn python(path: &str, key: &str) -> Result<Option<String>> {
    let python = std::env::var_os("CONCLAVE_PYTHON").unwrap_or_else(|| "python3".into());
    let ran = Command::new(python)
        .args(["tests/destruction/verify.py", path, key])
        .output()
        .context("install Python 3, or name it by CONCLAVE_PYTHON")?;
    let said = String::from_utf8(ran.stderr)?;
    ensure!(
        !said.contains("ModuleNotFoundError"),
        "install Python's package 'cryptography' (Debian: python3-cryptography)"
    );
    Ok(ran
        .status
        .success()
        .then(|| String::from_utf8_lossy(&ran.stdout).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_destroyed_is_on_no_disk() -> Result<()> {
    let mut cluster = Cluster::prepare(Options::default())?;
    let sealed = prepare(&mut cluster).await?;
    let leader = cluster.leader().await?;
    let away = Cluster::others(leader).next().context("there are three")?;
    let job = bring(&mut cluster, away).await?;
    cluster.catches_up(away).await?;
    cluster.node(away).terminate().await?;
    let mut needles = rows_of(&cluster, away, "versions")?;
    ensure!(needles.len() == KEYS.len() + 1);
    let found = find(&cluster.layout().data_dir(away), std::slice::from_ref(&job));
    ensure!(!found.is_empty(), "node {away} has the import job nowhere");
    needles.push(job);
    for id in NODES {
        let found = find(&cluster.layout().data_dir(id), &needles);
        ensure!(!found.is_empty(), "node {id} holds none");
    }
    // Its date comes, for those that are there.
    let here: Vec<u64> = NODES.filter(|id| *id != away).collect();
    for id in NODES {
        cluster.set_clock(id, DAY_SECONDS + 60)?;
    }
    let admin = cluster.client_from("admin", here[0])?;
    let what = "two of three nodes have erased them";
    until_in(PATIENCE, what, async || are_erased_by(&admin, &here).await).await?;
    for id in NODES {
        let found = find(&cluster.layout().data_dir(id), &needles);
        ensure!(found.is_empty() == (id != away), "node {id}: {found:?}");
    }
    // Sealed, as a node is that comes back.
    cluster.boot(away).await?;
    let (all, what) = (NODES.collect::<Vec<_>>(), "all nodes have erased them");
    until_in(PATIENCE, what, async || are_erased_by(&admin, &all).await).await?;
    for id in NODES {
        let found = find(&cluster.layout().data_dir(id), &needles);
        ensure!(found.is_empty(), "node {id}: {found:?}");
    }
    for message in sealed {
        let app = cluster.client_from("app", here[0])?;
        let refused = refusal(app.decrypt(requests::decrypt(&message)).await)?;
        refused.must_be(Code::FailedPrecondition, "KEY_STATE", "DESTROYED")?;
    }
    certificates_hold(&cluster, &admin).await?;
    let log = audit_log(&admin).await?;
    let records = || log.iter().filter_map(|entry| entry.record.as_ref());
    let said = |operation: &str| records().filter(|it| it.operation == operation).count();
    ensure!(said("DestroyKey") == 3 && said("EraseKeyMaterial") >= 3);
    cluster.finish()
}
