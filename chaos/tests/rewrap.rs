//! Registered data keys are wrapped anew while clients open them and the leader is killed.

use anyhow::{Context as _, Result, bail, ensure};
use conclave_chaos::real::{Cluster, NODES, Options, audit_log, requests};
use conclave_client::store::v1::AuditRecord;
use conclave_client::{Client, v1};
use futures::{StreamExt as _, TryStreamExt as _};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const KEY: &str = "demo/work";
/// Registered data keys.
const COUNT: usize = 20_000;
/// So many at a time are drawn and opened.
const AT_ONCE: usize = 256;
/// So that it takes ten seconds, and two leaders can be killed meanwhile.
const RATE: &str = "[keys]\nrewraps_per_second = 2000\n[raft]\n";
/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A data key, as the client that drew it knows it.
struct Drawn {
    id: Vec<u8>,
    plaintext: Vec<u8>,
}

async fn draw_all(client: &Client) -> Result<Vec<Drawn>> {
    let draw = |_| async {
        let request = v1::GenerateDataKeyRequest {
            register: true,
            ..requests::data_key(KEY)
        };
        let drawn = client.generate_data_key(request).await?;
        anyhow::Ok(Drawn {
            id: drawn.id.context("it was registered")?,
            plaintext: drawn.plaintext.expose().to_vec(),
        })
    };
    let drawn = futures::stream::iter(0..COUNT).map(draw);
    drawn.buffer_unordered(AT_ONCE).try_collect().await
}

/// Opens one, and answers the version that wrapped it.
async fn open(client: &Client, drawn: &Drawn) -> Result<u32> {
    let request = v1::DecryptDataKeyRequest {
        data_key_id: drawn.id.clone(),
        ..v1::DecryptDataKeyRequest::default()
    };
    let opened = client.decrypt_data_key(request).await?;
    ensure!(
        opened.plaintext.expose() == drawn.plaintext,
        "data key {} opens as another one",
        hex::encode(&drawn.id)
    );
    Ok(opened.version)
}

/// Clients that open data keys all the time, each its own way through them.
struct Readers {
    stopping: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Readers {
    fn start(cluster: &Cluster, drawn: &Arc<Vec<Drawn>>) -> Result<Self> {
        let (stopping, opened) = (Arc::default(), Arc::default());
        let mut readers = Self {
            stopping,
            opened,
            tasks: Vec::new(),
        };
        for reader in 0..4_usize {
            let first = NODES.start() + u64::try_from(reader % 3)?;
            let client = cluster.client_from("app", first)?;
            let (stopping, opened) = (readers.stopping.clone(), readers.opened.clone());
            let drawn = drawn.clone();
            readers.tasks.push(tokio::spawn(async move {
                let mut place = reader * COUNT / 4;
                while !stopping.load(Ordering::Relaxed) {
                    open(&client, &drawn[place % COUNT]).await?;
                    opened.fetch_add(1, Ordering::Relaxed);
                    place += 7_919;
                }
                Ok(())
            }));
        }
        Ok(readers)
    }

    /// How many were opened. That each could be is what is shown.
    async fn stop(self) -> Result<u64> {
        self.stopping.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(self.opened.load(Ordering::Relaxed))
    }
}

/// Waits until so many, at most, are left under the old version; answers how many are.
async fn left_at_most(client: &Client, max: u64) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let key = client.get_key(requests::get_key(KEY)).await?;
        let left = key.data_keys_to_rewrap;
        if left <= max {
            return Ok(left);
        }
        if Instant::now() > deadline {
            bail!("{left} data keys are left in vain");
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// All are there, once, under the new version, and open as what they are.
async fn must_be_whole(client: &Client, drawn: &[Drawn]) -> Result<()> {
    let key = client.get_key(requests::get_key(KEY)).await?;
    let counts: Vec<u64> = key.versions.iter().map(|it| it.data_keys).collect();
    ensure!(counts == [0, u64::try_from(COUNT)?], "{counts:?}");
    let versions = futures::stream::iter(drawn).map(|it| open(client, it));
    let versions: BTreeSet<u32> = versions.buffer_unordered(AT_ONCE).try_collect().await?;
    ensure!(versions == BTreeSet::from([2]), "under {versions:?}");
    let mut listed = BTreeSet::new();
    let mut request = v1::ListDataKeysRequest {
        key: KEY.to_owned(),
        page_size: 1_000,
        ..v1::ListDataKeysRequest::default()
    };
    loop {
        let page = client.list_data_keys(request.clone()).await?;
        listed.extend(page.data_keys.into_iter().map(|it| it.data_key_id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let ids: BTreeSet<Vec<u8>> = drawn.iter().map(|it| it.id.clone()).collect();
    ensure!(listed == ids, "{} are listed", listed.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_lost_and_none_left_behind() -> Result<()> {
    let mut cluster = Cluster::prepare(Options::default())?;
    for id in NODES {
        cluster.layout().edit_config(id, "[raft]\n", RATE)?;
    }
    cluster.boot_all().await?;
    cluster.found().await?;
    let (admin, app) = (cluster.client("admin")?, cluster.client("app")?);
    admin.create_key(requests::create_key(KEY)).await?;
    let begun = Instant::now();
    let drawn = Arc::new(draw_all(&app).await?);
    let took = begun.elapsed();
    let readers = Readers::start(&cluster, &drawn)?;
    admin.rotate_key(requests::rotate_key(KEY)).await?;
    let mut left = Vec::new();
    for max in [16_000, 9_000] {
        left.push(left_at_most(&admin, max).await?);
        let leader = cluster.leader().await?;
        cluster.node(leader).kill()?;
        cluster.boot(leader).await?;
        cluster.catches_up(leader).await?;
        cluster.unseal(leader).await?;
    }
    ensure!(
        left.iter().all(|left| *left > 0),
        "a leader was killed too late: {left:?} were left"
    );
    left_at_most(&admin, 0).await?;
    let opened = readers.stop().await?;
    must_be_whole(&app, &drawn).await?;
    ensure!(opened > 1_000, "only {opened} were opened meanwhile");
    // Each was moved once, whoever moved it.
    let log = audit_log(&admin).await?;
    let moved = log.iter().filter_map(|it| it.record.as_ref());
    let moved = moved.filter(|it| it.operation == "RewrapDataKeys");
    let count = |it: &AuditRecord| {
        it.detail
            .split(' ')
            .next()
            .unwrap_or_default()
            .parse::<usize>()
    };
    let moved: usize = moved.map(count).sum::<Result<_, _>>()?;
    ensure!(moved == COUNT, "{moved} were wrapped anew");
    eprintln!(
        "{COUNT} drawn in {} ms; leaders killed when {left:?} were left; {opened} opened meanwhile",
        took.as_millis()
    );
    cluster.finish()
}
