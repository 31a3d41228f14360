//! What helps to find keys, by the rules.

use crate::reference::Model;
use crate::steps::{FindingStep, key_name};
use conclave_core::{Change, KeyName, Labels};
use std::collections::{BTreeMap, BTreeSet};

fn label(n: u8) -> String {
    format!("label-{n}")
}

/// What a node would propose; it has refused labels that are too many or too large by themselves.
pub(crate) fn change(step: &FindingStep) -> Change {
    let FindingStep::Label { key, set, remove } = step;
    let mut pairs = BTreeMap::new();
    for (n, length) in set {
        pairs.insert(label(*n), "v".repeat(usize::from(*length)));
        if Labels::new(pairs.clone()).is_err() {
            pairs.remove(&label(*n));
        }
    }
    Change::SetLabels {
        name: key_name(*key),
        set: Labels::new(pairs).expect("within the limits"),
        remove: remove.iter().copied().map(label).collect(),
    }
}

impl Model {
    pub(crate) fn label(
        &mut self,
        index: u64,
        name: &KeyName,
        set: &Labels,
        remove: &BTreeSet<String>,
    ) -> Result<String, &'static str> {
        if set.iter().any(|(label, _)| remove.contains(label)) {
            return Err("MALFORMED");
        }
        let key = self.keys.get_mut(name.as_str()).ok_or("KEY_NOT_FOUND")?;
        let mut labels = key.labels.clone();
        for label in remove {
            labels.remove(label);
        }
        for (label, value) in set.iter() {
            labels.insert(label.to_owned(), value.to_owned());
        }
        let bytes: usize = labels.iter().map(|(k, v)| k.len() + v.len()).sum();
        if labels.len() > 32 || bytes > 8_192 {
            return Err("LIMIT_REACHED");
        }
        if labels != key.labels {
            key.labels = labels;
            key.revision = index;
        }
        Ok(self.answer(name))
    }
}
