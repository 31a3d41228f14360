//! Other names of keys. Setting and deleting one changes the revision of every key that it concerns, so that a use which
//! was decided through it is decided again (docs/adr/0012).

use super::journal::Note;
use super::list::SeenKeyrings;
use super::writes::{Answer, limit};
use super::{Place, State};
use crate::alias::{Alias, AliasView, ExpectedAlias};
use crate::codec;
use crate::command::{Change, ImportTarget};
use crate::ids::{KeyId, Revision};
use crate::key::Key;
use crate::lifecycle::KeyState;
use crate::limits::{ALIASES_MAX, ALIASES_PER_KEY_MAX};
use crate::names::KeyName;
use crate::outcome::{LimitedThing, Refusal, Written};
use crate::planted::{Bug, is_planted};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

/// All of them, and those of each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Aliases {
    by_name: BTreeMap<KeyName, Alias>,
    of_keys: BTreeMap<KeyId, BTreeSet<KeyName>>,
}

impl Aliases {
    /// Adds one, or puts it in the place of the one of its name.
    pub(super) fn insert(&mut self, name: KeyName, alias: Alias) {
        self.remove(&name);
        let of_key = self.of_keys.entry(alias.target).or_default();
        of_key.insert(name.clone());
        self.by_name.insert(name, alias);
    }

    fn remove(&mut self, name: &KeyName) -> Option<Alias> {
        let removed = self.by_name.remove(name)?;
        if let Some(of_key) = self.of_keys.get_mut(&removed.target) {
            of_key.remove(name);
            if of_key.is_empty() {
                self.of_keys.remove(&removed.target);
            }
        }
        Some(removed)
    }

    fn of(&self, key: KeyId) -> impl ExactSizeIterator<Item = &KeyName> {
        const NONE: &BTreeSet<KeyName> = &BTreeSet::new();
        self.of_keys.get(&key).unwrap_or(NONE).iter()
    }
}

/// One page of a list of aliases.
#[derive(Debug, Default)]
pub struct AliasPage {
    /// In the order of their names.
    pub aliases: Vec<AliasView>,
    /// Behind which name the next page begins, if there may be more.
    pub next: Option<KeyName>,
}

impl State {
    /// The key of a name, whether it is its own or an alias, which is given then.
    pub fn named(&self, name: &KeyName) -> Option<(&Key, Option<&KeyName>)> {
        if let Some(key) = self.keys.get(name) {
            return Some((key, None));
        }
        let (name, alias) = self.aliases.by_name.get_key_value(name)?;
        Some((self.key_by_id(alias.target)?, Some(name)))
    }

    /// The aliases of a key, in their order.
    pub fn aliases_of(&self, key: KeyId) -> impl ExactSizeIterator<Item = &KeyName> {
        self.aliases.of(key)
    }

    /// An alias by its name.
    pub fn alias(&self, name: &KeyName) -> Option<AliasView> {
        let alias = self.aliases.by_name.get(name)?;
        self.alias_view(name, alias, None)
    }

    fn alias_view(
        &self,
        name: &KeyName,
        alias: &Alias,
        earlier: Option<KeyName>,
    ) -> Option<AliasView> {
        Some(AliasView {
            name: name.clone(),
            key: self.names.get(&alias.target)?.clone(),
            alias: alias.clone(),
            earlier,
        })
    }

    /// What a list of aliases is of, to tell one from another.
    pub fn alias_list_digest(prefix: &str, key: Option<KeyId>) -> [u8; 16] {
        codec::digest(&("aliases", prefix, key))
    }

    /// What a history is of, to tell one from another.
    pub fn history_digest(key: KeyId) -> [u8; 16] {
        codec::digest(&("history", key))
    }

    /// Aliases behind `after` whose names begin with `prefix`; of one key only, or of all that may be seen.
    pub fn alias_page(
        &self,
        prefix: &str,
        key: Option<KeyId>,
        seen: &SeenKeyrings,
        after: Option<&KeyName>,
        size: usize,
    ) -> AliasPage {
        let mut page = AliasPage::default();
        for prefix in seen.within(prefix, after) {
            for name in self.alias_names(&prefix, key, after, size) {
                let Some(view) = self.alias(name) else {
                    continue;
                };
                if page.aliases.len() >= size {
                    page.next = page.aliases.last().map(|last| last.name.clone());
                    return page;
                }
                page.aliases.push(view);
            }
        }
        page
    }

