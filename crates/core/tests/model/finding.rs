//! What helps to find keys, by the rules.

use crate::reference::{Model, alias_class};
use crate::steps::{FindingStep, NAMES, key_name};
use conclave_core::{
    Change, ExpectedAlias, KeyName, KeyState, Labels, SeenKeyrings, State, UsedKey,
};
use std::collections::{BTreeMap, BTreeSet};

fn label(n: u8) -> String {
    format!("label-{n}")
}

/// What a node would propose; it has refused labels that are too many or too large by themselves.
pub(crate) fn change(step: &FindingStep) -> Change {
    let (key, set, remove) = match step {
        FindingStep::Label { key, set, remove } => (key, set, remove),
        FindingStep::SetAlias {
            alias,
            target,
            expected,
        } => {
            return Change::SetAlias {
                alias: key_name(*alias),
                target: key_name(*target),
                expected: expected.clone(),
            };
        }
        FindingStep::DeleteAlias { alias } => {
            let alias = key_name(*alias);
            return Change::DeleteAlias { alias };
        }
    };
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
    pub(crate) fn find(&mut self, index: u64, change: &Change) -> Result<String, &'static str> {
        if let Change::SetLabels { name, set, remove } = change {
            return self.label(index, name, set, remove);
        }
        if let Change::DeleteAlias { alias } = change {
            return self.delete_alias(index, alias.as_str());
        }
        let Change::SetAlias {
            alias,
            target,
            expected,
        } = change
        else {
            unreachable!("told apart before");
        };
        self.set_alias(index, alias.as_str(), target.as_str(), expected)
    }

    fn label(
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

fn keyring(name: &str) -> &str {
    name.split('/').next().expect("a name has one")
}

impl Model {
    /// Whether what a use read is so now: the key, and that the alias leads to it.
    pub(crate) fn is_current(&self, used: &UsedKey) -> bool {
        let name = used.name.as_str();
        let leads = |alias: &KeyName| {
            let of = self.aliases.get(alias.as_str());
            of.is_some_and(|(key, _)| key == name)
        };
        let revision = self.keys.get(name).map_or(0, |key| key.revision);
        !self.aliases.contains_key(name)
            && revision == used.revision.0
            && used.alias.as_ref().is_none_or(leads)
    }

    pub(crate) fn check_own_name(&self, change: &Change) -> Result<(), &'static str> {
        let name = match change {
            Change::RotateKey { name, .. }
            | Change::Transition { name, .. }
            | Change::SetRotation { name, .. }
            | Change::ScheduleDestruction { name, .. }
            | Change::SetRewrap { name, .. }
            | Change::RequestRewrap { name }
            | Change::SetLabels { name, .. } => name,
            Change::SetAlias { alias, target, .. }
                if keyring(alias.as_str()) == keyring(target.as_str()) =>
            {
                target
            }
            Change::SetAlias { .. }
            | Change::DeleteAlias { .. }
            | Change::CreateKey { .. }
            | Change::RewrapDataKeys { .. }
            | Change::DeleteDataKey { .. }
            | Change::CreateImportJob(_)
            | Change::Import { .. }
            | Change::Erased { .. }
            | Change::Grant(_)
            | Change::Revoke(_)
            | Change::InitCustody(_)
            | Change::Custody(_) => return Ok(()),
        };
        if self.aliases.contains_key(name.as_str()) {
            return Err("NAMED_BY_ALIAS");
        }
        Ok(())
    }

    fn set_alias(
        &mut self,
        index: u64,
        alias: &str,
        target: &str,
        expected: &ExpectedAlias,
    ) -> Result<String, &'static str> {
        if keyring(alias) != keyring(target) {
            return Err("ALIAS_KEYRING");
        }
        let to = self.keys.get(target).ok_or("KEY_NOT_FOUND")?;
        if self.keys.contains_key(alias) {
            return Err("KEY_EXISTS");
        }
        let earlier = self.aliases.get(alias).map(|(key, _)| key.clone());
        match (expected, &earlier) {
            (ExpectedAlias::Absent, Some(_)) => return Err("ALIAS_EXISTS"),
            (ExpectedAlias::Present | ExpectedAlias::Of(_), None) => return Err("ALIAS_NOT_FOUND"),
            (ExpectedAlias::Of(key), Some(earlier)) if key.as_str() != earlier => {
                return Err("ALIAS_MOVED");
            }
            _ => {}
        }
        if to.state == KeyState::Destroyed {
            return Err("KEY_STATE");
        }
        if earlier
            .as_ref()
            .is_some_and(|it| self.keys[it].of_macs != to.of_macs)
        {
            return Err("ALIAS_PURPOSE");
        }
        self.aliases
            .insert(alias.to_owned(), (target.to_owned(), index));
        for key in earlier.iter().map(String::as_str).chain([target]) {
            self.keys.get_mut(key).expect("it stays").revision = index;
        }
        Ok(alias_class(alias, target, earlier.as_deref()))
    }

    fn delete_alias(&mut self, index: u64, alias: &str) -> Result<String, &'static str> {
        let (key, _) = self.aliases.remove(alias).ok_or("ALIAS_NOT_FOUND")?;
        self.keys.get_mut(&key).expect("it stays").revision = index;
        Ok(alias_class(alias, &key, Some(&key)))
    }
}

pub(crate) fn check_aliases(model: &Model, state: &State) {
    let all = state.alias_page("", None, &SeenKeyrings::All, None, 1_000);
    let found = all.aliases.iter().map(|it| {
        let revision = it.alias.revision.0;
        (it.name.to_string(), (it.key.to_string(), revision))
    });
    assert!(found.eq(model.aliases.clone()));
    assert_eq!(all.next, None);
    for name in NAMES {
        let found = state.named(&KeyName::new(name).expect("a good name"));
        let found =
            found.map(|(key, alias)| (key.info.name.to_string(), alias.map(KeyName::as_str)));
        let alias = model
            .aliases
            .get(name)
            .map(|(key, _)| (key.clone(), Some(name)));
        let own = model
            .keys
            .contains_key(name)
            .then(|| (name.to_owned(), None));
        assert!(
            own.is_none() || alias.is_none(),
            "{name} is one or the other"
        );
        assert_eq!(found, own.or(alias));
        if let Some(key) = state.key(&KeyName::new(name).expect("a good name")) {
            let mine = model.aliases.iter().filter(|(_, (key, _))| key == name);
            assert!(
                state
                    .aliases_of(key.info.id)
                    .map(KeyName::as_str)
                    .eq(mine.map(|(alias, _)| alias.as_str()))
            );
        }
    }
}
