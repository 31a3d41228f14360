use super::*;
use conclave_core::AuditTree;
use conclave_core::audit::{inclusion_path, leaf_hash, root_over};
use conclave_crypto::AuditSigningSeed;
use conclave_crypto::audit::{checkpoint, verifier_key};
use proptest::prelude::*;

const ORIGIN: &str = "conclave.example/0102";

fn seed(byte: u8) -> AuditSigningSeed {
    AuditSigningSeed::from_fn(|out| out.fill(byte))
}

fn key() -> String {
    verifier_key(&seed(1), ORIGIN).unwrap()
}

fn record(sequence: u64, operation: &str, node_id: u64, revision: u64) -> AuditRecord {
    AuditRecord {
        sequence,
        time_ms: 1_000 + sequence,
        node_id,
        authentication: "node".to_owned(),
        operation: operation.to_owned(),
        key: "demo/old".to_owned(),
        key_id: vec![7; 16],
        version: 2,
        outcome: Outcome::Allowed.into(),
        destruction_revision: revision,
        ..AuditRecord::default()
    }
}

/// What a node answers that has this log.
fn answer(log: &[AuditRecord], asked: &[u64]) -> v1::RecordProofs {
    let leaves: Vec<_> = log.iter().map(prost::Message::encode_to_vec).collect();
    let mut tree = AuditTree::default();
    for leaf in &leaves {
        tree.append(leaf);
    }
    let root_of = |subtree: conclave_core::audit::Subtree| {
        let first = usize::try_from(subtree.index << subtree.level).unwrap();
        let over = &leaves[first..first + (1 << subtree.level)];
        Ok::<_, std::convert::Infallible>(root_over(over.iter().map(|it| leaf_hash(it)).collect()))
    };
    let proof = |sequence: &u64| {
        let Ok(path) = inclusion_path(*sequence, tree.size(), root_of);
        let entry = v1::AuditEntry {
            sequence: *sequence,
            leaf: leaves[usize::try_from(*sequence).unwrap()].clone(),
            record: None,
        };
        v1::RecordProof {
            entry: Some(entry),
            path: path.iter().map(|hash| hash.to_vec()).collect(),
        }
    };
    v1::RecordProofs {
        records: asked.iter().map(proof).collect(),
        size: tree.size(),
        checkpoint: checkpoint(&seed(1), ORIGIN, tree.size(), &tree.root()).unwrap(),
        verifier_key: key(),
    }
}

fn log() -> Vec<AuditRecord> {
    vec![
        record(0, "CreateKey", 1, 0),
        record(1, "DestroyKey", 1, 50),
        record(2, "EraseKeyMaterial", 2, 50),
        record(3, "EraseKeyMaterial", 1, 60),
        record(4, "EraseKeyMaterial", 3, 40),
    ]
}

