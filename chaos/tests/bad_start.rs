//! A node that cannot be right does not start, and says what to do.

use anyhow::{Result, ensure};
use conclave_chaos::real::{Cluster, Exit, Options};
use std::fs;
use std::net::TcpListener;

/// The node did not start, with this exit code, and said all of this.
fn must_say(exit: &Exit, code: i32, hints: &[&str]) -> Result<()> {
    ensure!(
        exit.code == Some(code),
        "it ended with {:?}: {}",
        exit.code,
        exit.log
    );
    for hint in hints {
        ensure!(
            exit.log.contains(hint),
            "it does not say {hint:?}: {}",
            exit.log
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_belongs_to_one_node_of_one_cluster() -> Result<()> {
    let mut cluster = Cluster::prepare(Options::default())?;
    let exit = cluster.node(1).run_to_its_end().await?;
    must_say(&exit, 1, &["is not formatted", "conclaved format"])?;
    cluster.node(1).format().await?;
    cluster.node(2).format().await?;
    let exit = cluster.node(1).run_task("format").await?;
    must_say(&exit, 1, &["belongs to node 1", "not formatted again"])?;

    let [own, others] = ["data_dir = \"data\"", "data_dir = \"../node2/data\""];
    cluster.layout().edit_config(1, own, others)?;
    let exit = cluster.node(1).run_to_its_end().await?;
    must_say(
        &exit,
        1,
        &["belongs to node 2", "correct the configuration"],
    )?;
    cluster.layout().edit_config(1, others, own)?;

    let id = hex::encode(cluster.layout().cluster_id());
    let other_id = "0123456789abcdef0123456789abcdef";
    cluster.layout().edit_config(1, &id, other_id)?;
    let exit = cluster.node(1).run_to_its_end().await?;
    must_say(&exit, 1, &[&id, other_id, "correct the configuration"])?;
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() -> Result<()> {
    let mut cluster = Cluster::prepare(Options::default())?;
    cluster.node(1).format().await?;
    for address in [cluster.layout().api(1), cluster.layout().peer(1)].map(str::to_owned) {
        let squatter = TcpListener::bind(&address)?;
        let exit = cluster.node(1).run_to_its_end().await?;
        must_say(&exit, 1, &["cannot listen on", &address])?;
        drop(squatter);
    }
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hsm_that_cannot_be_opened_is_explained() -> Result<()> {
    let mut cluster = Cluster::prepare(Options::default())?;
    cluster.node(1).format().await?;
    let token = cluster.layout().token(1).clone();
    let right = token.pin()?;
    fs::write(&token.pin_file, "000000000000")?;
    let exit = cluster.node(1).run_to_its_end().await?;
    must_say(&exit, 1, &["PIN"])?;
    ensure!(!exit.log.contains("000000000000"), "the PIN is in the log");
    let exit = cluster.node(1).run_task("check").await?;
    must_say(&exit, 1, &["PIN"])?;
    fs::write(&token.pin_file, &right)?;

    let label = format!("token = \"{}\"", token.label);
    cluster
        .layout()
        .edit_config(1, &label, "token = \"nowhere\"")?;
    must_say(&cluster.node(1).run_to_its_end().await?, 1, &["nowhere"])?;
    cluster
        .layout()
        .edit_config(1, "token = \"nowhere\"", &label)?;

    let module = token.module.display().to_string();
    cluster
        .layout()
        .edit_config(1, &module, "/nowhere/module.so")?;
    must_say(
        &cluster.node(1).run_to_its_end().await?,
        1,
        &["/nowhere/module.so"],
    )?;
    cluster
        .layout()
        .edit_config(1, "/nowhere/module.so", &module)?;

    fs::remove_file(&token.pin_file)?;
    must_say(&cluster.node(1).run_to_its_end().await?, 1, &["pin"])?;
    fs::write(&token.pin_file, &right)?;
    must_say(&cluster.node(1).run_task("check").await?, 0, &[])?;
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_certificate_keeps_the_door_shut() -> Result<()> {
    let mut cluster = Cluster::prepare(Options::default())?;
    cluster.node(1).format().await?;
    let pki = cluster.layout().dir().join("pki");
    let expired = cluster.layout().pki().expired("node")?;
    let other_key = fs::read(pki.join("node2.key"))?;
    for (file, content, hint) in [
        ("ca.pem", None, "ca.pem"),
        ("ca.pem", Some(Vec::new()), "ca.pem"),
        (
            "ca.pem",
            Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec()),
            "ca.pem",
        ),
        ("node1.pem", None, "node1.pem"),
        ("node1.pem", Some(fs::read(&expired.cert)?), "renew it"),
        ("node1.key", Some(other_key), "node1.key"),
    ] {
        let path = pki.join(file);
        let right = fs::read(&path)?;
        match content {
            None => fs::remove_file(&path)?,
            Some(content) => fs::write(&path, content)?,
        }
        let exit = cluster.node(1).run_to_its_end().await?;
        must_say(&exit, 1, &[hint])?;
        fs::write(&path, right)?;
    }
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_says_where() -> Result<()> {
    let mut cluster = Cluster::prepare(Options::default())?;
    for (from, to, hint) in [
        ("[raft]", "[raft]\nspeed = 3", "speed"),
        ("admins = [\"admin\"]", "admins = []", "cluster.admins"),
        ("[node]\nid = 1", "[node]\nid = 7", "node.id"),
        ("level = \"info\"", "level = \"=,\"", "log.level"),
    ] {
        cluster.layout().edit_config(1, from, to)?;
        let exit = cluster.node(1).run_to_its_end().await?;
        must_say(&exit, 2, &[hint, "config.toml"])?;
        cluster.layout().edit_config(1, to, from)?;
    }
    cluster.finish()
}
