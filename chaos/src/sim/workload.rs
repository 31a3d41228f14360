//! Clients at work: what they call is drawn, what they are answered goes into the history.

use super::kinds::{BASE, Kind};
use super::machine::EPOCH_MS;
use super::plan::{Stream, rng};
use super::shared::{Shared, elapsed};
use crate::calls::{Caller, Stopwatch};
use crate::history::{Asked, CallId, History, MessageId, ProofKind, Right, SecretKind};
use crate::named::purpose_of;
use conclave_core::{Purpose, Role, Transition};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// Everything that is encrypted begins with this, so that it can be looked for where it must not be.
pub(crate) const CANARY: &[u8] = b"plaintext-canary:";
/// Who does what.
pub(crate) const PRINCIPALS: [&str; 4] = ["admin", "ops", "app", "guest"];
/// The shortest that there is.
const ROTATION_PERIOD_MS: u64 = 3_600_000;
const KEYRINGS: [&str; 2] = ["demo", "pay"];

/// A plaintext that is unlike all others.
pub(super) fn canary(number: u64) -> Vec<u8> {
    [CANARY, &number.to_be_bytes()].concat()
}

/// One client: several principals on one host, one call after the other.
pub(crate) struct Worker {
    pub(super) shared: Shared,
    pub(super) rng: ChaCha8Rng,
    callers: BTreeMap<&'static str, Caller>,
}

impl Worker {
    /// The client of this number.
    pub(crate) fn new(shared: Shared, number: u64) -> Self {
        let mut entropy = rng(shared.plan.seed, Stream::ClientEntropy(number));
        let mut rng = rng(shared.plan.seed, Stream::Client(number));
        let deadline = Duration::from_millis(rng.random_range(3_000..=9_000));
        let mut callers = BTreeMap::new();
        for principal in PRINCIPALS {
            let client = shared.client(principal, number, entropy.next_u64(), deadline);
            let caller = Caller {
                principal: principal.to_owned(),
                client,
                recorder: shared.recorder.clone(),
                now: elapsed as Stopwatch,
            };
            callers.insert(principal, caller);
        }
        Self {
            shared,
            rng,
            callers,
        }
    }

