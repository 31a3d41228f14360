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

/// A piece of the wrapped material of each key there is, out of the database of a node that does not run.
fn material(cluster: &Cluster, id: u64) -> Result<Vec<Vec<u8>>> {
    let storage = RocksStorage::new(cluster.layout().data_dir(id));
    let state = storage.open(Database {
        name: STATE_DATABASE,
        tables: &["versions"],
    })?;
    ensure!(Table::Versions.name() == "versions");
    let rows = state.scan("versions", Unbounded, Unbounded, 10)?;
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
    for (name, _) in KEYS {
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
        let destroy = |force| v1::ScheduleKeyDestructionRequest {
            name: name.to_owned(),
            waiting_period: Some(prost_types::Duration {
                seconds: DAY_SECONDS,
                nanos: 0,
            }),
            force,
            ..v1::ScheduleKeyDestructionRequest::default()
        };
        let refused = refusal(admin.schedule_key_destruction(destroy(false)).await)?;
        refused.must_be(Code::FailedPrecondition, "KEY_IN_USE", "--force")?;
        admin.schedule_key_destruction(destroy(true)).await?;
    }
    Ok(sealed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_destroyed_is_on_no_disk() -> Result<()> {
    let mut cluster = Cluster::prepare(Options::default())?;
    let sealed = prepare(&mut cluster).await?;
    let leader = cluster.leader().await?;
    let away = Cluster::others(leader).next().context("there are three")?;
    cluster.catches_up(away).await?;
    cluster.node(away).terminate().await?;
    let needles = material(&cluster, away)?;
    ensure!(needles.len() == KEYS.len());
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
    let log = audit_log(&admin).await?;
    let records = || log.iter().filter_map(|entry| entry.record.as_ref());
    let said = |operation: &str| records().filter(|it| it.operation == operation).count();
    ensure!(said("DestroyKey") == 2 && said("EraseKeyMaterial") >= 3);
    cluster.finish()
}
