//! Custodians and the administrator who founds the cluster: the ceremony, unsealing whatever is sealed, and sealing.

use super::plan::{Stream, rng};
use super::shared::{Shared, elapsed};
use crate::calls::{Caller, Stopwatch};
use crate::history::{Asked, History, Right};
use conclave_client::v1::{self, SealState};
use conclave_client::{Client, ClientError};
use conclave_core::Role;
use conclave_crypto::{ShareFile, decrypt_with, generate_identity, share};
use parking_lot::Mutex;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, RngCore as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;
use tonic::Code;

const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// How long custodians wait for a node.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What the nemesis asks of custodians, what the simulator wants to know of them, and what must stay secret.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Papers>>);

#[derive(Default)]
struct Papers {
    seals: Vec<u64>,
    busy: Vec<u64>,
    secrets: Vec<(&'static str, Vec<u8>)>,
    seen: BTreeMap<&'static str, u64>,
    is_hurried: bool,
}

impl Desk {
    /// Has a node sealed soon.
    pub(crate) fn ask_to_seal(&self, node: u64) {
        self.0.lock().seals.push(node);
    }

    /// Nodes that are being unsealed, or hold the ceremony, at this moment.
    pub(crate) fn busy(&self) -> Vec<u64> {
        self.0.lock().busy.clone()
    }

    /// All shares that were ever given out, and the root keys that they make.
    pub(crate) fn secrets(&self) -> Vec<(&'static str, Vec<u8>)> {
        self.0.lock().secrets.clone()
    }

    /// What custodians did, and how often.
    pub(crate) fn seen(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().seen.clone()
    }

    /// From now on they lose no time.
    pub(crate) fn hurry(&self) {
        self.0.lock().is_hurried = true;
    }

    fn count(&self, what: &'static str) {
        *self.0.lock().seen.entry(what).or_default() += 1;
    }
}

/// The shares of one ceremony.
struct Set {
    id: Vec<u8>,
    shares: Vec<v1::SubmitShareRequest>,
}

/// All custodians, and the administrator.
pub(crate) struct Custodians {
    shared: Shared,
    desk: Desk,
    rng: ChaCha8Rng,
    set: Option<Set>,
    is_confirmed: bool,
}

impl Custodians {
    /// Of a cluster that is not founded yet.
    pub(crate) fn new(shared: Shared, desk: Desk) -> Self {
        let rng = rng(shared.plan.seed, Stream::Custodians);
        Self {
            shared,
            desk,
            rng,
            set: None,
            is_confirmed: false,
        }
    }

    /// Works until the simulation ends.
    pub(crate) async fn run(mut self) {
        loop {
            self.round().await;
            if self.is_confirmed && !self.shared.is_founded.load(Ordering::Relaxed) {
                self.found().await;
            }
            let hurried = self.desk.0.lock().is_hurried;
            let pause = if hurried {
                200
            } else {
                self.rng.random_range(300..=1_500)
            };
            sleep(Duration::from_millis(pause)).await;
        }
    }

    fn client(&mut self, principal: &str, node: u64) -> Client {
        let entropy = self.rng.next_u64();
        self.shared.client_at(principal, node, entropy, PATIENCE)
    }

    /// Looks at every node, and does what there is to do.
    async fn round(&mut self) {
        if self.set.is_none() {
            self.hold_ceremony().await;
        }
        for node in 1..=self.shared.plan.nodes {
            let asked = {
                let mut papers = self.desk.0.lock();
                let place = papers.seals.iter().position(|it| *it == node);
                place.map(|place| papers.seals.remove(place))
            };
            let client = self.client("admin", node);
            let status = client.custody_status(v1::CustodyStatusRequest {}).await;
            let Ok(status) = status else { continue };
            match status.state() {
                SealState::Unsealed if asked.is_some() => self.seal(node).await,
                SealState::Sealed => self.unseal(node, &status).await,
                SealState::Unsealed | SealState::Uninitialized | SealState::Unspecified => {}
            }
        }
    }

