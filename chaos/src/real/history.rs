//! Clients at work, and what they were promised.

use super::cluster::{Cluster, NODES};
use super::poll::until_in;
use super::requests;
use anyhow::{Context as _, Result, bail, ensure};
use conclave_client::Client;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Every so many operations a worker creates a key.
const KEY_EVERY: u64 = 8;
/// A worker's pause, so that nodes and checks get their share of a small machine.
const PACE: Duration = Duration::from_millis(10);
/// Checks under way at once.
const CHECKS: usize = 16;

/// What was acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged {
    /// Keys that were created.
    pub keys: Vec<String>,
    /// Messages that were encrypted: request id, plaintext, ciphertext.
    pub messages: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
}

#[derive(Default)]
struct Notes {
    acknowledged: Acknowledged,
    /// When each success was asked for, and when it came.
    successes: Vec<(Instant, Instant)>,
    violations: Vec<String>,
}

/// Workers that encrypt and create keys through all nodes until they are told to stop.
pub struct History {
    notes: Arc<Mutex<Notes>>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

struct Worker {
    app: Client,
    admin: Client,
    key: String,
    /// Begins the names of the keys that it creates.
    prefix: String,
    notes: Arc<Mutex<Notes>>,
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl History {
    /// Starts two workers a node. They encrypt under `key` as `app`, and create keys named after `tag`.
    ///
    /// # Errors
    /// If a certificate cannot be made.
    pub fn begin(cluster: &Cluster, key: &str, tag: &str) -> Result<Self> {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let (stop, stopping) = watch::channel(false);
        let mut workers = JoinSet::new();
        for (number, id) in NODES.chain(NODES).enumerate() {
            let worker = Worker {
                app: cluster.client_from("app", id)?,
                admin: cluster.client_from("admin", id)?,
                key: key.to_owned(),
                prefix: format!("demo/{tag}-{number}"),
                notes: notes.clone(),
            };
            workers.spawn(worker.run(stopping.clone()));
        }
        Ok(Self {
            notes,
            stop,
            workers,
        })
    }

    /// Waits until so many operations were acknowledged.
    ///
    /// # Errors
    /// If that takes longer than 20 seconds.
    pub async fn reaches(&self, successes: usize) -> Result<()> {
        let limit = Duration::from_secs(20);
        let reached = async || (lock(&self.notes).successes.len() >= successes).then_some(());
        until_in(limit, &format!("{successes} operations"), reached).await
    }

    /// How many operations were acknowledged so far.
    pub fn successes(&self) -> usize {
        lock(&self.notes).successes.len()
    }

    /// How long after `event` the first operation that was asked for since then was acknowledged.
    ///
    /// # Errors
    /// If none was within `limit`.
    pub async fn serves_again(&self, event: Instant, limit: Duration) -> Result<Duration> {
        until_in(limit, "an operation that succeeds", async || {
            let notes = lock(&self.notes);
            let since = notes.successes.iter().filter(|(begun, _)| *begun >= event);
            since.map(|(_, done)| *done - event).min()
        })
        .await
    }

    /// The longest time between two acknowledgements so far.
    pub fn longest_pause(&self) -> Duration {
        let notes = lock(&self.notes);
        let times: Vec<Instant> = notes.successes.iter().map(|(_, done)| *done).collect();
        // They were noted in the order in which they came.
        times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    }

    /// Stops the workers and tells what they were promised.
    ///
    /// # Errors
    /// If a worker saw something that must never happen.
    pub async fn end(mut self) -> Result<Acknowledged> {
        self.stop.send_replace(true);
        while let Some(worker) = self.workers.join_next().await {
            worker?;
        }
        let mut notes = lock(&self.notes);
        if let Some(violation) = notes.violations.first() {
            bail!("{violation}");
        }
        Ok(std::mem::take(&mut notes.acknowledged))
    }
}

impl Acknowledged {
    /// Fails unless every key exists and every message opens, whichever node is asked.
    ///
    /// # Errors
    /// With the first one that does not.
    pub async fn must_hold(&self, cluster: &Cluster) -> Result<()> {
        let [app, admin] = [cluster.client("app")?, cluster.client("admin")?];
        let keys = stream::iter(&self.keys).map(|key| {
            let admin = &admin;
            async move {
                let found = admin.get_key(requests::get_key(key)).await;
                found
                    .map(drop)
                    .with_context(|| format!("key {key} was acknowledged"))
            }
        });
        keys.buffer_unordered(CHECKS).try_collect::<()>().await?;
        let messages = stream::iter(&self.messages).map(|(request, plaintext, ciphertext)| {
            let app = &app;
            async move {
                let opened = app.decrypt(requests::decrypt(ciphertext)).await;
                let request = hex::encode(request);
                let opened = opened.with_context(|| format!("{request} was acknowledged"))?;
                ensure!(
                    opened.plaintext.expose() == plaintext,
                    "{request} opens as another"
                );
                anyhow::Ok(())
            }
        });
        messages.buffer_unordered(CHECKS).try_collect::<()>().await
    }
}

impl Worker {
    async fn run(self, stopping: watch::Receiver<bool>) {
        let mut number = 0;
        while !*stopping.borrow() {
            number += 1;
            let begun = Instant::now();
            let done = if number % KEY_EVERY == 0 {
                self.create_key(number).await
            } else {
                self.encrypt(number).await
            };
            if done {
                lock(&self.notes).successes.push((begun, Instant::now()));
            }
            sleep(PACE).await;
        }
    }

    async fn create_key(&self, number: u64) -> bool {
        let name = format!("{}-{number}", self.prefix);
        match self.admin.create_key(requests::create_key(&name)).await {
            Ok(_) => lock(&self.notes).acknowledged.keys.push(name),
            Err(error) => {
                // Nobody else chooses this name: it is there because of an earlier attempt of ours.
                if error.reason() == "KEY_EXISTS" {
                    let text = format!("the creation of {name} was not repeatable");
                    lock(&self.notes).violations.push(text);
                }
                return false;
            }
        }
        true
    }

    async fn encrypt(&self, number: u64) -> bool {
        let request_id = self.app.request_id().to_vec();
        let plaintext = format!("{} {number}", self.prefix).into_bytes();
        let mut request = requests::encrypt(&self.key, &plaintext);
        request.request_id.clone_from(&request_id);
        let Ok(sealed) = self.app.encrypt(request).await else {
            return false;
        };
        let message = (request_id, plaintext, sealed.ciphertext);
        lock(&self.notes).acknowledged.messages.push(message);
        true
    }
}
