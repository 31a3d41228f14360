//! What people say of keys.

use super::writes::{Answer, limit};
use super::{Place, State};
use crate::context::{Labels, PairsError};
use crate::limits::{PAIRS_BYTES_MAX, PAIRS_MAX, TEXT_BYTES_MAX};
use crate::names::KeyName;
use crate::outcome::{LimitedThing, Malformation, Refusal};
use std::collections::BTreeSet;

impl State {
    /// Sets some labels and removes others. Of a destroyed key, too: it stays listed.
    pub(super) fn set_labels(
        &mut self,
        place: Place,
        name: &KeyName,
        set: &Labels,
        remove: &BTreeSet<String>,
    ) -> Answer {
        let both = set.iter().any(|(label, _)| remove.contains(label));
        if both || !is_bounded(remove) {
            return Err(Refusal::Malformed(Malformation::Labels));
        }
        let key = self
            .keys
            .get_mut(name)
            .ok_or_else(|| Refusal::KeyNotFound(name.clone()))?;
        let changed = key.info.labels.changed(set, remove);
        let labels = changed.map_err(|error| match error {
            PairsError::Bytes { .. } => limit(LimitedThing::LabelBytes, PAIRS_BYTES_MAX),
            PairsError::Count { .. } | PairsError::EmptyName | PairsError::Control { .. } => {
                limit(LimitedThing::Labels, PAIRS_MAX)
            }
        })?;
        if labels != key.info.labels {
            key.info.labels = labels;
            key.info.revision = place.revision;
            let info = key.info.clone();
            self.save_key(&info);
        }
        self.key_answer(name)
    }
}

fn is_bounded(names: &BTreeSet<String>) -> bool {
    let bytes: usize = names.iter().map(String::len).sum();
    names.len() <= PAIRS_MAX && bytes <= PAIRS_BYTES_MAX
}

/// For the audit log, which is no place for kilobytes: `team=cards, tier=1, without env`.
pub(super) fn describe_labels(set: &Labels, remove: &BTreeSet<String>) -> String {
    let set = set.iter().map(|(name, value)| format!("{name}={value}"));
    let removed = remove.iter().map(|name| format!("without {name}"));
    let all: Vec<String> = set.chain(removed).collect();
    let mut text = String::new();
    for (said, part) in all.iter().enumerate() {
        if text.len().saturating_add(part.len()) > TEXT_BYTES_MAX {
            let left = all.len().saturating_sub(said);
            let more = format!("{left} more");
            return join(&text, &more);
        }
        text = join(&text, part);
    }
    text
}

fn join(text: &str, part: &str) -> String {
    if text.is_empty() {
        part.to_owned()
    } else {
        format!("{text}, {part}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_labels_is_bounded() {
        let pairs = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Labels::new(owned.collect()).unwrap()
        };
        let remove = BTreeSet::from(["env".to_owned()]);
        let some = pairs(&[("team", "cards"), ("tier", "1")]);
        assert_eq!(
            describe_labels(&some, &remove),
            "team=cards, tier=1, without env"
        );
        assert_eq!(describe_labels(&Labels::default(), &remove), "without env");
        let long = "x".repeat(510);
        let much = pairs(&[("a", "1"), ("b", &long), ("c", "2")]);
        assert_eq!(describe_labels(&much, &remove), "a=1, 3 more");
    }
}