    fn alias_names<'s>(
        &'s self,
        prefix: &str,
        key: Option<KeyId>,
        after: Option<&KeyName>,
        size: usize,
    ) -> Vec<&'s KeyName> {
        let is_wanted = |name: &&KeyName| {
            name.as_str().starts_with(prefix) && after.is_none_or(|after| *name > after)
        };
        let Some(key) = key else {
            let from = match after {
                Some(after) if after.as_str() >= prefix => Excluded(after.as_str()),
                Some(_) | None => Included(prefix),
            };
            let all = self.aliases.by_name.range::<str, _>((from, Unbounded));
            let found = all.map(|(name, _)| name).take_while(is_wanted);
            return found.take(size.saturating_add(1)).collect();
        };
        self.aliases.of(key).filter(is_wanted).collect()
    }

    /// Of the key of that very name. An alias has one too, which no use has seen: that there was no such key is not so any
    /// more.
    pub(super) fn revision_of(&self, name: &KeyName) -> Revision {
        let key = self.keys.get(name).map(|key| key.info.revision);
        let alias = || self.aliases.by_name.get(name).map(|it| it.revision);
        key.or_else(alias).unwrap_or_default()
    }

    /// Whoever changes a key names it, and not an alias that may have moved since it was looked at.
    pub(super) fn check_own_name(&self, change: &Change) -> Result<(), Refusal> {
        let name = match change {
            Change::RotateKey { name, .. }
            | Change::Transition { name, .. }
            | Change::SetRotation { name, .. }
            | Change::ScheduleDestruction { name, .. }
            | Change::SetRewrap { name, .. }
            | Change::RequestRewrap { name }
            | Change::SetLabels { name, .. }
            | Change::Import {
                target: ImportTarget::Version { name, .. },
                ..
            } => name,
            // Their keyrings are compared first.
            Change::SetAlias { alias, target, .. } if alias.keyring() == target.keyring() => target,
            Change::SetAlias { .. }
            | Change::DeleteAlias { .. }
            | Change::CreateKey { .. }
            | Change::CreateImportJob(_)
            | Change::Import { .. }
            | Change::RewrapDataKeys { .. }
            | Change::DeleteDataKey { .. }
            | Change::Erased { .. }
            | Change::Grant(_)
            | Change::Revoke(_)
            | Change::InitCustody(_)
            | Change::Custody(_) => return Ok(()),
        };
        match self.alias(name) {
            None => Ok(()),
            Some(AliasView { name, key, .. }) => Err(Refusal::NamedByAlias { alias: name, key }),
        }
    }

    /// A name is a key's or an alias's, never both.
    pub(super) fn check_no_alias(&self, name: &KeyName) -> Result<(), Refusal> {
        match self.alias(name) {
            None => Ok(()),
            Some(AliasView { name, key, .. }) => Err(Refusal::AliasExists { alias: name, key }),
        }
    }

    pub(super) fn alias_note(&self, change: &Change, alias: &KeyName) -> Note {
        let of = if let Change::SetAlias { target, .. } = change {
            Some(target.clone())
        } else {
            self.alias(alias).map(|view| view.key)
        };
        let note = self.key_note(of.as_ref().unwrap_or(alias), None, String::new());
        Note {
            key: of.as_ref().map(ToString::to_string).unwrap_or_default(),
            alias: alias.to_string(),
            ..note
        }
    }

    pub(super) fn set_alias(
        &mut self,
        place: Place,
        name: &KeyName,
        target: &KeyName,
        expected: &ExpectedAlias,
        note: &mut Note,
    ) -> Answer {
        if name.keyring() != target.keyring() {
            let (alias, key) = (name.clone(), target.clone());
            return Err(Refusal::AliasKeyring { alias, key });
        }
        let key = self.keys.get(target);
        let key = key.ok_or_else(|| Refusal::KeyNotFound(target.clone()))?;
        if self.keys.contains_key(name) {
            return Err(Refusal::KeyExists(name.clone()));
        }
        let earlier = self.alias(name);
        check_expected(name, expected, earlier.as_ref())?;
        if key.info.state == KeyState::Destroyed {
            return Err(Refusal::Destroyed(target.clone()));
        }
        let id = key.info.id;
        if let Some(earlier) = &earlier {
            self.check_purpose(earlier, key)?;
        }
        let stays = earlier.as_ref().is_some_and(|it| it.alias.target == id);
        if !stays {
            self.check_room(id, earlier.is_some())?;
        }
        let alias = Alias {
            target: id,
            created_at: earlier
                .as_ref()
                .map_or(place.time, |it| it.alias.created_at),
            changed_at: place.time,
            revision: place.revision,
        };
        self.save_alias(name, &alias);
        self.aliases.insert(name.clone(), alias.clone());
        let is_seen = earlier.is_none() || !is_planted(Bug::MoveAliasUnseen);
        if is_seen {
            self.touch(place, id);
        }
        if let Some(earlier) = &earlier {
            if is_seen {
                self.touch(place, earlier.alias.target);
            }
            note.detail = format!("before: {}", earlier.key);
            note.also = (!stays).then_some(earlier.alias.target);
        }
        let earlier = earlier.map(|it| it.key);
        self.alias_answer(name, &alias, earlier)
    }

    pub(super) fn delete_alias(&mut self, place: Place, name: &KeyName) -> Answer {
        let missing = || Refusal::AliasNotFound(name.clone());
        let alias = self.aliases.remove(name).ok_or_else(missing)?;
        self.save_alias_removed(name);
        self.touch(place, alias.target);
        let earlier = self.names.get(&alias.target).cloned();
        self.alias_answer(name, &alias, earlier)
    }

    fn alias_answer(&self, name: &KeyName, alias: &Alias, earlier: Option<KeyName>) -> Answer {
        let view = self.alias_view(name, alias, earlier);
        let view = view.ok_or_else(|| Refusal::AliasNotFound(name.clone()))?;
        Ok(Written::Alias(Box::new(view)))
    }

    /// Has uses that were decided before decided again.
    fn touch(&mut self, place: Place, id: KeyId) {
        let name = self.names.get(&id);
        if let Some(key) = name.and_then(|name| self.keys.get_mut(name)) {
            key.info.revision = place.revision;
            let info = key.info.clone();
            self.save_key(&info);
        }
    }

    fn check_purpose(&self, earlier: &AliasView, key: &Key) -> Result<(), Refusal> {
        let of = self.key_by_id(earlier.alias.target);
        let from = of.map(|key| key.info.algorithm.purpose());
        let to = key.info.algorithm.purpose();
        match from {
            Some(from) if from != to => Err(Refusal::AliasPurpose {
                alias: earlier.name.clone(),
                earlier: earlier.key.clone(),
                from,
                key: key.info.name.clone(),
                to,
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn check_room(&self, target: KeyId, moves: bool) -> Result<(), Refusal> {
        if !moves && self.aliases.by_name.len() >= ALIASES_MAX {
            return Err(limit(LimitedThing::Aliases, ALIASES_MAX));
        }
        if self.aliases.of(target).len() >= ALIASES_PER_KEY_MAX {
            return Err(limit(LimitedThing::AliasesOfKey, ALIASES_PER_KEY_MAX));
        }
        Ok(())
    }
}

fn check_expected(
    name: &KeyName,
    expected: &ExpectedAlias,
    found: Option<&AliasView>,
) -> Result<(), Refusal> {
    let alias = name.clone();
    match (expected, found) {
        (ExpectedAlias::Absent, Some(found)) => {
            let key = found.key.clone();
            Err(Refusal::AliasExists { alias, key })
        }
        (ExpectedAlias::Present | ExpectedAlias::Of(_), None) => Err(Refusal::AliasNotFound(alias)),
        (ExpectedAlias::Of(key), Some(found)) if *key != found.key => {
            let key = found.key.clone();
            Err(Refusal::AliasMoved { alias, key })
        }
        (ExpectedAlias::Absent, None)
        | (ExpectedAlias::Present | ExpectedAlias::Of(_), Some(_)) => Ok(()),
    }
}
