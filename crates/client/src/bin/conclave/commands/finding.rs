//! `conclave key list` and `conclave key label`.

use super::crypt::context;
use crate::error::CliError;
use crate::limits::KEYS_PER_PAGE;
use crate::parse::{Algorithm, Protection, Purpose, State, key_name, label_filter, pair};
use crate::session::Session;
use crate::{show, table};
use clap::Args;
use conclave_client::{Client, ClientError, v1};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only names that begin like this
    #[arg(default_value = "")]
    prefix: String,
    /// Only keys that have this label, with this value or with any; repeat it for several
    #[arg(long = "label", value_name = "NAME[=VALUE]", value_parser = label_filter)]
    labels: Vec<v1::LabelFilter>,
    /// Only keys in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only keys for this
    #[arg(long, value_enum)]
    purpose: Option<Purpose>,
    /// Only keys of this algorithm
    #[arg(long, value_enum)]
    algorithm: Option<Algorithm>,
    /// Only keys of this protection
    #[arg(long, value_enum)]
    protection: Option<Protection>,
}

#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// The key's name
    #[arg(value_parser = key_name)]
    name: String,
    /// Labels to set
    #[arg(value_name = "NAME=VALUE", value_parser = pair, required_unless_present = "remove")]
    set: Vec<(String, String)>,
    /// A label to remove; repeat it for several
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
}

impl LabelArgs {
    pub(crate) fn request(self) -> Result<v1::UpdateKeyLabelsRequest, CliError> {
        Ok(v1::UpdateKeyLabelsRequest {
            request_id: Vec::new(),
            name: self.name,
            set: context(self.set)?,
            remove: self.remove,
        })
    }
}

impl From<ListArgs> for v1::ListKeysRequest {
    fn from(args: ListArgs) -> Self {
        let state = args.state.map_or(v1::KeyState::Unspecified, Into::into);
        let purpose = args.purpose.map_or(v1::Purpose::Unspecified, Into::into);
        let algorithm = args.algorithm;
        let algorithm = algorithm.map_or(v1::Algorithm::Unspecified, Into::into);
        let protection = args.protection;
        let protection = protection.map_or(v1::Protection::Unspecified, Into::into);
        Self {
            prefix: args.prefix,
            page_size: KEYS_PER_PAGE,
            labels: args.labels,
            state: state.into(),
            purpose: purpose.into(),
            algorithm: algorithm.into(),
            protection: protection.into(),
            ..Self::default()
        }
    }
}

pub(crate) async fn list(
    client: &Client,
    args: ListArgs,
    session: &Session,
) -> Result<(), CliError> {
    let keys = all(client, args.into()).await?;
    let json = || Value::from(keys.iter().map(show::key_json).collect::<Vec<_>>());
    session
        .output
        .print(|| list_text(&keys), || json!({ "keys": json() }))
}

/// All pages, of which some may be empty.
async fn all(
    client: &Client,
    mut request: v1::ListKeysRequest,
) -> Result<Vec<v1::Key>, ClientError> {
    let mut keys = Vec::new();
    loop {
        let page = client.list_keys(request.clone()).await?;
        keys.extend(page.keys);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(keys);
        }
    }
}

fn list_text(keys: &[v1::Key]) -> String {
    let row = |key: &v1::Key| {
        let next = key.next_rotation_at.as_ref();
        vec![
            key.name.clone(),
            show::key_state(key.state),
            show::algorithm(key.algorithm),
            show::protection(key.protection),
            key.primary_version.to_string(),
            show::day(key.created_at.as_ref()),
            show::day(next),
            show::pairs(&key.labels),
        ]
    };
    let headings = [
        "NAME",
        "STATE",
        "ALGORITHM",
        "PROTECTION",
        "PRIMARY",
        "CREATED",
        "ROTATES",
        "LABELS",
    ];
    table::render(&headings, &keys.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_table() {
        let key = v1::Key {
            name: "a/b".into(),
            state: 2,
            protection: 1,
            algorithm: 1,
            primary_version: 3,
            created_at: Some(prost_types::Timestamp {
                seconds: 951_827_696,
                nanos: 0,
            }),
            labels: [("team".to_owned(), "cards".to_owned())].into(),
            ..v1::Key::default()
        };
        assert_eq!(
            list_text(&[key]),
            "NAME  STATE   ALGORITHM    PROTECTION  PRIMARY  CREATED     ROTATES  LABELS\n\
             a/b   ACTIVE  AES_256_GCM  SOFTWARE    3        2000-02-29  -        team=cards"
        );
    }
}
