//! The audit log: exactly one record for each acknowledged use, the same on every node.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Cluster, NODES, Options, audit_log, merkle_root, records_of, requests};
use conclave_client::v1::{self, AuditEntry, AuditRootRequest};
use conclave_client::{Client, store::v1::Outcome};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use std::collections::BTreeMap;

/// Request id, operation, and how many items: of a use that was acknowledged.
type Use = (Vec<u8>, &'static str, u32);

const EVERY: u64 = 200;
const KEPT: u64 = 50;
/// More log entries than a node that was away can be sent one by one.
const ENTRIES: u64 = 1_000;
/// Uses under way at once while the log is to grow: a batch takes what waits, so not too many.
const AT_ONCE: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn each_use_has_one_record_before_and_after_a_snapshot() -> Result<()> {
    let options = Options {
        snapshot: (EVERY, KEPT),
        ..Options::default()
    };
    let mut cluster = Cluster::start(options).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/audited"))
        .await?;
    let mut uses = every_kind_of_use(&cluster).await?;
    must_agree(&cluster, &uses).await?;

    let away = Cluster::others(cluster.leader().await?)
        .next()
        .context("there are two")?;
    let before = cluster.status(away).await?.last_log_index;
    cluster.node(away).kill()?;
    uses.extend(many_uses(&cluster, away).await?);
    cluster.boot(away).await?;
    let status = cluster.catches_up(away).await?;
    ensure!(
        status.snapshot_index > before,
        "node {away} was to get a snapshot, and has {} (its log ended at {before})",
        status.snapshot_index,
    );
    cluster.unseal(away).await?;
    must_agree(&cluster, &uses).await?;
    // Nothing depends on what the processes remember.
    for id in NODES {
        cluster.node(id).terminate().await?;
    }
    for id in NODES {
        cluster.node(id).spawn()?;
    }
    cluster.leader().await?;
    for id in NODES {
        cluster.catches_up(id).await?;
    }
    must_agree(&cluster, &uses).await?;
    cluster.finish()
}

/// Uses of every kind through every node.
async fn every_kind_of_use(cluster: &Cluster) -> Result<Vec<Use>> {
    let mut uses = Vec::new();
    for id in NODES {
        let app = cluster.client_at("app", id)?;
        let draw = || app.request_id().to_vec();
        let (key, sealing, opening) = ("demo/audited", draw(), draw());
        let request = v1::EncryptRequest {
            request_id: sealing.clone(),
            ..requests::encrypt(key, b"text")
        };
        let ciphertext = app.encrypt(request).await?.ciphertext;
        let request = v1::DecryptRequest {
            request_id: opening.clone(),
            ..requests::decrypt(&ciphertext)
        };
        app.decrypt(request).await?;
        uses.extend([(sealing, "Encrypt", 1), (opening, "Decrypt", 1)]);
        let (renewing, drawing, chance) = (draw(), draw(), draw());
        let request = v1::ReEncryptRequest {
            request_id: renewing.clone(),
            ..requests::re_encrypt(&ciphertext)
        };
        app.re_encrypt(request).await?;
        let request = v1::GenerateDataKeyRequest {
            request_id: drawing.clone(),
            ..requests::data_key(key)
        };
        app.generate_data_key(request).await?;
        let request = v1::GenerateRandomRequest {
            request_id: chance.clone(),
            length: 16,
        };
        app.generate_random(request).await?;
        uses.extend([(renewing, "ReEncrypt", 1), (drawing, "GenerateDataKey", 1)]);
        uses.push((chance, "GenerateRandom", 1));
        uses.extend(batches(&app, key).await?);
    }
    Ok(uses)
}

/// Of seven items one is damaged: the record of success counts six.
async fn batches(app: &Client, key: &str) -> Result<Vec<Use>> {
    use v1::batch_encrypt_response::result::Result as Sealed;
    let (sealing, opening) = (app.request_id().to_vec(), app.request_id().to_vec());
    let item = |number: u8| v1::batch_encrypt_request::Item {
        plaintext: vec![number],
        aad: vec![],
    };
    let request = v1::BatchEncryptRequest {
        request_id: sealing.clone(),
        key: key.to_owned(),
        items: (0..7).map(item).collect(),
        ..v1::BatchEncryptRequest::default()
    };
    let answer = app.batch_encrypt(request).await?;
    let blob = |it: v1::batch_encrypt_response::Result| match it.result {
        Some(Sealed::Ok(sealed)) => Some(sealed.ciphertext),
        Some(Sealed::Error(_)) | None => None,
    };
    let mut blobs: Vec<Vec<u8>> = answer.results.into_iter().filter_map(blob).collect();
    ensure!(blobs.len() == 7, "{} items were encrypted", blobs.len());
    blobs[3][100] ^= 1;
    let item = |ciphertext| v1::batch_decrypt_request::Item {
        ciphertext,
        aad: Vec::new(),
    };
    let request = v1::BatchDecryptRequest {
        request_id: opening.clone(),
        items: blobs.into_iter().map(item).collect(),
        ..v1::BatchDecryptRequest::default()
    };
    app.batch_decrypt(request).await?;
    Ok(vec![(sealing, "Encrypt", 7), (opening, "Decrypt", 6)])
}

/// Uses until the log has grown by far more than is kept of it.
async fn many_uses(cluster: &Cluster, away: u64) -> Result<Vec<Use>> {
    let nodes: Vec<u64> = Cluster::others(away).collect();
    let clients = nodes.iter().map(|id| cluster.client_from("app", *id));
    let clients = clients.collect::<Result<Vec<_>>>()?;
    let leader = cluster.leader().await?;
    let goal = cluster.status(leader).await?.last_log_index + ENTRIES;
    let mut uses = Vec::new();
    while cluster.status(leader).await?.last_log_index < goal {
        let round = stream::iter(0..200_usize).map(|number| {
            let app = &clients[number % clients.len()];
            async move {
                let request_id = app.request_id().to_vec();
                let request = v1::EncryptRequest {
                    request_id: request_id.clone(),
                    ..requests::encrypt("demo/audited", b"more")
                };
                app.encrypt(request).await?;
                anyhow::Ok((request_id, "Encrypt", 1))
            }
        });
        uses.extend(
            round
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<Use>>()
                .await?,
        );
    }
    Ok(uses)
}

/// Every node has the same log, with the root that it says, and one record for each use.
async fn must_agree(cluster: &Cluster, uses: &[Use]) -> Result<()> {
    let mut logs: Vec<Vec<AuditEntry>> = Vec::new();
    let mut printed = Vec::new();
    for id in NODES {
        cluster.catches_up(id).await?;
        let admin = cluster.client_at("admin", id)?;
        let log = audit_log(&admin).await?;
        let root = admin.audit_root(AuditRootRequest::default()).await?;
        ensure!(
            root.size == u64::try_from(log.len())?,
            "node {id} has {} records",
            root.size
        );
        let leaves = log.iter().map(|entry| entry.leaf.as_slice());
        ensure!(
            root.root_hash == merkle_root(leaves),
            "the root of node {id} is not its log's"
        );
        let status = cluster.status(id).await?;
        ensure!(
            status.audit_root == root.root_hash,
            "node {id} says two roots"
        );
        printed.push(print_log(cluster, id).await?);
        logs.push(log);
    }
    ensure!(
        logs.iter().all(|log| *log == logs[0]),
        "the nodes' logs differ"
    );
    ensure!(
        printed.iter().all(|text| *text == printed[0]),
        "what is printed differs"
    );
    ensure!(!printed[0].is_empty(), "nothing is printed");
    each_once(&logs[0], uses)
}

async fn print_log(cluster: &Cluster, id: u64) -> Result<Vec<u8>> {
    let arguments = [
        "audit", "list", "--start", "0", "--limit", "1000", "--output", "json",
    ];
    Ok(cluster
        .cli("admin", &[id])?
        .run(&arguments)
        .await?
        .must_succeed()?
        .stdout)
}

fn each_once(log: &[AuditEntry], uses: &[Use]) -> Result<()> {
    let mut by_request: BTreeMap<&[u8], Vec<_>> = BTreeMap::new();
    for record in log.iter().filter_map(|entry| entry.record.as_ref()) {
        by_request
            .entry(&record.request_id)
            .or_default()
            .push(record);
    }
    for (request_id, operation, count) in uses {
        let found = by_request
            .get(request_id.as_slice())
            .map(Vec::as_slice)
            .unwrap_or_default();
        let allowed: Vec<_> = found
            .iter()
            .filter(|it| it.outcome() == Outcome::Allowed)
            .collect();
        let request = hex::encode(request_id);
        ensure!(
            allowed.len() == 1,
            "{operation} {request} has {} records",
            allowed.len()
        );
        ensure!(
            allowed[0].operation == *operation,
            "{request}: {:?}",
            allowed[0]
        );
        ensure!(
            allowed[0].count == *count,
            "{request} counts {} items",
            allowed[0].count
        );
        ensure!(allowed[0].principal == "app", "{request}: {:?}", allowed[0]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_use_is_recorded_and_names_why() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/refused"))
        .await?;
    let stranger = cluster.client("stranger")?;
    let request_id = stranger.request_id().to_vec();
    let request = v1::EncryptRequest {
        request_id: request_id.clone(),
        ..requests::encrypt("demo/refused", b"x")
    };
    ensure!(
        stranger.encrypt(request).await.is_err(),
        "a stranger encrypted"
    );
    let log = audit_log(&cluster.client("admin")?).await?;
    let records: Vec<_> = records_of(&log, &request_id).collect();
    ensure!(records.len() == 1, "{records:?}");
    let record = records[0];
    ensure!(record.outcome() == Outcome::Denied && record.reason == "PERMISSION_DENIED");
    ensure!((record.principal.as_str(), record.key.as_str()) == ("stranger", "demo/refused"));
    cluster.finish()
}
