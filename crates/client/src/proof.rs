//! Proofs of records of the audit log, verified without a node, and their text form: C2SP tlog-proof, with the record's bytes as
//! its extra data.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra base64(leaf)
//! index 4711
//! base64(hash)…
//!
//! checkpoint, a signed note
//! ```
//!
//! A certificate of destruction is several of them, each after an empty line: of the destruction, and of one erasure for each
//! node.

use crate::limits::PROOF_HASHES_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conclave_core::audit::{Hash, root_by_path};
use conclave_crypto::CryptoError;
use conclave_crypto::audit::verify_checkpoint;
use conclave_proto::store::v1::{AuditRecord, Outcome};
use conclave_proto::v1;
use prost::Message as _;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// Not the text of a proof.
    #[error("proof {number} is none of C2SP tlog-proof: {wanted}")]
    Malformed {
        /// Which one of the text, from 1.
        number: usize,
        /// What would be right.
        wanted: &'static str,
    },
    /// There is no proof in it.
    #[error("there is no proof in it: each begins with the line {HEADER}")]
    Empty,
    /// The checkpoint is not signed by the cluster.
    #[error("record {record}: {why}")]
    Checkpoint {
        /// The record's number, as the proof has it.
        record: u64,
        /// What is wrong.
        why: CryptoError,
    },
    /// The record is not what is in the log at this place.
    #[error(
        "record {record} is not in the log that the checkpoint speaks of: it or its proof was changed"
    )]
    NotInLog {
        /// The record's number, as the proof has it.
        record: u64,
    },
    /// The records are in the log, but are no certificate.
    #[error("the records are in the log, but certify no destruction: {why}")]
    NoCertificate {
        /// What is missing.
        why: &'static str,
    },
}

/// A record of the audit log with what proves that it is there. It says nothing until it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordProof {
    leaf: Vec<u8>,
    sequence: u64,
    path: Vec<Hash>,
    checkpoint: Arc<str>,
}

impl RecordProof {
    /// Those of an answer; `None` if a node answered nonsense.
    pub fn of(answer: v1::RecordProofs) -> Option<Vec<Self>> {
        let checkpoint: Arc<str> = answer.checkpoint.into();
        let proof = |it: v1::RecordProof| {
            let entry = it.entry?;
            let hashes = it.path.into_iter().map(|hash| Hash::try_from(hash).ok());
            Some(Self {
                leaf: entry.leaf,
                sequence: entry.sequence,
                path: hashes.collect::<Option<_>>()?,
                checkpoint: checkpoint.clone(),
            })
        };
        answer.records.into_iter().map(proof).collect()
    }

    /// All that a text holds.
    ///
    /// # Errors
    /// [`ProofError::Malformed`], [`ProofError::Empty`].
    pub fn parse(text: &str) -> Result<Vec<Self>, ProofError> {
        let starts = text.match_indices(HEADER).map(|(at, _)| at);
        let starts = starts.filter(|at| *at == 0 || text[..*at].ends_with('\n'));
        let starts: Vec<_> = starts.collect();
        let (Some(&first), ends) = (starts.first(), starts.iter().skip(1)) else {
            return Err(ProofError::Empty);
        };
        if !text[..first].trim().is_empty() {
            return Err(ProofError::Empty);
        }
        let ends = ends.copied().chain([text.len()]);
        let parts = starts.iter().zip(ends).enumerate();
        let parsed = parts.map(|(n, (start, end))| {
            let number = n.saturating_add(1);
            let malformed = |wanted| ProofError::Malformed { number, wanted };
            let (part, is_last) = (&text[*start..end], end == text.len());
            let part = match part.strip_suffix("\n\n") {
                Some(part) if !is_last => part,
                None if is_last => part.strip_suffix('\n').unwrap_or(part),
                _ => return Err(malformed("one empty line parts it from the next")),
            };
            Self::parse_one(part).map_err(malformed)
        });
        parsed.collect()
    }