    async fn hold_ceremony(&mut self) {
        let (count, threshold) = self.shared.plan.custodians;
        let identities: Vec<_> = NAMES
            .iter()
            .take(count)
            .map(|name| (*name, generate_identity()))
            .collect();
        let custodian = |(name, (_, recipient)): &(&str, (_, String))| v1::Custodian {
            name: (*name).to_owned(),
            recipient: recipient.clone(),
        };
        let request = v1::InitRequest {
            custodians: identities.iter().map(custodian).collect(),
            threshold: u32::try_from(threshold).unwrap_or(2),
            ..v1::InitRequest::default()
        };
        let node = self.rng.random_range(1..=self.shared.plan.nodes);
        let client = self.client("admin", node);
        self.desk.0.lock().busy = vec![node];
        self.desk.count("ceremony");
        let held = client.custody_init(request).await;
        self.desk.0.lock().busy.clear();
        let Ok(held) = held else { return };
        let mut files = Vec::new();
        for (name, (identity, _)) in identities {
            let given = held.shares.iter().find(|it| it.custodian == name);
            let identity = String::from_utf8_lossy(identity.expose()).into_owned();
            let file = given
                .and_then(|given| decrypt_with(&identity, &given.share).ok())
                .and_then(|file| ShareFile::parse(file.expose()).ok())
                .expect("each custodian can read the share that the node answered");
            files.push(file);
        }
        self.note_secrets(&files);
        self.set = Some(Set {
            id: held.set_id,
            shares: files.iter().map(submission).collect(),
        });
    }

    /// What must never be on a disk.
    fn note_secrets(&self, files: &[ShareFile]) {
        let Some(first) = files.first() else { return };
        let shares: Vec<_> = files.iter().map(|file| &file.share).collect();
        let enough = shares
            .get(..usize::from(first.set.threshold))
            .unwrap_or_default();
        let root = share::combine(enough, &first.set).expect("fresh shares rebuild the root key");
        let mut papers = self.desk.0.lock();
        papers
            .secrets
            .push(("the root key", root.expose().to_vec()));
        for share in shares {
            papers.secrets.push(("a share", share.expose().to_vec()));
        }
    }

    async fn unseal(&mut self, node: u64, status: &v1::CustodyStatus) {
        let Some(set) = &self.set else { return };
        if set.id != status.set_id {
            // The answer of a ceremony was lost, and it counts: it can be held again until a node was unsealed.
            self.set = None;
            return;
        }
        let mut shares = set.shares.clone();
        shares.shuffle(&mut self.rng);
        let threshold = self.shared.plan.custodians.1;
        let spare = self.rng.random_range(0..=shares.len() - threshold);
        shares.truncate(threshold + spare);
        if self.rng.random_ratio(1, 4) {
            // Somebody is twice at the door.
            let again = shares[0].clone();
            shares.insert(1, again);
            self.desk.count("share submitted twice");
        }
        if self.rng.random_ratio(1, 8) {
            let mut forged = shares[shares.len() - 1].clone();
            forged.share[40] ^= 1;
            shares.insert(0, forged);
            self.desk.count("forged share");
        }
        self.desk.0.lock().busy.push(node);
        let done = if self.rng.random_ratio(1, 3) {
            self.desk.count("unseal race");
            self.submit_at_once(node, shares).await
        } else {
            self.submit_in_turn(node, shares).await
        };
        self.desk.0.lock().busy.retain(|it| *it != node);
        if done {
            self.is_confirmed = true;
            self.desk.count("unseal");
        }
    }

    async fn submit_at_once(&mut self, node: u64, shares: Vec<v1::SubmitShareRequest>) -> bool {
        let mut calls = Vec::new();
        for share in shares {
            let client = self.client(&share.custodian.clone(), node);
            calls.push(async move { client.submit_share(share).await });
        }
        let answers = futures::future::join_all(calls).await;
        answers.iter().any(is_unsealed)
    }

