//! Other names of keys.

use super::convert;
use super::key::KeyApi;
use crate::caller::Caller;
use crate::context::NodeContext;
use crate::error::ServiceError;
use crate::page_token;
use conclave_core::{
    Action, AliasView, Change, Denial, ExpectedAlias, KeyId, KeyName, Scope, State, Written,
};
use conclave_proto::v1 as wire;

fn alias_name(text: &str) -> Result<KeyName, ServiceError> {
    KeyName::new(text).map_err(|e| ServiceError::invalid("alias", e))
}

fn target(text: &str) -> Result<KeyName, ServiceError> {
    KeyName::new(text).map_err(|e| ServiceError::invalid("key", e))
}

fn expected(text: &str) -> Result<ExpectedAlias, ServiceError> {
    if text.is_empty() {
        return Ok(ExpectedAlias::Present);
    }
    let name = KeyName::new(text).map_err(|e| ServiceError::invalid("expected_key", e))?;
    Ok(ExpectedAlias::Of(name))
}

fn view_of(written: Written) -> Result<AliasView, ServiceError> {
    match written {
        Written::Alias(view) => Ok(*view),
        Written::Done | Written::Key(_) | Written::ImportJob(_) => Err(ServiceError::Outdated),
    }
}

fn shown(view: &AliasView) -> wire::Alias {
    wire::Alias {
        name: view.name.to_string(),
        key: view.key.to_string(),
        key_id: view.alias.target.as_bytes().to_vec(),
        created_at: Some(convert::timestamp(view.alias.created_at)),
        changed_at: Some(convert::timestamp(view.alias.changed_at)),
    }
}

impl KeyApi {
    pub(super) async fn make_alias(
        &self,
        caller: &Caller,
        asked: wire::CreateAliasRequest,
    ) -> Result<wire::Alias, ServiceError> {
        let change = Change::SetAlias {
            alias: alias_name(&asked.alias)?,
            target: target(&asked.key)?,
            expected: ExpectedAlias::Absent,
        };
        view_of(self.0.write(caller, change).await?).map(|view| shown(&view))
    }

    pub(super) async fn move_alias(
        &self,
        caller: &Caller,
        asked: wire::UpdateAliasRequest,
    ) -> Result<wire::UpdateAliasResponse, ServiceError> {
        let change = Change::SetAlias {
            alias: alias_name(&asked.alias)?,
            target: target(&asked.key)?,
            expected: expected(&asked.expected_key)?,
        };
        let view = view_of(self.0.write(caller, change).await?)?;
        let earlier = view.earlier.as_ref().map(ToString::to_string);
        Ok(wire::UpdateAliasResponse {
            earlier_key: earlier.unwrap_or_default(),
            alias: Some(shown(&view)),
        })
    }

    pub(super) async fn remove_alias(
        &self,
        caller: &Caller,
        asked: wire::DeleteAliasRequest,
    ) -> Result<wire::DeleteAliasResponse, ServiceError> {
        let alias = alias_name(&asked.alias)?;
        let written = self.0.write(caller, Change::DeleteAlias { alias }).await?;
        let key = view_of(written)?.key.to_string();
        Ok(wire::DeleteAliasResponse { key })
    }

    pub(super) async fn aliases(
        &self,
        caller: &Caller,
        asked: wire::ListAliasesRequest,
    ) -> Result<wire::ListAliasesResponse, ServiceError> {
        let size = convert::page_size(asked.page_size)?;
        let of = convert::optional_key_name(&asked.key)?;
        let consistency = convert::consistency(asked.consistency)?;
        let replica = self.0.read(caller, consistency).await?;
        replica.with_state(|state| {
            let key = of.map(|name| key_of(state, caller, &name)).transpose()?;
            let list = State::alias_list_digest(&asked.prefix, key);
            let after = page_token::read_name(list, &asked.page_token)?;
            let seen = state.access().scopes(&caller.principal, Action::ReadKey);
            let seen = seen.collect();
            let page = state.alias_page(&asked.prefix, key, &seen, after.as_ref(), size);
            Ok(wire::ListAliasesResponse {
                aliases: page.aliases.iter().map(shown).collect(),
                next_page_token: page_token::of_name(list, page.next.as_ref()),
            })
        })
    }
}

/// The key whose aliases are asked for, by its own name or one of them.
fn key_of(state: &State, caller: &Caller, name: &KeyName) -> Result<KeyId, ServiceError> {
    let scope = Scope::Keyring(name.keyring());
    NodeContext::require(state.access(), caller, Action::ReadKey, &scope)?;
    let missing = || Denial::KeyNotFound(name.clone());
    let (key, _) = state.named(name).ok_or_else(missing)?;
    Ok(key.info.id)
}
