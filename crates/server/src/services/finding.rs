//! Keys are found: by prefix, labels, state, purpose, algorithm and protection. And labelled, so that they are.

use super::convert;
use super::key::KeyApi;
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::limits::KEYS_EXAMINED_PER_PAGE;
use crate::page_token;
use conclave_core::limits::{PAIRS_BYTES_MAX, PAIRS_MAX};
use conclave_core::{
    Action, Change, Key, KeyFilter, KeyListing, KeyState, LabelFilter, Purpose, State,
};
use conclave_proto::v1 as wire;
use std::collections::BTreeSet;

impl KeyApi {
    pub(super) async fn list(
        &self,
        caller: &Caller,
        asked: wire::ListKeysRequest,
    ) -> Result<wire::ListKeysResponse, ServiceError> {
        let size = convert::page_size(asked.page_size)?;
        let consistency = convert::consistency(asked.consistency)?;
        let token = asked.page_token.clone();
        let wanted = listing(asked)?;
        let list = wanted.digest();
        let after = page_token::read_name(list, &token)?;
        let replica = self.0.read(caller, consistency).await?;
        Ok(replica.with_state(|state| {
            let seen = state.access().scopes(&caller.principal, Action::ReadKey);
            let (seen, examined) = (seen.collect(), KEYS_EXAMINED_PER_PAGE);
            let page = state.key_page(&wanted, &seen, after.as_ref(), size, examined);
            wire::ListKeysResponse {
                keys: page
                    .keys
                    .into_iter()
                    .map(|key| self.shown(state, key))
                    .collect(),
                next_page_token: page_token::of_name(list, page.next.as_ref()),
            }
        }))
    }

    /// A key as its users see it.
    pub(super) fn shown(&self, state: &State, key: &Key) -> wire::Key {
        convert::key(state.view(key), self.erasure(state))
    }

    pub(super) async fn update_labels(
        &self,
        caller: &Caller,
        asked: wire::UpdateKeyLabelsRequest,
    ) -> Result<wire::Key, ServiceError> {
        let name = convert::key_name(&asked.name)?;
        if asked.set.is_empty() && asked.remove.is_empty() {
            return Err(ServiceError::invalid(
                "set",
                "give labels to set or to remove",
            ));
        }
        let remove = removed(asked.remove)?;
        if let Some(label) = asked.set.keys().find(|label| remove.contains(*label)) {
            let rule = format!("{label:?} is to be set as well: it can only be one of both");
            return Err(ServiceError::invalid("remove", rule));
        }
        let set = conclave_core::Labels::new(asked.set);
        let set = set.map_err(|e| ServiceError::invalid("set", e))?;
        let change = Change::SetLabels { name, set, remove };
        self.key_of(self.0.write(caller, change).await?)
    }
}

fn removed(names: Vec<String>) -> Result<BTreeSet<String>, ServiceError> {
    let bytes: usize = names.iter().map(String::len).sum();
    if names.len() > PAIRS_MAX || bytes > PAIRS_BYTES_MAX {
        let rule = format!("at most {PAIRS_MAX} names with {PAIRS_BYTES_MAX} bytes together");
        return Err(ServiceError::invalid("remove", rule));
    }
    Ok(names.into_iter().collect())
}

fn listing(asked: wire::ListKeysRequest) -> Result<KeyListing, ServiceError> {
    let algorithm = (asked.algorithm != 0).then_some(asked.algorithm);
    let protection = (asked.protection != 0).then_some(asked.protection);
    Ok(KeyListing {
        prefix: asked.prefix,
        filter: KeyFilter {
            labels: label_filters(asked.labels)?,
            state: state(asked.state)?,
            purpose: purpose(asked.purpose)?,
            algorithm: algorithm.map(convert::algorithm).transpose()?,
            protection: protection.map(convert::protection).transpose()?,
        },
    })
}

fn label_filters(asked: Vec<wire::LabelFilter>) -> Result<BTreeSet<LabelFilter>, ServiceError> {
    let length = |it: &wire::LabelFilter| it.name.len() + it.value.as_ref().map_or(0, String::len);
    let bytes: usize = asked.iter().map(length).sum();
    if asked.len() > PAIRS_MAX || bytes > PAIRS_BYTES_MAX {
        let rule = format!("at most {PAIRS_MAX} labels with {PAIRS_BYTES_MAX} bytes together");
        return Err(ServiceError::invalid("labels", rule));
    }
    if asked.iter().any(|it| it.name.is_empty()) {
        return Err(ServiceError::invalid("labels", "each has a name"));
    }
    let filter = |it: wire::LabelFilter| LabelFilter {
        name: it.name,
        value: it.value,
    };
    Ok(asked.into_iter().map(filter).collect())
}

fn state(value: i32) -> Result<Option<KeyState>, ServiceError> {
    use wire::KeyState as It;
    let state = It::try_from(value).map_err(|_| convert::unknown("state"))?;
    Ok(match state {
        It::Unspecified => None,
        It::PreActive => Some(KeyState::PreActive),
        It::Active => Some(KeyState::Active),
        It::Suspended => Some(KeyState::Suspended),
        It::Deactivated => Some(KeyState::Deactivated),
        It::Compromised => Some(KeyState::Compromised),
        It::DestroyScheduled => Some(KeyState::DestroyScheduled),
        It::Destroyed => Some(KeyState::Destroyed),
    })
}

fn purpose(value: i32) -> Result<Option<Purpose>, ServiceError> {
    use wire::Purpose as It;
    let purpose = It::try_from(value).map_err(|_| convert::unknown("purpose"))?;
    Ok(match purpose {
        It::Unspecified => None,
        It::Encrypt => Some(Purpose::Encrypt),
        It::Mac => Some(Purpose::Mac),
        It::Sign => Some(Purpose::Sign),
        It::AsymmetricDecrypt => Some(Purpose::AsymmetricDecrypt),
        It::Agree => Some(Purpose::Agree),
    })
}
