//! A node without a quorum gives nothing out, and what was acknowledged on one node holds on all.

use anyhow::{Context as _, Result, bail, ensure};
use conclave_chaos::real::{Cluster, NODES, Options, Refusal, audit_log, records_of, requests};
use conclave_client::v1::crypto_service_client::CryptoServiceClient;
use conclave_client::{Client, v1};
use futures::future::try_join_all;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Request};

const DEADLINE: Duration = Duration::from_secs(3);
/// Races, and keys, altogether.
const TIMES: usize = 1_000;
/// As many of them at once.
const AT_ONCE: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_quorum_refuses_to_decrypt() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/cut"))
        .await?;
    let sealed = cluster
        .client("app")?
        .encrypt(requests::encrypt("demo/cut", b"hidden"))
        .await?;
    // Once the node that is left alone leads, and once it follows.
    for leads in [true, false] {
        let leader = cluster.leader().await?;
        let alone = if leads {
            leader
        } else {
            Cluster::others(leader).next().context("two")?
        };
        cluster.catches_up(alone).await?;
        refuses_alone(&mut cluster, alone, &sealed.ciphertext).await?;
    }
    cluster.finish()
}

async fn refuses_alone(cluster: &mut Cluster, alone: u64, ciphertext: &[u8]) -> Result<()> {
    for id in Cluster::others(alone) {
        cluster.node(id).freeze()?;
    }
    let app = cluster.client_at("app", alone)?;
    let mut asked = Vec::new();
    // At once, and when the node has noticed that nobody is there.
    for _ in 0..2 {
        let message = v1::DecryptRequest {
            request_id: app.request_id().to_vec(),
            ..requests::decrypt(ciphertext)
        };
        asked.push(message.request_id.clone());
        let mut request = Request::new(message);
        request.set_timeout(DEADLINE);
        let begun = Instant::now();
        let mut stub = CryptoServiceClient::new(cluster.channel("app", alone)?);
        let Err(status) = stub.decrypt(request).await else {
            bail!("node {alone} decrypted")
        };
        let refused = Refusal::from(&status);
        ensure!(refused.code == Code::Unavailable, "{refused:?}");
        let known = ["NO_QUORUM", "OUTCOME_UNKNOWN"].contains(&refused.reason.as_str());
        ensure!(known && !refused.message.is_empty(), "{refused:?}");
        ensure!(
            begun.elapsed() <= DEADLINE,
            "it took {} ms",
            begun.elapsed().as_millis()
        );
    }
    for id in Cluster::others(alone) {
        cluster.node(id).thaw()?;
    }
    cluster.leader().await?;
    let opened = app.decrypt(requests::decrypt(ciphertext)).await?;
    ensure!(opened.plaintext.expose() == b"hidden");
    // A use may have been recorded whose result was dropped, never the other way round.
    let log = audit_log(&cluster.client("admin")?).await?;
    for request_id in &asked {
        ensure!(records_of(&log, request_id).count() <= 1, "recorded twice");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_suspend_is_acknowledged_no_encrypt_succeeds_anywhere() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .grant(requests::grant("racer", "demo", v1::Role::User))
        .await?;
    let clients = Clients::of(&cluster)?;
    let tracks = (0..AT_ONCE).map(|track| races(&clients, track));
    let raced: Vec<usize> = try_join_all(tracks).await?;
    let succeeded: usize = raced.iter().sum();
    eprintln!("{TIMES} races; {succeeded} racing encrypts were in time, the others refused");
    ensure!(
        succeeded > 0 && succeeded < TIMES,
        "nothing raced: {succeeded} of {TIMES} in time"
    );
    cluster.finish()
}

/// One client a node.
struct Clients {
    admin: Vec<Client>,
    app: Vec<Client>,
    racer: Vec<Client>,
}

impl Clients {
    fn of(cluster: &Cluster) -> Result<Self> {
        let each = |name: &str| -> Result<Vec<Client>> {
            NODES.map(|id| cluster.client_at(name, id)).collect()
        };
        Ok(Self {
            admin: each("admin")?,
            app: each("app")?,
            racer: each("racer")?,
        })
    }
}

/// How many of the racing encrypts were in time.
async fn races(clients: &Clients, track: usize) -> Result<usize> {
    let key = format!("demo/race-{track}");
    clients.admin[0]
        .create_key(requests::create_key(&key))
        .await?;
    let mut in_time = 0;
    for race in 0..TIMES / AT_ONCE {
        let place = |shift: usize| (race + track + shift) % 3;
        let (here, there, elsewhere) = (place(0), place(1), place(2));
        // Begun before the suspend is acknowledged: may succeed or not.
        let racing = clients.racer[elsewhere].encrypt(requests::encrypt(&key, b"racing"));
        // Sometimes the racer has a start, sometimes not.
        let pause = Duration::from_micros(u64::try_from(race % 10)? * 300);
        let suspend = async {
            tokio::time::sleep(pause).await;
            clients.admin[here]
                .suspend_key(requests::transition(&key))
                .await?;
            let late = clients.app[there]
                .encrypt(requests::encrypt(&key, b"late"))
                .await;
            anyhow::Ok(late)
        };
        let (raced, late) = tokio::join!(racing, suspend);
        let Err(refused) = late? else {
            bail!("race {race}: an encrypt after the suspend")
        };
        let refused = Refusal::try_from(&refused)?;
        refused.must_be(Code::FailedPrecondition, "KEY_STATE", "SUSPENDED")?;
        match raced {
            Ok(_) => in_time += 1,
            Err(error) => Refusal::try_from(&error)?.must_be(
                Code::FailedPrecondition,
                "KEY_STATE",
                "SUSPENDED",
            )?,
        }
        clients.admin[there]
            .resume_key(requests::transition(&key))
            .await?;
        // As certain as the suspend: whoever begins after the resume succeeds, wherever.
        clients.app[elsewhere]
            .encrypt(requests::encrypt(&key, b"again"))
            .await?;
    }
    Ok(in_time)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_usable_through_another_node_at_once() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .grant(requests::grant("racer", "demo", v1::Role::User))
        .await?;
    let clients = Clients::of(&cluster)?;
    let tracks = (0..AT_ONCE).map(|track| {
        let clients = &clients;
        async move {
            for number in 0..TIMES / AT_ONCE {
                let (here, there) = ((number + track) % 3, (number + track + 1) % 3);
                let key = format!("demo/at-once-{track}-{number}");
                clients.admin[here]
                    .create_key(requests::create_key(&key))
                    .await?;
                let sealed = clients.app[there]
                    .encrypt(requests::encrypt(&key, b"x"))
                    .await;
                sealed.with_context(|| format!("{key}, just created"))?;
            }
            anyhow::Ok(())
        }
    });
    try_join_all(tracks).await?;
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_holds_on_every_node_at_once() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/revoked"))
        .await?;
    let clients = Clients::of(&cluster)?;
    for round in 0..30 {
        let (here, there) = (round % 3, (round + 1) % 3);
        let grant = requests::grant("racer", "demo", v1::Role::User);
        clients.admin[here].grant(grant).await?;
        let request = requests::encrypt("demo/revoked", b"x");
        clients.racer[there].encrypt(request.clone()).await?;
        let revoke = requests::revoke("racer", "demo", v1::Role::User);
        clients.admin[here].revoke(revoke).await?;
        let Err(refused) = clients.racer[there].encrypt(request).await else {
            bail!("round {round}: an encrypt after the revocation")
        };
        Refusal::try_from(&refused)?.must_be(Code::PermissionDenied, "PERMISSION_DENIED", "")?;
    }
    cluster.finish()
}