    fn parse_one(text: &str) -> Result<Self, &'static str> {
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or("an empty line parts the hashes from the checkpoint")?;
        let mut lines = head.split('\n').skip(1);
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let leaf = extra.and_then(|base64| STANDARD.decode(base64).ok());
        let leaf = leaf.ok_or("its second line is 'extra', and the record in base64")?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let sequence = index.and_then(|it| it.parse().ok().filter(|n: &u64| n.to_string() == it));
        let sequence = sequence.ok_or("its third line is 'index', and the record's number")?;
        let hash = |line: &str| Hash::try_from(STANDARD.decode(line).ok()?).ok();
        let path = lines.map(hash).collect::<Option<Vec<_>>>();
        let path = path.ok_or("the lines that follow are hashes of 32 bytes in base64")?;
        if path.len() > PROOF_HASHES_MAX {
            return Err("no proof has more than 64 hashes");
        }
        Ok(Self {
            leaf,
            sequence,
            path,
            checkpoint: format!("{checkpoint}\n").into(),
        })
    }

    /// The record, if it is in the log of the cluster whose `verifier_key` this is, and how many records that log has.
    ///
    /// # Errors
    /// [`ProofError::Checkpoint`], [`ProofError::NotInLog`].
    pub fn verify(&self, verifier_key: &str) -> Result<(AuditRecord, u64), ProofError> {
        let record = self.sequence;
        let (size, root) = verify_checkpoint(verifier_key, &self.checkpoint)
            .map_err(|why| ProofError::Checkpoint { record, why })?;
        let not_in_log = ProofError::NotInLog { record };
        if root_by_path(&self.leaf, record, size, &self.path) != Some(root) {
            return Err(not_in_log);
        }
        match AuditRecord::decode(self.leaf.as_slice()) {
            Ok(found) if found.sequence == record => Ok((found, size)),
            _ => Err(not_in_log),
        }
    }
}

impl fmt::Display for RecordProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        writeln!(f, "extra {}", STANDARD.encode(&self.leaf))?;
        writeln!(f, "index {}", self.sequence)?;
        for hash in &self.path {
            writeln!(f, "{}", STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// What proved records certify: that material was destroyed, and where it was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The key's name.
    pub key: String,
    /// 16 bytes.
    pub key_id: Vec<u8>,
    /// 0: the key as a whole.
    pub version: u32,
    /// Unix time in milliseconds.
    pub destroyed_ms: u64,
    /// When each node erased it: by node id, Unix time in milliseconds.
    pub erased_ms: BTreeMap<u64, u64>,
}

impl Certified {
    /// Reads verified records: the first says that something was destroyed, each other one that a node erased it afterwards.
    ///
    /// # Errors
    /// [`ProofError::NoCertificate`].
    pub fn by(records: &[AuditRecord]) -> Result<Self, ProofError> {
        let no = |why| Err(ProofError::NoCertificate { why });
        let Some((destroyed, erased)) = records.split_first() else {
            return no("there is none");
        };
        if !was_done(destroyed, "DestroyKey") || destroyed.destruction_revision == 0 {
            return no("the first is not of a destruction");
        }
        let mut erased_ms = BTreeMap::new();
        for record in erased {
            if !was_done(record, "EraseKeyMaterial") {
                return no("one that follows the first is not of an erasure");
            }
            if record.sequence < destroyed.sequence
                || record.destruction_revision < destroyed.destruction_revision
            {
                return no("an erasure came before the destruction");
            }
            let first = erased_ms.entry(record.node_id).or_insert(record.time_ms);
            *first = record.time_ms.min(*first);
        }
        Ok(Self {
            key: destroyed.key.clone(),
            key_id: destroyed.key_id.clone(),
            version: destroyed.version,
            destroyed_ms: destroyed.time_ms,
            erased_ms,
        })
    }
}

fn was_done(record: &AuditRecord, operation: &str) -> bool {
    record.operation == operation
        && record.authentication == "node"
        && record.outcome() == Outcome::Allowed
}

#[cfg(test)]
mod tests;
