//! A version shares the same secret with the same peer on every node, and no two versions share the same (P2).

use super::Invariant;
use crate::evidence::Evidence;
use crate::history::Answer;
use std::collections::BTreeMap;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "secrets_are_alike",
    promise: "P2",
    check,
};

fn check(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut by_version: BTreeMap<_, &[u8]> = BTreeMap::new();
    let mut by_secret = BTreeMap::new();
    for call in &evidence.history.calls {
        let Some(Answer::Secret {
            key,
            version,
            secret,
        }) = call.answer()
        else {
            continue;
        };
        let place = (key.as_str(), *version);
        let same = *by_version.entry(place).or_insert(secret) == secret.as_slice();
        let first = *by_secret.entry(secret.as_slice()).or_insert(place);
        if !same || first != place {
            broken.push(format!(
                "version {version} of {key} shared another secret than before, or that of version {} of {}",
                first.1, first.0
            ));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Asked, Recorder, SecretKind};
    use std::time::Duration;

    fn judge(answers: &[(u32, u8)]) -> usize {
        let recorder = Recorder::default();
        for (number, (version, byte)) in (0_u8..).zip(answers) {
            let key = "demo/kem-1".to_owned();
            let asked = Asked::Share {
                kind: SecretKind::Decapsulated,
                key: key.clone(),
                version: None,
            };
            let call = recorder.begin(Duration::ZERO, "app", &[number], asked);
            let (version, secret) = (*version, vec![*byte; 32]);
            let answer = Answer::Secret {
                key,
                version,
                secret,
            };
            recorder.end(Duration::ZERO, call, answer);
        }
        let evidence = Evidence {
            history: recorder.history(),
            ..Evidence::default()
        };
        check(&evidence).len()
    }

    #[test]
    fn a_version_has_one_secret_of_its_own() {
        assert_eq!(judge(&[(1, 7), (2, 8), (1, 7)]), 0);
        assert_eq!(judge(&[(1, 7), (1, 8)]), 1);
        assert_eq!(judge(&[(1, 7), (2, 7)]), 1);
    }
}
