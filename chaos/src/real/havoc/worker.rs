//! One client of the workload: which calls it draws, of which keys and messages.

use super::draws::Draws;
use super::workload::Shared;
use crate::calls::Caller;
use crate::history::{Asked, CallId, History, MessageId, Right};
use conclave_core::{Role, Transition};
use rand::Rng as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::sleep;

/// Who calls.
pub(super) const PRINCIPALS: [&str; 4] = ["admin", "ops", "app", "guest"];
/// A worker's pause between two calls at most, so that the nodes get their share of a small machine.
const PAUSE_MS_MAX: u64 = 30;
/// Keys that are worked on at a time.
const KEYS_KNOWN_MAX: usize = 16;
/// Calls back to which one looks for a write to repeat.
const REPEAT_CALLS: usize = 300;
/// Messages back to which one looks for a batch to open.
const BATCH_MESSAGES: usize = 200;

/// One kind of call, and how often it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Create,
    Rotate,
    Move(Transition),
    Grant,
    Revoke,
    Encrypt,
    Decrypt,
    EncryptBatch,
    DecryptBatch,
    DataKey,
    ReEncrypt,
    Random,
    Read,
    Repeat,
    ReadRoot,
}

const CALLS: [(Call, u32); 18] = [
    (Call::Create, 5),
    (Call::Rotate, 3),
    (Call::Move(Transition::Suspend), 4),
    (Call::Move(Transition::Resume), 6),
    (Call::Move(Transition::Deactivate), 1),
    (Call::Move(Transition::Activate), 2),
    (Call::Grant, 2),
    (Call::Revoke, 2),
    (Call::Encrypt, 18),
    (Call::Decrypt, 14),
    (Call::EncryptBatch, 5),
    (Call::DecryptBatch, 5),
    (Call::DataKey, 5),
    (Call::ReEncrypt, 4),
    (Call::Random, 2),
    (Call::Read, 8),
    (Call::Repeat, 3),
    (Call::ReadRoot, 2),
];

impl Call {
    /// Who calls it, as a rule.
    fn principal(self) -> &'static str {
        match self {
            Self::Create | Self::Grant | Self::Revoke => "admin",
            Self::Rotate | Self::Move(_) | Self::ReadRoot => "ops",
            Self::Encrypt
            | Self::Decrypt
            | Self::EncryptBatch
            | Self::DecryptBatch
            | Self::DataKey
            | Self::ReEncrypt
            | Self::Random
            | Self::Read
            | Self::Repeat => "app",
        }
    }
}

/// One client: several principals, one call after the other.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) draws: Draws,
    pub(super) callers: BTreeMap<&'static str, Caller>,
}

