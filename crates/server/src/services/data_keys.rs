//! Registered data keys as resources: seen, listed, deleted, and what becomes of them at rotations.

use super::convert;
use super::key::KeyApi;
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::limits::DATA_KEYS_SEEN_PER_PAGE;
use crate::page_token::{self, PageTokenError};
use conclave_core::{
    Action, Change, DataKey, DataKeyId, Denial, KeyName, Labels, Scope, State, VersionNumber,
};
use conclave_proto::v1 as wire;

/// What a list of data keys is to hold.
struct Wanted {
    key: KeyName,
    version: Option<VersionNumber>,
    labels: Labels,
    token: String,
    size: usize,
}

impl Wanted {
    fn fits(&self, data_key: &DataKey) -> bool {
        let has = |pair: (&str, &str)| data_key.labels.iter().any(|its| its == pair);
        self.version.is_none_or(|it| it == data_key.version) && self.labels.iter().all(has)
    }

    /// One page, and where the next one begins if there may be more.
    fn page(&self, state: &State) -> Result<wire::ListDataKeysResponse, ServiceError> {
        let (key, _) = state
            .named(&self.key)
            .ok_or_else(|| Denial::KeyNotFound(self.key.clone()))?;
        let digest = State::data_key_list_digest(key.info.id, self.version, &self.labels);
        let after = page_token::read(digest, &self.token)?;
        let after = after.map(|place| {
            let id = DataKeyId::from_slice(&place);
            id.ok_or(PageTokenError::Malformed)
        });
        let mut data_keys = Vec::new();
        let mut last: Option<DataKeyId> = None;
        let all = state.data_keys_of(key.info.id, after.transpose()?);
        for (seen, (id, data_key)) in all.enumerate() {
            if data_keys.len() == self.size || seen == DATA_KEYS_SEEN_PER_PAGE {
                let token = last.map(|id| page_token::write(digest, id.as_bytes()));
                return Ok(wire::ListDataKeysResponse {
                    data_keys,
                    next_page_token: token.unwrap_or_default(),
                });
            }
            if self.fits(data_key) {
                data_keys.push(convert::data_key(&key.info.name, id, data_key));
            }
            last = Some(id);
        }
        Ok(wire::ListDataKeysResponse {
            data_keys,
            next_page_token: String::new(),
        })
    }
}

impl KeyApi {
    pub(super) async fn set_rewrap_policy(
        &self,
        caller: &Caller,
        asked: wire::SetRewrapPolicyRequest,
    ) -> Result<wire::Key, ServiceError> {
        let missing = || ServiceError::invalid("policy", "must be given");
        let change = Change::SetRewrap {
            name: convert::key_name(&asked.name)?,
            policy: convert::rewrap_policy(asked.policy.ok_or_else(missing)?),
        };
        self.key_of(self.0.write(caller, change).await?)
    }

    pub(super) async fn request_rewrap(
        &self,
        caller: &Caller,
        asked: wire::RewrapDataKeysRequest,
    ) -> Result<wire::Key, ServiceError> {
        let name = convert::key_name(&asked.name)?;
        let change = Change::RequestRewrap { name };
        self.key_of(self.0.write(caller, change).await?)
    }

    pub(super) async fn data_key(
        &self,
        caller: &Caller,
        asked: wire::GetDataKeyRequest,
    ) -> Result<wire::DataKey, ServiceError> {
        let id = convert::data_key_id(&asked.data_key_id)?;
        let consistency = convert::consistency(asked.consistency)?;
        let replica = self.0.read(caller, consistency).await?;
        replica.with_state(|state| {
            let found = state.data_key(id);
            let found = found.and_then(|it| Some((it, &state.key_by_id(it.key)?.info.name)));
            let (found, name) = found.ok_or(ServiceError::UnknownDataKey(id))?;
            let scope = Scope::Keyring(name.keyring());
            NodeContext::require(state.access(), caller, Action::ReadKey, &scope)?;
            Ok(convert::data_key(name, id, found))
        })
    }

    pub(super) async fn list_data_keys(
        &self,
        caller: &Caller,
        asked: wire::ListDataKeysRequest,
    ) -> Result<wire::ListDataKeysResponse, ServiceError> {
        let wanted = Wanted {
            key: convert::key_name(&asked.key)?,
            version: convert::version(asked.version),
            labels: convert::labels(asked.labels)?,
            token: asked.page_token,
            size: convert::page_size(asked.page_size)?,
        };
        let consistency = convert::consistency(asked.consistency)?;
        let replica = self.0.read(caller, consistency).await?;
        replica.with_state(|state| {
            let scope = Scope::Keyring(wanted.key.keyring());
            NodeContext::require(state.access(), caller, Action::ReadKey, &scope)?;
            wanted.page(state)
        })
    }

    pub(super) async fn delete_data_key(
        &self,
        caller: &Caller,
        asked: wire::DeleteDataKeyRequest,
    ) -> Result<wire::DeleteDataKeyResponse, ServiceError> {
        let id = convert::data_key_id(&asked.data_key_id)?;
        self.0.write(caller, Change::DeleteDataKey { id }).await?;
        Ok(wire::DeleteDataKeyResponse {})
    }
}