    async fn submit_in_turn(&mut self, node: u64, shares: Vec<v1::SubmitShareRequest>) -> bool {
        for share in shares {
            let custodian = share.custodian.clone();
            let client = self.client(&custodian, node);
            let answer = client.submit_share(share).await;
            if is_unsealed(&answer) {
                return true;
            }
            if is_silent(&answer) {
                // Nobody else is sent to a node that does not answer.
                return false;
            }
            let hurried = self.desk.0.lock().is_hurried;
            if !hurried && self.rng.random_ratio(1, 10) {
                self.desk.count("unseal cancelled");
                // Often too impatient to hear whether it was done.
                let patience = Duration::from_millis(self.rng.random_range(20..=300));
                let entropy = self.rng.next_u64();
                let client = self.shared.client_at(&custodian, node, entropy, patience);
                let _ = client.cancel_unseal(v1::CancelRequest::default()).await;
            }
        }
        false
    }

    async fn seal(&mut self, node: u64) {
        let client = self.client(NAMES[0], node);
        let request = v1::SealRequest {
            reason: "asked for".to_owned(),
            ..v1::SealRequest::default()
        };
        if client.seal(request).await.is_ok() {
            self.desk.count("sealed on request");
        }
    }

    /// Once the faults have ended: a write and a use, again and again until they are answered, so that every run tells
    /// how soon the cluster serves.
    pub(crate) async fn probe(shared: Shared, desk: Desk) {
        let mut entropy = rng(shared.plan.seed, Stream::Prober);
        while !desk.0.lock().is_hurried {
            sleep(Duration::from_millis(50)).await;
        }
        let write = Asked::Grant(Right {
            principal: "guest".to_owned(),
            keyring: "demo".to_owned(),
            role: Role::User,
        });
        for (principal, asked) in [("admin", write), ("app", Asked::Random)] {
            let client = shared.client(principal, 0, entropy.next_u64(), Duration::from_secs(2));
            let caller = Caller {
                principal: principal.to_owned(),
                client,
                recorder: shared.recorder.clone(),
                now: elapsed as Stopwatch,
            };
            until_answered(&caller, &asked).await;
        }
    }

    /// Gives the usual roles.
    async fn found(&mut self) {
        let client = self
            .shared
            .client("admin", 1, self.rng.next_u64(), Duration::from_secs(5));
        let caller = Caller {
            principal: "admin".to_owned(),
            client,
            recorder: self.shared.recorder.clone(),
            now: elapsed as Stopwatch,
        };
        let rights = [
            ("ops", "*", Role::Operator),
            ("app", "demo", Role::User),
            ("app", "pay", Role::User),
        ];
        for (principal, keyring, role) in rights {
            let right = Right {
                principal: principal.to_owned(),
                keyring: keyring.to_owned(),
                role,
            };
            until_answered(&caller, &Asked::Grant(right)).await;
        }
        self.shared.is_founded.store(true, Ordering::Relaxed);
    }
}

/// Calls until the answer is one for good.
async fn until_answered(caller: &Caller, asked: &Asked) {
    loop {
        let call = caller.call(asked.clone()).await;
        let is_settled = |history: &History| history.calls[call.0].is_settled();
        if caller.recorder.look(is_settled) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn is_unsealed(answer: &Result<v1::SubmitShareResponse, ClientError>) -> bool {
    let status = answer.as_ref().ok().and_then(|it| it.status.as_ref());
    status.is_some_and(|status| status.state() == SealState::Unsealed)
}

/// Whether the node did not answer, or could do nothing.
fn is_silent(answer: &Result<v1::SubmitShareResponse, ClientError>) -> bool {
    let code = answer.as_ref().err().and_then(ClientError::code);
    matches!(code, Some(Code::Unavailable | Code::DeadlineExceeded))
}

fn submission(file: &ShareFile) -> v1::SubmitShareRequest {
    v1::SubmitShareRequest {
        custodian: file.custodian.to_string(),
        cluster_id: file.cluster.as_bytes().to_vec(),
        set_id: file.set.set_id.as_bytes().to_vec(),
        generation: file.set.generation.0,
        share: file.share.expose().to_vec(),
        ..v1::SubmitShareRequest::default()
    }
}
