//! `conclave alias`.

use crate::error::CliError;
use crate::limits::KEYS_PER_PAGE;
use crate::parse::key_name;
use crate::session::Session;
use crate::{show, table};
use clap::Subcommand;
use conclave_client::{Client, ClientError, v1};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum AliasCommand {
    /// Make a name lead to a key, whether it is new or leads to another one now
    #[command(after_help = "\
An alias and its key are of one keyring. It moves only to a key of the same purpose, and the earlier
key stays: what was encrypted under it names it, and is decrypted with it.

Examples:
  conclave alias set payments/current payments/card-pan
  conclave alias set payments/current payments/card-pan-2 --from payments/card-pan
  conclave encrypt payments/current --in a.txt --out a.enc")]
    Set {
        /// The alias
        #[arg(value_parser = key_name)]
        alias: String,
        /// The key's own name
        #[arg(value_parser = key_name)]
        key: String,
        /// Only if it leads to this key now
        #[arg(long, value_name = "KEY", value_parser = key_name)]
        from: Option<String>,
    },
    /// Delete an alias; its key stays
    #[command(after_help = "Example:\n  conclave alias delete payments/current")]
    Delete {
        /// The alias
        #[arg(value_parser = key_name)]
        alias: String,
    },
    /// List aliases, in the order of their names
    #[command(after_help = "\
Examples:
  conclave alias list                             all that you may see
  conclave alias list payments/                   those of one keyring
  conclave alias list --key payments/card-pan     those of one key")]
    List {
        /// Only names that begin like this
        #[arg(default_value = "")]
        prefix: String,
        /// Only those of this key
        #[arg(long, value_parser = key_name)]
        key: Option<String>,
    },
}

pub(crate) async fn run(command: AliasCommand, session: &Session) -> Result<(), CliError> {
    let client = session.client()?;
    match command {
        AliasCommand::Set { alias, key, from } => {
            let (alias, earlier) = set(&client, alias, key, from).await?;
            let text = || set_text(&alias, &earlier);
            session.output.print(text, || {
                let mut shown = alias_json(&alias);
                shown["earlier_key"] = json!(Some(&earlier).filter(|it| !it.is_empty()));
                shown
            })
        }
        AliasCommand::Delete { alias } => {
            let request = v1::DeleteAliasRequest {
                request_id: Vec::new(),
                alias: alias.clone(),
            };
            let key = client.delete_alias(request).await?.key;
            let text = || format!("{alias} leads to {key} no more");
            session
                .output
                .print(text, || json!({ "name": alias, "key": key }))
        }
        AliasCommand::List { prefix, key } => {
            let aliases = all(&client, prefix, key).await?;
            let json = || Value::from(aliases.iter().map(alias_json).collect::<Vec<_>>());
            session
                .output
                .print(|| list_text(&aliases), || json!({ "aliases": json() }))
        }
    }
}

/// Makes or moves an alias; answers to which key it led before.
async fn set(
    client: &Client,
    alias: String,
    key: String,
    from: Option<String>,
) -> Result<(v1::Alias, String), ClientError> {
    let create = v1::CreateAliasRequest {
        request_id: Vec::new(),
        alias: alias.clone(),
        key: key.clone(),
    };
    if from.is_none() {
        match client.create_alias(create).await {
            Err(error) if error.reason() == "ALIAS_EXISTS" => {}
            made => return Ok((made?, String::new())),
        }
    }
    let update = v1::UpdateAliasRequest {
        request_id: Vec::new(),
        alias,
        key,
        expected_key: from.unwrap_or_default(),
    };
    let moved = client.update_alias(update).await?;
    Ok((moved.alias.unwrap_or_default(), moved.earlier_key))
}

async fn all(
    client: &Client,
    prefix: String,
    key: Option<String>,
) -> Result<Vec<v1::Alias>, ClientError> {
    let mut request = v1::ListAliasesRequest {
        prefix,
        key: key.unwrap_or_default(),
        page_size: KEYS_PER_PAGE,
        ..v1::ListAliasesRequest::default()
    };
    let mut aliases = Vec::new();
    loop {
        let page = client.list_aliases(request.clone()).await?;
        aliases.extend(page.aliases);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(aliases);
        }
    }
}

fn set_text(alias: &v1::Alias, earlier: &str) -> String {
    let v1::Alias { name, key, .. } = alias;
    match earlier {
        "" => format!("{name} leads to {key}"),
        same if same == key => format!("{name} leads to {key}, as before"),
        earlier => format!("{name} leads to {key}, before to {earlier}"),
    }
}

fn alias_json(alias: &v1::Alias) -> Value {
    json!({
        "name": alias.name,
        "key": alias.key,
        "key_id": hex::encode(&alias.key_id),
        "created_at": show::time(alias.created_at.as_ref()),
        "changed_at": show::time(alias.changed_at.as_ref()),
    })
}

fn list_text(aliases: &[v1::Alias]) -> String {
    let row = |alias: &v1::Alias| {
        vec![
            alias.name.clone(),
            alias.key.clone(),
            show::time(alias.changed_at.as_ref()),
        ]
    };
    let rows: Vec<_> = aliases.iter().map(row).collect();
    table::render(&["ALIAS", "KEY", "SET"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_shown() {
        let alias = v1::Alias {
            name: "a/x".into(),
            key: "a/k".into(),
            ..v1::Alias::default()
        };
        assert_eq!(set_text(&alias, ""), "a/x leads to a/k");
        assert_eq!(set_text(&alias, "a/k"), "a/x leads to a/k, as before");
        assert_eq!(
            set_text(&alias, "a/old"),
            "a/x leads to a/k, before to a/old"
        );
        assert_eq!(list_text(&[alias]), "ALIAS  KEY  SET\na/x    a/k  -");
    }
}