fn text(log: &[AuditRecord], asked: &[u64]) -> String {
    let proofs = RecordProof::of(answer(log, asked)).unwrap();
    let texts: Vec<_> = proofs.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

fn verified(text: &str, key: &str) -> Result<Vec<AuditRecord>, ProofError> {
    let proofs = RecordProof::parse(text)?;
    let records = proofs.iter().map(|it| it.verify(key));
    records.map(|it| it.map(|(record, _)| record)).collect()
}

#[test]
fn a_certificate_says_what_was_destroyed_and_where_it_was_erased() {
    let records = verified(&text(&log(), &[1, 2, 3]), &key()).unwrap();
    assert_eq!(records, log()[1..4]);
    let certified = Certified {
        key: "demo/old".to_owned(),
        key_id: vec![7; 16],
        version: 2,
        destroyed_ms: 1_001,
        erased_ms: [(2, 1_002), (1, 1_003)].into(),
    };
    assert_eq!(Certified::by(&records), Ok(certified));
}

#[test]
fn records_in_the_log_are_not_yet_a_certificate() {
    let by = |asked: &[u64]| Certified::by(&verified(&text(&log(), asked), &key()).unwrap());
    for asked in [&[0][..], &[2], &[1, 0], &[1, 4], &[0, 1]] {
        let refused = by(asked);
        assert!(
            matches!(refused, Err(ProofError::NoCertificate { .. })),
            "{asked:?}"
        );
    }
    assert!(matches!(
        Certified::by(&[]),
        Err(ProofError::NoCertificate { .. })
    ));
    // What somebody asks for is in the log as well, and no destruction.
    let mut asked_for = log();
    asked_for[1].authentication = "mtls".to_owned();
    assert!(Certified::by(&asked_for[1..3]).is_err());
    let mut refused = log();
    refused[1].outcome = Outcome::Denied.into();
    assert!(Certified::by(&refused[1..3]).is_err());
}

#[test]
fn every_changed_byte_and_every_cut_is_found() {
    let text = text(&log(), &[1, 3]);
    let good = verified(&text, &key()).unwrap();
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        if let Ok(changed) = std::str::from_utf8(&changed) {
            assert_ne!(verified(changed, &key()).as_ref(), Ok(&good), "byte {at}");
        }
        // Only the line feed at the end can be left out.
        if let Some(cut) = text.get(..at).filter(|_| at + 1 < text.len()) {
            assert_ne!(verified(cut, &key()).as_ref(), Ok(&good), "cut to {at}");
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let good = text(&log(), &[1]);
    let other = verifier_key(&seed(2), ORIGIN).unwrap();
    let unsigned = verified(&good, &other).unwrap_err();
    assert!(
        matches!(unsigned, ProofError::Checkpoint { record: 1, .. }),
        "{unsigned}"
    );
    let elsewhere = verified(&good.replace("index 1\n", "index 2\n"), &key());
    assert_eq!(elsewhere, Err(ProofError::NotInLog { record: 2 }));
    assert_eq!(verified("", &key()), Err(ProofError::Empty));
    assert_eq!(verified("something else\n", &key()), Err(ProofError::Empty));
    assert_eq!(
        verified(&format!("before\n{good}"), &key()),
        Err(ProofError::Empty)
    );
    for (from, to) in [
        ("extra ", "extras "),
        ("index 1", "index 01"),
        ("\n\n", "\n"),
        ("extra ", "extra !"),
    ] {
        let text = format!("{good}\n{}", good.replacen(from, to, 1));
        let refused = verified(&text, &key()).unwrap_err();
        assert!(
            matches!(refused, ProofError::Malformed { number: 2, .. }),
            "{from}: {refused}"
        );
    }
    let hash = format!("{}\n", STANDARD.encode([7; 32]));
    let long = good.replace("\n\n", &format!("\n{}\n", hash.repeat(70)));
    assert!(matches!(
        verified(&long, &key()),
        Err(ProofError::Malformed { number: 1, .. })
    ));
}

#[test]
fn nonsense_of_a_node_is_no_proof() {
    let mut without_entry = answer(&log(), &[1]);
    without_entry.records[0].entry = None;
    assert_eq!(RecordProof::of(without_entry), None);
    let mut short_hash = answer(&log(), &[1]);
    short_hash.records[0].path[0].pop();
    assert_eq!(RecordProof::of(short_hash), None);
    // A node that gives another record than the one asked for is found out by who verifies.
    let mut another = answer(&log(), &[1]);
    another.records[0].entry.as_mut().unwrap().leaf = log()[2].encode_to_vec();
    let proofs = RecordProof::of(another).unwrap();
    assert_eq!(
        proofs[0].verify(&key()),
        Err(ProofError::NotInLog { record: 1 })
    );
}

proptest! {
    #[test]
    fn any_proof_comes_back(size in 1_u64..80, at: u64) {
        let log: Vec<_> = (0..size).map(|n| record(n, "CreateKey", n % 3, n)).collect();
        let proofs = RecordProof::of(answer(&log, &[at % size])).unwrap();
        prop_assert_eq!(RecordProof::parse(&proofs[0].to_string()), Ok(proofs.clone()));
        prop_assert_eq!(proofs[0].verify(&key()), Ok((log[usize::try_from(at % size).unwrap()].clone(), size)));
    }

    #[test]
    fn no_text_makes_it_panic(text in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z=]*\n)?(index [0-9]*\n)?.*(\n\n)?.*") {
        let _ = verified(&text, &key());
    }
}
