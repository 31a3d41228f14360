//! A code or a signature that was given out verifies under its version, and no other message and no other bytes do. The
//! same version makes the same of the same message on every node, and no two versions make the same.

use super::Invariant;
use crate::evidence::Evidence;
use crate::history::{Answer, Asked, Changed, Proof};
use std::collections::BTreeMap;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "proofs_verify",
    promise: "P2",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let proofs = &evidence.history.proofs;
    let mut broken = Vec::new();
    for call in &evidence.history.calls {
        let Asked::Check { proof, changed, .. } = &call.asked else {
            continue;
        };
        let problem = match (changed, call.answer()) {
            (Changed::Nothing, Some(Answer::Refused(reason))) if is_damage(reason) => reason,
            (Changed::Message | Changed::Proof, Some(Answer::Verified)) => "verified",
            _ => continue,
        };
        let Proof {
            kind, key, version, ..
        } = &proofs[proof.0];
        broken.push(format!(
            "{kind:?} {} by version {version} of {key}, of which was changed: {changed:?}, was answered: {problem}",
            proof.0
        ));
    }
    broken.extend(check_bytes(proofs));
    broken
}

fn check_bytes(proofs: &[Proof]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut by_place: BTreeMap<_, &[u8]> = BTreeMap::new();
    let mut by_bytes = BTreeMap::new();
    for proof in proofs {
        let place = (proof.key.as_str(), proof.version, proof.message.as_slice());
        let bytes = *by_place.entry(place).or_insert(&proof.bytes);
        let first = *by_bytes.entry(proof.bytes.as_slice()).or_insert(place);
        if bytes != proof.bytes || first != place {
            broken.push(format!(
                "version {} of {} made {} of message {}, and it had made another one of it, or another one this",
                proof.version,
                proof.key,
                hex::encode(&proof.bytes),
                hex::encode(&proof.message)
            ));
        }
    }
    broken
}

fn is_damage(reason: &str) -> bool {
    matches!(
        reason,
        "MAC_INVALID" | "SIGNATURE_INVALID" | "MATERIAL_TAMPERED"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ProofId, ProofKind, Recorder};
    use std::time::Duration;

    fn proof(version: u32, bytes: u8) -> Proof {
        Proof {
            kind: ProofKind::Code,
            key: "demo/mac-1".to_owned(),
            version,
            message: vec![1],
            bytes: vec![bytes; 32],
        }
    }

    fn judge(given: &[Proof], checks: &[(Changed, Answer)]) -> usize {
        let recorder = Recorder::default();
        let kind = ProofKind::Code;
        for (number, proof) in (0_u8..).zip(given) {
            let asked = Asked::Prove {
                kind,
                key: proof.key.clone(),
                version: None,
                message: proof.message.clone(),
            };
            let call = recorder.begin(Duration::ZERO, "app", &[1, number], asked);
            recorder.end_proved(Duration::ZERO, call, proof.clone());
        }
        for (number, (changed, answer)) in (0_u8..).zip(checks) {
            let asked = Asked::Check {
                kind,
                proof: ProofId(0),
                changed: *changed,
            };
            let call = recorder.begin(Duration::ZERO, "app", &[2, number], asked);
            recorder.end(Duration::ZERO, call, answer.clone());
        }
        let evidence = Evidence {
            history: recorder.history(),
            ..Evidence::default()
        };
        check(&evidence).len()
    }

    #[test]
    fn what_was_changed_does_not_verify_and_what_was_not_does() {
        let invalid = || Answer::Refused("MAC_INVALID".to_owned());
        let given = [proof(1, 7)];
        let right = [
            (Changed::Nothing, Answer::Verified),
            (Changed::Message, invalid()),
            (Changed::Proof, invalid()),
            (Changed::Nothing, Answer::Refused("KEY_STATE".to_owned())),
            (Changed::Message, Answer::Unknown("NO_QUORUM".to_owned())),
        ];
        assert_eq!(judge(&given, &right), 0);
        let wrong = [
            (Changed::Nothing, invalid()),
            (Changed::Message, Answer::Verified),
            (Changed::Proof, Answer::Verified),
        ];
        assert_eq!(judge(&given, &wrong), 3);
    }

    #[test]
    fn a_version_makes_the_same_of_the_same_and_another_does_not() {
        assert_eq!(judge(&[proof(1, 7), proof(1, 7), proof(2, 8)], &[]), 0);
        assert_eq!(judge(&[proof(1, 7), proof(1, 8)], &[]), 1);
        assert_eq!(judge(&[proof(1, 7), proof(2, 7)], &[]), 1);
    }
}