    /// Works until the run is over.
    pub(crate) async fn run(mut self) {
        while !self.shared.is_founded.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100)).await;
        }
        while !self.shared.is_over.load(Ordering::Relaxed) {
            let mean = self.shared.plan.pause.as_secs_f64();
            let pause = -mean * (1.0 - self.rng.random::<f64>()).ln();
            sleep(Duration::from_secs_f64(pause.min(mean * 6.0))).await;
            // All clocks leap now and then, and nobody waits for an answer meanwhile.
            let leap = Arc::clone(&self.shared.leap);
            if let Some(_turn) = leap.turn() {
                self.work().await;
            }
        }
    }

    async fn work(&mut self) {
        let kind = self.pursuit().unwrap_or_else(|| self.kind());
        let usual = kind.principal();
        // Now and then somebody else tries.
        let principal = if self.rng.random_ratio(1, 8) {
            PRINCIPALS.choose(&mut self.rng).copied().unwrap_or(usual)
        } else {
            usual
        };
        if kind == Kind::Repeat {
            if let Some((principal, call)) = self.repeatable() {
                self.caller(&principal).repeat(call).await;
            }
            return;
        }
        if let Some(asked) = self.ask(kind) {
            self.caller(principal).call(asked).await;
        }
    }

    fn caller(&self, principal: &str) -> Caller {
        self.callers[principal].clone()
    }

    fn kind(&mut self) -> Kind {
        let weights = &self.shared.plan.weights;
        let weigh = |(base, weight): (&u32, &u32)| base * weight;
        let total: u32 = BASE.iter().zip(weights).map(weigh).sum();
        let mut at = self.rng.random_range(0..total.max(1));
        for (kind, weight) in Kind::ALL
            .into_iter()
            .zip(BASE.iter().zip(weights).map(weigh))
        {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        Kind::Encrypt
    }

    /// What is asked; `None` if there is nothing yet that it could be asked of.
    fn ask(&mut self, kind: Kind) -> Option<Asked> {
        Some(match kind {
            Kind::Create => self.create(),
            Kind::Rotate => Asked::RotateKey {
                key: self.key_to_rotate()?,
            },
            Kind::Suspend => self.transition(Transition::Suspend)?,
            Kind::Resume => self.transition(Transition::Resume)?,
            Kind::Deactivate => self.transition(Transition::Deactivate)?,
            Kind::Activate => self.transition(Transition::Activate)?,
            Kind::Compromise => self.transition(Transition::MarkCompromised)?,
            Kind::CancelDestroy => self.transition(Transition::CancelDestruction)?,
            Kind::Destroy => Asked::Destroy {
                key: self.known_key()?,
                version: self
                    .rng
                    .random_ratio(1, 2)
                    .then(|| self.rng.random_range(1..=2)),
                force: self.rng.random_ratio(2, 3),
            },
            Kind::Grant => Asked::Grant(self.right()),
            Kind::Revoke => Asked::Revoke(self.right()),
            Kind::Encrypt => self.encrypt(1)?,
            Kind::EncryptBatch => {
                let items = self.rng.random_range(2..=20);
                self.encrypt(items)?
            }
            Kind::Decrypt => Asked::Decrypt {
                messages: vec![self.message()?],
            },
            Kind::DecryptBatch => self.decrypt_batch()?,
            Kind::DataKey => Asked::DataKey {
                key: self.key_for(Purpose::Encrypt)?,
            },
            Kind::Register => Asked::Register {
                key: self.key_for(Purpose::Encrypt)?,
            },
            Kind::OpenDataKey => Asked::OpenDataKey(self.data_key()?),
            Kind::DeleteDataKey => Asked::DeleteDataKey(self.data_key()?),
            Kind::SetAlias => self.set_alias()?,
            Kind::DeleteAlias => Asked::DeleteAlias {
                alias: self.alias()?,
            },
            Kind::EncryptByAlias => {
                let alias = self.alias()?;
                self.encrypt_under(alias, 1)
            }
            Kind::ProveRecord => self.record()?,
            Kind::Agree => self.share(SecretKind::Agreed)?,
            Kind::Decapsulate => self.share(SecretKind::Decapsulated)?,
            Kind::GenerateMac => self.prove(ProofKind::Code)?,
            Kind::VerifyMac => self.check(ProofKind::Code)?,
            Kind::Sign => self.prove(ProofKind::Signature)?,
            Kind::Verify => self.check(ProofKind::Signature)?,
            Kind::SetRotation => Asked::SetRotation {
                key: self.known_key()?,
                every_ms: self.rng.random_ratio(4, 5).then_some(ROTATION_PERIOD_MS),
            },
            Kind::ReEncrypt => Asked::ReEncrypt {
                message: self.message()?,
            },
            Kind::Random => Asked::Random,
            Kind::Read => Asked::GetKey {
                key: self.any_key(),
            },
            Kind::ReadRoot => Asked::ReadRoot,
            Kind::Repeat => return None,
        })
    }

    fn create(&mut self) -> Asked {
        let key = self.any_key();
        if self.rng.random_ratio(1, 8) {
            let date_ms = self.date_ms();
            return Asked::CreateDatedKey { key, date_ms };
        }
        let later = self.rng.random_ratio(1, 5);
        Asked::CreateKey { key, later }
    }

    fn transition(&mut self, transition: Transition) -> Option<Asked> {
        let key = self.known_key()?;
        // Now and then one version only.
        let version = self
            .rng
            .random_ratio(1, 4)
            .then(|| self.rng.random_range(1..=3));
        Some(Asked::Transition {
            key,
            version,
            transition,
        })
    }

    fn any_key(&mut self) -> String {
        let number = self.rng.random_range(0..self.shared.plan.keys);
        let kind =
            ["k", "k", "k", "k", "k", "mac-", "sign-", "agree-", "kem-"].choose(&mut self.rng);
        format!("{}/{}{number}", KEYRINGS[number % 2], kind.unwrap_or(&"k"))
    }

    /// A key that somebody was told exists; rarely any other.
    pub(super) fn known_key(&mut self) -> Option<String> {
        if self.rng.random_ratio(1, 40) {
            return Some(self.any_key());
        }
        let known = self.shared.recorder.look(known_keys);
        known.choose(&mut self.rng).cloned()
    }

    /// A known key for that purpose; rarely any other.
    pub(super) fn key_for(&mut self, purpose: Purpose) -> Option<String> {
        if self.rng.random_ratio(1, 40) {
            return self.known_key();
        }
        let mut known = self.shared.recorder.look(known_keys);
        known.retain(|key| purpose_of(key) == purpose);
        known.choose(&mut self.rng).cloned()
    }

    /// Soon, or just past.
    fn date_ms(&mut self) -> u64 {
        let elapsed = elapsed() + self.shared.leap.ahead();
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(0) + EPOCH_MS;
        (now + self.rng.random_range(0..40_000)).saturating_sub(2_000)
    }

    fn right(&mut self) -> Right {
        let (principal, keyring) = match self.rng.random_range(0..6) {
            0 => ("app", "pay"),
            1 | 2 => ("guest", "pay"),
            _ => ("guest", "demo"),
        };
        let role = if self.rng.random_ratio(1, 3) {
            Role::UseCompromised
        } else {
            Role::User
        };
        Right {
            principal: principal.to_owned(),
            keyring: keyring.to_owned(),
            role,
        }
    }

    fn encrypt(&mut self, items: u64) -> Option<Asked> {
        let key = self.key_for(Purpose::Encrypt)?;
        Some(self.encrypt_under(key, items))
    }

    fn encrypt_under(&mut self, key: String, items: u64) -> Asked {
        let first = self.shared.plaintexts.fetch_add(items, Ordering::Relaxed);
        let plaintext = canary;
        Asked::Encrypt {
            key,
            version: self
                .rng
                .random_ratio(1, 10)
                .then(|| self.rng.random_range(1..=2)),
            plaintexts: (first..first + items).map(plaintext).collect(),
        }
    }

    fn message(&mut self) -> Option<MessageId> {
        let count = self.shared.recorder.look(|history| history.messages.len());
        if count == 0 {
            return None;
        }
        // Mostly what is recent, so that it meets changes that are under way.
        let back = if self.rng.random_ratio(2, 3) {
            self.rng.random_range(0..count.min(30))
        } else {
            self.rng.random_range(0..count)
        };
        Some(MessageId(count - 1 - back))
    }

    /// Messages of one key, since a batch shares a context.
    fn decrypt_batch(&mut self) -> Option<Asked> {
        let of = self.message()?;
        let same = self.shared.recorder.look(|history| {
            let key = &history.messages[of.0].key;
            let all = history.messages.iter().enumerate().rev().take(200);
            let same = all.filter(|(_, message)| message.key == *key);
            same.map(|(place, _)| MessageId(place)).collect::<Vec<_>>()
        });
        let count = self.rng.random_range(2..=12);
        let messages: Vec<_> = same
            .choose_multiple(&mut self.rng, count)
            .copied()
            .collect();
        (messages.len() > 1).then_some(Asked::Decrypt { messages })
    }

    /// A recent write to send once more, mostly one that nobody knows of.
    fn repeatable(&mut self) -> Option<(String, CallId)> {
        let after = elapsed().saturating_sub(Duration::from_secs(60));
        let after = after.max(self.shared.leap.done_at());
        let (unknown, known): (Vec<_>, Vec<_>) = self.shared.recorder.look(|history| {
            let recent = history.calls.iter().enumerate().rev();
            let recent = recent.take_while(|(_, call)| call.begun.at >= after);
            recent
                .filter(|(_, call)| call.asked.is_write() && call.ended.is_some())
                .map(|(place, call)| (call.is_settled(), (call.principal.clone(), CallId(place))))
                .partition(|(is_settled, _)| !*is_settled)
        });
        let from = if unknown.is_empty() || self.rng.random_ratio(1, 3) {
            known
        } else {
            unknown
        };
        from.choose(&mut self.rng).map(|(_, found)| found.clone())
    }
}

fn known_keys(history: &History) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for call in &history.calls {
        if let Asked::CreateKey { key, .. } | Asked::CreateDatedKey { key, .. } = &call.asked
            && call.acknowledged().is_some()
            && !known.contains(key)
        {
            known.push(key.clone());
        }
    }
    known
}
