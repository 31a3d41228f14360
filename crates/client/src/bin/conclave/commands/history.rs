//! `conclave key history`.

use crate::error::CliError;
use crate::limits::EVENTS_PER_PAGE;
use crate::parse::key_name;
use crate::session::Session;
use crate::{show, table};
use clap::Args;
use conclave_client::{Client, v1};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The key's name, or an alias of it
    #[arg(value_parser = key_name)]
    name: String,
}

pub(crate) async fn run(
    client: &Client,
    args: HistoryArgs,
    session: &Session,
) -> Result<(), CliError> {
    let mut request = v1::GetKeyHistoryRequest {
        name: args.name,
        page_size: EVENTS_PER_PAGE,
        ..v1::GetKeyHistoryRequest::default()
    };
    let mut events = Vec::new();
    let name = loop {
        let page = client.get_key_history(request.clone()).await?;
        events.extend(page.events);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break page.name;
        }
    };
    let json = || Value::from(events.iter().map(event_json).collect::<Vec<_>>());
    session.output.print(
        || text(&name, &events),
        || json!({ "name": name, "events": json() }),
    )
}

fn text(name: &str, events: &[v1::KeyEvent]) -> String {
    let row = |event: &v1::KeyEvent| {
        vec![
            event.record.to_string(),
            show::time(event.at.as_ref()),
            sentence(name, event),
        ]
    };
    let rows: Vec<_> = events.iter().map(row).collect();
    table::render(&["RECORD", "TIME", "WHAT"], &rows)
}

/// What was done, in words.
fn sentence(name: &str, event: &v1::KeyEvent) -> String {
    let by_itself = event.principal.is_empty();
    let by = if by_itself {
        "the cluster"
    } else {
        event.principal.as_str()
    };
    let version = event.version;
    let what = match version {
        0 => String::new(),
        number => format!("version {number} "),
    };
    let detail = event.detail.as_str();
    let alias = event.alias.as_str();
    match event.operation.as_str() {
        "CreateKey" => format!("created by {by}: {detail}"),
        "RotateKey" if by_itself => format!("rotated by itself to version {version}"),
        "RotateKey" => format!("rotated by {by} to version {version}"),
        "ActivateKey" if by_itself => format!("{what}activated at its date"),
        "ActivateKey" => format!("{what}activated by {by}"),
        "SuspendKey" => format!("{what}suspended by {by}"),
        "ResumeKey" => format!("{what}resumed by {by}"),
        "DeactivateKey" => with(&format!("{what}deactivated by {by}"), detail),
        "MarkKeyCompromised" => format!("{what}marked as compromised by {by}"),
        "SetKeyRotation" if detail == "never" => format!("to be rotated by hand only, by {by}"),
        "SetKeyRotation" => format!("to be rotated {detail}, by {by}"),
        "UpdateKeyLabels" => format!("labelled by {by}: {detail}"),
        "CreateAlias" => format!("named {alias} as well, by {by}"),
        "UpdateAlias" if event.key != name => {
            format!("alias {alias} moved to {} by {by}", event.key)
        }
        "UpdateAlias" => with(&format!("alias {alias} moved here by {by}"), detail),
        "DeleteAlias" => format!("alias {alias} deleted by {by}"),
        "ScheduleKeyDestruction" => with(&format!("{what}to be destroyed, by {by}"), detail),
        "CancelKeyDestruction" => format!("{what}not to be destroyed after all, by {by}"),
        "DestroyKey" => with(&format!("{what}destroyed"), detail),
        "EraseKeyMaterial" => format!("erased from the disk of node {}", event.node_id),
        "SetRewrapPolicy" => format!("data keys to be {detail}, by {by}"),
        "RequestRewrap" => format!("data keys to be re-wrapped, by {by}"),
        other => with(&format!("{what}{other} by {by}"), detail),
    }
}

fn with(text: &str, detail: &str) -> String {
    if detail.is_empty() {
        text.to_owned()
    } else {
        format!("{text} ({detail})")
    }
}

fn event_json(event: &v1::KeyEvent) -> Value {
    json!({
        "record": event.record,
        "at": show::time(event.at.as_ref()),
        "node_id": event.node_id,
        "principal": event.principal,
        "operation": event.operation,
        "key": event.key,
        "version": event.version,
        "detail": event.detail,
        "alias": event.alias,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(operation: &str, principal: &str, version: u32, detail: &str) -> v1::KeyEvent {
        v1::KeyEvent {
            record: 7,
            node_id: 3,
            principal: principal.to_owned(),
            operation: operation.to_owned(),
            key: "a/k".to_owned(),
            version,
            detail: detail.to_owned(),
            alias: "a/x".to_owned(),
            ..v1::KeyEvent::default()
        }
    }

    #[test]
    fn a_history_is_a_story() {
        let told = |operation, principal, version, detail| {
            sentence("a/k", &event(operation, principal, version, detail))
        };
        assert_eq!(
            told("CreateKey", "ann", 1, "AES-256-GCM HSM"),
            "created by ann: AES-256-GCM HSM"
        );
        assert_eq!(
            told("RotateKey", "", 2, ""),
            "rotated by itself to version 2"
        );
        assert_eq!(
            told("RotateKey", "ann", 3, ""),
            "rotated by ann to version 3"
        );
        assert_eq!(
            told("SuspendKey", "bob", 1, "ACTIVE -> SUSPENDED"),
            "version 1 suspended by bob"
        );
        assert_eq!(told("ActivateKey", "", 0, ""), "activated at its date");
        assert_eq!(
            told("EraseKeyMaterial", "", 0, ""),
            "erased from the disk of node 3"
        );
        assert_eq!(
            told("NewThing", "ann", 2, "d"),
            "version 2 NewThing by ann (d)"
        );
        let moved = event("UpdateAlias", "ann", 0, "before: a/old");
        assert_eq!(
            sentence("a/k", &moved),
            "alias a/x moved here by ann (before: a/old)"
        );
        assert_eq!(sentence("a/old", &moved), "alias a/x moved to a/k by ann");
        assert_eq!(
            text("a/k", &[event("DestroyKey", "", 0, "")]),
            "RECORD  TIME  WHAT\n7       -     destroyed"
        );
    }
}
