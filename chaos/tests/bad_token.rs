//! The token is pulled out while the node runs.

use anyhow::{Result, ensure};
use conclave_chaos::real::{Cluster, NODES, Options, Refusal, requests, until};
use conclave_client::v1::{Protection, SealState};
use std::fs;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_pulled_out_gives_no_wrong_result_and_no_panic() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    let key = "demo/hard";
    let request = requests::create_key_with(key, Protection::Hsm);
    cluster.client("admin")?.create_key(request).await?;
    let sealed = cluster
        .client("app")?
        .encrypt(requests::encrypt(key, b"in clear"))
        .await?;
    let pulled = Cluster::others(cluster.leader().await?)
        .next()
        .expect("there are two");

    let objects = cluster.layout().token(pulled).objects.clone();
    let aside = objects.with_extension("aside");
    fs::rename(&objects, &aside)?;
    let app = cluster.client_at("app", pulled)?;
    let admin = cluster.client_at("admin", pulled)?;
    for number in 0..30 {
        // Session objects may outlive their token in some modules; then the answers must be right.
        match app.decrypt(requests::decrypt(&sealed.ciphertext)).await {
            Ok(opened) => ensure!(opened.plaintext.expose() == b"in clear", "opened wrongly"),
            Err(error) => refused_for_the_hsm(&Refusal::try_from(&error)?)?,
        }
        let name = format!("demo/new-{number}");
        let request = requests::create_key_with(&name, Protection::Hsm);
        if let Err(error) = admin.create_key(request).await {
            refused_for_the_hsm(&Refusal::try_from(&error)?)?;
        }
    }
    for id in Cluster::others(pulled) {
        let opened = cluster
            .client_at("app", id)?
            .decrypt(requests::decrypt(&sealed.ciphertext))
            .await?;
        ensure!(opened.plaintext.expose() == b"in clear");
    }

    // Put back, it serves again, at the latest after a restart and with the custodians.
    if objects.exists() {
        fs::remove_dir_all(&objects)?;
    }
    fs::rename(&aside, &objects)?;
    cluster.node(pulled).terminate().await?;
    cluster.boot(pulled).await?;
    cluster.catches_up(pulled).await?;
    cluster.unseal(pulled).await?;
    for id in NODES {
        let opened = cluster
            .client_at("app", id)?
            .decrypt(requests::decrypt(&sealed.ciphertext))
            .await?;
        ensure!(opened.plaintext.expose() == b"in clear");
    }
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_finds_no_token_does_not_start_and_the_others_go_on() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/x"))
        .await?;
    cluster.node(3).terminate().await?;
    let objects = cluster.layout().token(3).objects.clone();
    let aside = objects.with_extension("aside");
    fs::rename(&objects, &aside)?;
    fs::create_dir(&objects)?;
    let exit = cluster.node(3).run_to_its_end().await?;
    let label = cluster.layout().token(3).label.clone();
    ensure!(
        exit.code == Some(1) && exit.log.contains(&label),
        "{:?}: {}",
        exit.code,
        exit.log
    );
    cluster
        .client("app")?
        .encrypt(requests::encrypt("demo/x", b"x"))
        .await?;
    fs::remove_dir(&objects)?;
    fs::rename(&aside, &objects)?;
    cluster.boot(3).await?;
    cluster.catches_up(3).await?;
    cluster.unseal(3).await?;
    until("node 3 is unsealed", async || {
        let status = cluster.status(3).await.ok()?;
        (status.seal() == SealState::Unsealed).then_some(())
    })
    .await?;
    cluster.finish()
}

fn refused_for_the_hsm(refused: &Refusal) -> Result<()> {
    let known = ["HSM_FAILED", "NODE_SEALED"].contains(&refused.reason.as_str());
    ensure!(refused.code == Code::Unavailable && known, "{refused:?}");
    Ok(())
}