impl Worker {
    /// Works until it is over.
    pub(super) async fn run(mut self) {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            let pause = self.draws.millis(0..=PAUSE_MS_MAX);
            sleep(pause).await;
            let gate = self.shared.gate.clone();
            let _turn = gate.read().await;
            // Checked once more: it may have waited long.
            if !self.shared.is_over.load(Ordering::Relaxed) {
                self.work().await;
            }
        }
    }

    async fn work(&mut self) {
        let kind = CALLS
            .choose_weighted(&mut self.draws.0, |(_, weight)| *weight)
            .map_or(Call::Encrypt, |(kind, _)| *kind);
        let mut principal = kind.principal();
        // Now and then somebody else tries.
        if self.draws.is(1, 8) {
            principal = self.draws.one(PRINCIPALS);
        }
        if kind == Call::Repeat {
            if let Some((principal, call)) = self.repeatable() {
                self.callers[principal.as_str()].clone().repeat(call).await;
            }
            return;
        }
        let Some(asked) = self.ask(kind) else { return };
        let created = if let Asked::CreateKey { key, .. } = &asked {
            Some(key.clone())
        } else {
            None
        };
        let caller = self.callers[principal].clone();
        let call = caller.call(asked).await;
        let done = |history: &History| history.calls[call.0].acknowledged().is_some();
        if let Some(key) = created.filter(|_| caller.recorder.look(done)) {
            let mut keys = self.shared.keys.lock();
            keys.push_back(key);
            while keys.len() > KEYS_KNOWN_MAX {
                keys.pop_front();
            }
        }
    }

    /// What is asked; `None` if there is nothing yet that it could be asked of.
    fn ask(&mut self, kind: Call) -> Option<Asked> {
        Some(match kind {
            Call::Create => Asked::CreateKey {
                key: self.new_key(),
                later: self.draws.is(1, 6),
            },
            Call::Rotate => Asked::RotateKey {
                key: self.known_key()?,
            },
            Call::Move(transition) => Asked::Transition {
                key: self.known_key()?,
                // Now and then one version only.
                version: self.draws.is(1, 4).then(|| self.draws.one(1..=3)),
                transition,
            },
            Call::Grant => Asked::Grant(self.right()),
            Call::Revoke => Asked::Revoke(self.right()),
            Call::Encrypt => self.encrypt(1)?,
            Call::EncryptBatch => {
                let items = self.draws.one(2..=20);
                self.encrypt(items)?
            }
            Call::Decrypt => Asked::Decrypt {
                messages: vec![self.message()?],
            },
            Call::DecryptBatch => self.decrypt_batch()?,
            Call::DataKey => Asked::DataKey {
                key: self.known_key()?,
            },
            Call::ReEncrypt => Asked::ReEncrypt {
                message: self.message()?,
            },
            Call::Random => Asked::Random,
            Call::Read => Asked::GetKey {
                key: self.known_key()?,
            },
            Call::ReadRoot => Asked::ReadRoot,
            Call::Repeat => return None,
        })
    }

    /// Mostly a new name; now and then one that somebody just took.
    fn new_key(&mut self) -> String {
        let names = &self.shared.names;
        let number = if self.draws.is(1, 8) {
            names.load(Ordering::Relaxed).saturating_sub(1)
        } else {
            names.fetch_add(1, Ordering::Relaxed)
        };
        let keyring = if number % 3 == 0 { "pay" } else { "demo" };
        format!("{keyring}/k{number}")
    }

    fn known_key(&mut self) -> Option<String> {
        let keys = self.shared.keys.lock();
        keys.iter()
            .nth(self.draws.0.random_range(0..keys.len().max(1)))
            .cloned()
    }

    fn right(&mut self) -> Right {
        let (principal, keyring) = self.draws.one([
            ("app", "pay"),
            ("guest", "pay"),
            ("guest", "demo"),
            ("guest", "demo"),
        ]);
        Right {
            principal: principal.to_owned(),
            keyring: keyring.to_owned(),
            role: Role::User,
        }
    }

    fn encrypt(&mut self, items: u64) -> Option<Asked> {
        let key = self.known_key()?;
        let first = self.shared.plaintexts.fetch_add(items, Ordering::Relaxed);
        let plaintext = |number: u64| format!("plaintext {number}").into_bytes();
        Some(Asked::Encrypt {
            key,
            version: self.draws.is(1, 10).then(|| self.draws.one(1..=2)),
            plaintexts: (first..first + items).map(plaintext).collect(),
        })
    }

    fn message(&mut self) -> Option<MessageId> {
        let count = self.shared.recorder.look(|history| history.messages.len());
        if count == 0 {
            return None;
        }
        // Mostly what is recent, so that it meets changes that are under way.
        let depth = if self.draws.is(3, 4) {
            count.min(100)
        } else {
            count
        };
        Some(MessageId(count - 1 - self.draws.0.random_range(0..depth)))
    }

    /// Messages of one key, since a batch shares a context.
    fn decrypt_batch(&mut self) -> Option<Asked> {
        let of = self.message()?;
        let mut same = self.shared.recorder.look(|history| {
            let key = &history.messages[of.0].key;
            let recent = history
                .messages
                .iter()
                .enumerate()
                .rev()
                .take(BATCH_MESSAGES);
            let same = recent.filter(|(_, message)| message.key == *key);
            same.map(|(place, _)| MessageId(place)).collect::<Vec<_>>()
        });
        same.shuffle(&mut self.draws.0);
        same.truncate(self.draws.one(2..=12));
        (same.len() > 1).then_some(Asked::Decrypt { messages: same })
    }

    /// A recent write to send once more, mostly one that nobody knows of.
    fn repeatable(&mut self) -> Option<(String, CallId)> {
        let (unknown, known): (Vec<_>, Vec<_>) = self.shared.recorder.look(|history| {
            let recent = history.calls.iter().enumerate().rev().take(REPEAT_CALLS);
            recent
                .filter(|(_, call)| call.asked.is_write() && call.ended.is_some())
                .map(|(place, call)| (call.is_settled(), (call.principal.clone(), CallId(place))))
                .partition(|(is_settled, _)| !*is_settled)
        });
        let from = if unknown.is_empty() || self.draws.is(1, 3) {
            known
        } else {
            unknown
        };
        from.choose(&mut self.draws.0)
            .map(|(_, found)| found.clone())
    }
}
