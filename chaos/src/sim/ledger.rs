//! The log as it was committed, put together from all nodes, and the state that it makes: what every node must agree
//! with.

use crate::invariants::inside::destroyed_is_erased::Material;
use bytes::Bytes;
use conclave_core::{
    AuditRecord, Body, Change, Command, KeyState, LogIndex, Outcome, State, Table, Verdict,
    VersionNumber,
};
use conclave_raft::inspect::{LogContent, LogEntry, log_entry};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A copy of the reference state is kept at every so many entries, so that a node that went back can be followed from
/// near by.
const COPY_EVERY: u64 = 200;

/// One committed entry.
pub struct Committed {
    /// As it was stored by whoever applied it first.
    pub bytes: Vec<u8>,
    command: Option<Bytes>,
    /// When some node was first seen to have applied it.
    pub applied: Duration,
    /// Records of the audit log once it is applied.
    pub audit_size: u64,
    /// The audit log's root then.
    pub audit_root: [u8; 32],
}

/// The log as it was committed.
#[derive(Default)]
pub struct Ledger {
    /// From index 0.
    pub entries: Vec<Committed>,
    reference: State,
    copies: BTreeMap<u64, State>,
    /// What was seen, and how often.
    pub seen: BTreeMap<&'static str, u64>,
    /// Wrapped material that was accepted.
    pub materials: Vec<Material>,
    batches: BTreeSet<(u64, u64, u64)>,
    requests: BTreeSet<(String, [u8; 16])>,
}

/// A short hash of an entry's bytes.
///
/// # Panics
/// Never: 32 bytes have 8.
pub fn short_hash(bytes: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let (first, _) = digest.split_first_chunk::<8>().expect("32 bytes have 8");
    u64::from_be_bytes(*first)
}

fn apply(state: &mut State, index: u64, command: Option<&Bytes>) -> Option<Outcome> {
    let command = Command::decode(command?).expect("a committed command was decoded before");
    let outcome = state.apply(LogIndex(index), command);
    Some(outcome)
}

/// What a command that was carried out brought in.
fn material(command: &Bytes) -> Option<Material> {
    let Body::Write(write) = Command::decode(command).ok()?.body else {
        return None;
    };
    let (key, version, material) = if let Change::CreateKey { id, material, .. } = write.change {
        (id, VersionNumber(1), material)
    } else if let Change::RotateKey {
        id,
        version,
        material,
        ..
    } = write.change
    {
        (id, version, material)
    } else {
        return None;
    };
    let blob = material.wrapped.blob;
    Some(Material { key, version, blob })
}

impl Ledger {
    /// How many entries are committed.
    ///
    /// # Panics
    /// Never: a count fits 64 bits.
    pub fn count(&self) -> u64 {
        u64::try_from(self.entries.len()).expect("a count fits 64 bits")
    }

    /// Adds the next entry; gives the audit records that it makes.
    ///
    /// # Errors
    /// If it is none, or another one's place.
    pub fn push(&mut self, bytes: Vec<u8>, applied: Duration) -> Result<Vec<AuditRecord>, String> {
        let index = self.count();
        let LogEntry {
            index: found,
            content,
            ..
        } = log_entry(&bytes)?;
        if found.0 != index {
            return Err(format!("entry {found} is where {index} should be"));
        }
        let command = match content {
            LogContent::Command(command) => {
                self.look_at(&command)?;
                Some(command)
            }
            LogContent::Blank | LogContent::Membership => None,
        };
        let outcome = apply(&mut self.reference, index, command.as_ref());
        if let (Some(Outcome::Written(Ok(_))), Some(command)) = (&outcome, &command) {
            self.materials.extend(material(command));
        }
        let changes = self.reference.take_changes().into_iter();
        let leaves = changes.filter(|change| change.table == Table::Audit);
        let records = leaves
            .filter_map(|change| change.value)
            .map(|leaf| AuditRecord::decode(leaf.as_slice()).map_err(|error| error.to_string()))
            .collect::<Result<Vec<_>, _>>()?;
        self.count_records(&records);
        if let Some(Outcome::Verdicts(verdicts)) = &outcome
            && verdicts.contains(&Verdict::Retry)
        {
            self.saw("retry verdict");
        }
        if outcome == Some(Outcome::BatchRefused) {
            self.saw("batch refused");
        }
        let audit = self.reference.audit();
        self.entries.push(Committed {
            bytes,
            command,
            applied,
            audit_size: audit.size(),
            audit_root: audit.root(),
        });
        if index.is_multiple_of(COPY_EVERY) {
            self.copies.insert(index, self.reference.clone());
        }
        Ok(records)
    }

    fn look_at(&mut self, command: &Bytes) -> Result<(), String> {
        let command = Command::decode(command).map_err(|error| error.to_string())?;
        match command.body {
            Body::Uses(batch) => {
                let id = batch.id;
                if !self
                    .batches
                    .insert((command.node.0, id.incarnation, id.sequence))
                {
                    self.saw("batch committed twice");
                }
            }
            Body::Write(write) => {
                let name = (format!("{:?}", write.actor), write.request.0);
                if !self.requests.insert(name) {
                    self.saw("write committed twice");
                }
            }
            Body::Tick => self.saw("tick"),
            Body::Form { .. } => self.saw("form"),
        }
        Ok(())
    }

    fn count_records(&mut self, records: &[AuditRecord]) {
        for record in records {
            match record.operation.as_str() {
                "DestroyKey" => self.saw("key destroyed"),
                "EraseKeyMaterial" => self.saw("material erased"),
                "RotateKey" if record.authentication == "node" => {
                    self.saw("version made by the cluster");
                }
                _ => {}
            }
        }
    }

    /// What the committed log makes.
    pub(super) fn committed(&self) -> &State {
        &self.reference
    }

    /// Whether anything is to be done yet by the cluster itself: to be destroyed, or to be wrapped anew.
    pub fn awaits_something(&self) -> bool {
        if self.reference.all_rewraps_left() > 0 {
            return true;
        }
        let waits = |state| state == KeyState::DestroyScheduled;
        self.reference.keys("", None).any(|key| {
            let mut versions = key.versions.iter();
            waits(key.info.state) || versions.any(|(_, version)| waits(version.state))
        })
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// The state that the first `count` entries make, near which a state of a node can be taken up.
    fn near(&self, count: u64) -> (u64, State) {
        let below = count.checked_sub(1);
        let copy = below.and_then(|last| self.copies.range(..=last).next_back());
        copy.map_or_else(
            || (0, State::new()),
            |(index, state)| (index + 1, state.clone()),
        )
    }
}

/// A state that follows one node through the ledger.
#[derive(Default)]
pub struct Shadow {
    /// How many entries it has applied.
    count: u64,
    state: State,
}

impl Shadow {
    /// The state after entry `index`.
    ///
    /// # Panics
    /// If that is not committed.
    pub fn at(&mut self, ledger: &Ledger, index: u64) -> &State {
        let wanted = index + 1;
        if self.count > wanted || self.count + COPY_EVERY < wanted {
            (self.count, self.state) = ledger.near(wanted);
        }
        while self.count < wanted {
            let place = usize::try_from(self.count).expect("an index fits");
            apply(
                &mut self.state,
                self.count,
                ledger.entries[place].command.as_ref(),
            );
            self.state.take_changes();
            self.count += 1;
        }
        &self.state
    }
}
